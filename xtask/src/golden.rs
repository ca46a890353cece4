//! Golden folders: `crates/<name>/tests/golden/<case>/` with expected values from an independent implementation.
//!
//! A value that nobody can make again proves nothing, so each case carries the program that made it (`make.py`, or
//! `make` with another ending) and `PROVENANCE.toml`, which says with what. Cases stay small: they are read in
//! reviews and by every clone.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::{File, Repository};
use crate::tidy::Finding;

/// Total size of a case's files.
const CASE_LIMIT: u64 = 256 << 10;

/// Keys that `PROVENANCE.toml` must set; alternatives are two spellings of one word.
const KEYS: &[&[&str]] = &[
    &["implementation"],
    &["version"],
    &["command"],
    &["seed"],
    &["dtype"],
    &["tolerance"],
    &["license", "licence"],
];

/// Cases without a generator, without complete provenance, or too large.
pub(crate) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut cases: BTreeMap<String, Vec<(&str, &File)>> = BTreeMap::new();
    for file in &repository.files {
        if let Some((case, inner)) = case(&file.path) {
            cases.entry(case).or_default().push((inner, file));
        }
    }
    cases.iter().flat_map(|(case, files)| case_findings(case, files)).collect()
}

/// The case folder of a path and the path inside it.
fn case(path: &str) -> Option<(String, &str)> {
    let (before, after) = path.split_once("/tests/golden/")?;
    let (name, inner) = after.split_once('/')?;
    Some((format!("{before}/tests/golden/{name}"), inner))
}

fn case_findings(case: &str, files: &[(&str, &File)]) -> Vec<Finding> {
    let finding = |message: String| Finding::at(case, 0, message);
    let mut findings = Vec::new();
    if !files.iter().any(|(inner, _)| inner.starts_with("make.")) {
        findings.push(finding("has no generator; add the make.py that made its values".to_owned()));
    }
    match files.iter().find(|(inner, _)| *inner == "PROVENANCE.toml") {
        None => findings.push(finding("has no PROVENANCE.toml".to_owned())),
        Some((_, provenance)) => {
            let present = keys(&provenance.text);
            for alternatives in KEYS.iter().filter(|names| !names.iter().any(|name| present.contains(name))) {
                findings.push(finding(format!("PROVENANCE.toml does not say the {}", alternatives[0])));
            }
            if present.contains("tolerance") && !explains_tolerance(&provenance.text) {
                findings
                    .push(finding("PROVENANCE.toml does not say why the tolerance is what it is".to_owned()));
            }
        }
    }
    let size: u64 = files.iter().map(|(_, file)| file.size).sum();
    if size > CASE_LIMIT {
        let (size, limit) = (size >> 10, CASE_LIMIT >> 10);
        findings.push(finding(format!("holds {size} KiB, the limit is {limit}; make the inputs smaller")));
    }
    findings
}

/// Whether the tolerance carries its reason: a comment on its line, a value in words, or a key `why` beside it.
fn explains_tolerance(toml: &str) -> bool {
    toml.lines().map(str::trim).any(|line| {
        let in_words = |value: &str| value.contains('#') || value.trim().trim_matches('"').contains(' ');
        match line.split_once('=').map(|(key, value)| (key.trim(), value)) {
            Some(("tolerance", value)) => in_words(value),
            Some((key, _)) => key == "why" || key.starts_with("tolerance_"),
            None => false,
        }
    })
}

/// Keys with a value, and table names. Line by line is enough: provenance is a flat list of facts.
fn keys(toml: &str) -> BTreeSet<&str> {
    let key = |line: &'_ str| -> Option<(usize, usize)> {
        let line = line.trim_end();
        if line.starts_with('[') && line.ends_with(']') {
            return Some((1, line.len() - 1));
        }
        let (name, value) = line.split_once('=')?;
        (!matches!(value.trim(), "" | "\"\"")).then_some((0, name.trim_end().len()))
    };
    toml.lines().filter_map(|line| key(line).map(|(start, end)| line[start..end].trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = "implementation = \"NumPy\"\nversion = \"2\"\ncommand = \"python make.py\"\nseed = 1\n\
                            dtype = \"f64\"\nlicense = \"BSD-3-Clause\"\n[tolerance]\nvalue = 1e-6\n\
                            why = \"sums in another order\"\n";

    fn messages(files: &[(&str, &str)]) -> Vec<String> {
        findings(&Repository::of(files)).into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn a_complete_case_passes() {
        let case = "crates/x/tests/golden/one";
        let files = [(format!("{case}/make.py"), ""), (format!("{case}/PROVENANCE.toml"), COMPLETE)];
        assert_eq!(messages(&files.each_ref().map(|(path, text)| (path.as_str(), *text))), [""; 0]);
    }

    #[test]
    fn a_bare_case_lacks_generator_and_provenance() {
        let found = messages(&[("crates/x/tests/golden/one/expected.json", "{}")]);
        assert!(found[0].contains("generator") && found[1].contains("PROVENANCE"), "{found:?}");
    }

    #[test]
    fn empty_and_missing_keys_are_named() {
        let provenance = COMPLETE.replace("seed = 1\n", "").replace("\"f64\"", "\"\"");
        let found = messages(&[
            ("crates/x/tests/golden/one/make.py", ""),
            ("crates/x/tests/golden/one/PROVENANCE.toml", &provenance),
        ]);
        assert!(found[0].contains("seed") && found[1].contains("dtype") && found.len() == 2, "{found:?}");
    }

    #[test]
    fn tolerances_carry_their_reason() {
        for line in
            ["tolerance = 1e-9 # two orders of summation", "tolerance = \"1e-9, exact but for rounding\""]
        {
            assert!(explains_tolerance(line), "{line}");
        }
        assert!(explains_tolerance("tolerance = 1e-9\nwhy = \"rounding\""));
        assert!(!explains_tolerance("tolerance = 1e-9\nseed = 1"));
        assert!(!explains_tolerance("tolerance = \"1e-9\""));
    }

    #[test]
    fn large_cases_are_refused() {
        let large = "0".repeat(CASE_LIMIT as usize);
        let found = messages(&[
            ("crates/x/tests/golden/one/make.py", ""),
            ("crates/x/tests/golden/one/PROVENANCE.toml", COMPLETE),
            ("crates/x/tests/golden/one/input.json", &large),
        ]);
        assert!(found[0].contains("256 KiB, the limit is 256"), "{found:?}");
    }
}
