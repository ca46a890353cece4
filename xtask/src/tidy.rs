//! The repository's rules, one file each, and how their findings are shown.
//!
//! A rule is a function from the repository's files to findings. To add one: write its file with its tests, declare
//! the module and add its line to [`RULES`].

mod catch_all;
mod crate_doc;
mod dependency;
mod host;
mod ignored_test;
mod leftover;
mod length;
mod link;
mod machine_path;
mod module_doc;
mod name;
mod panic;
mod size;
mod unsafe_code;

use std::collections::BTreeMap;

use crate::repository::{File, Repository};

/// Something that breaks a rule, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// From 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) message: String,
}

impl Finding {
    /// A finding at a path and line.
    pub(crate) fn at(path: &str, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: path.to_owned(), line, message: message.into() }
    }

    fn of(file: &File, line: usize, message: impl Into<String>) -> Finding {
        Finding::at(&file.path, line, message)
    }
}

/// A named rule.
pub(crate) struct Rule {
    name: &'static str,
    run: fn(&Repository) -> Vec<Finding>,
}

/// Every rule.
pub(crate) const RULES: &[Rule] = &[
    Rule { name: "module-doc", run: module_doc::findings },
    Rule { name: "length", run: length::findings },
    Rule { name: "size", run: size::findings },
    Rule { name: "name", run: name::findings },
    Rule { name: "panic", run: panic::findings },
    Rule { name: "catch-all", run: catch_all::findings },
    Rule { name: "unsafe", run: unsafe_code::findings },
    Rule { name: "ignored-test", run: ignored_test::findings },
    Rule { name: "leftover", run: leftover::findings },
    Rule { name: "machine-path", run: machine_path::findings },
    Rule { name: "host", run: host::findings },
    Rule { name: "dependency", run: dependency::findings },
    Rule { name: "crate-doc", run: crate_doc::findings },
    Rule { name: "link", run: link::findings },
];

/// What breaks the rules, in path order; each message ends with its rule's name.
pub(crate) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        findings.extend((rule.run)(repository).into_iter().map(|mut found| {
            found.message = format!("{} [{}]", found.message, rule.name);
            found
        }));
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}

/// Prints the findings and how many each crate has; `true` when there are none.
pub(crate) fn report(findings: &[Finding]) -> bool {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for Finding { path, line, message } in findings {
        let place = if *line == 0 { path.clone() } else { format!("{path}:{line}") };
        println!("{place}: {message}");
        let home = path.strip_prefix("crates/").and_then(|rest| rest.split('/').next());
        *counts.entry(home.unwrap_or("elsewhere")).or_default() += 1;
    }
    if !counts.is_empty() {
        let counts: Vec<String> = counts.iter().map(|(home, count)| format!("{home} {count}")).collect();
        println!("{} findings: {}", findings.len(), counts.join(", "));
    }
    findings.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_carry_their_rule_and_come_in_path_order() {
        let repository =
            Repository::of(&[("crates/x/src/b.rs", "fn b() {}\n"), ("crates/x/src/a.rs", "fn a() {}\n")]);
        let found = findings(&repository);
        assert!(found[0].path.ends_with("a.rs") && found[0].message.ends_with("[module-doc]"), "{found:?}");
        assert!(!report(&found) && report(&[]));
    }

    #[test]
    fn rule_names_are_distinct() {
        let names: std::collections::BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), RULES.len());
    }
}
