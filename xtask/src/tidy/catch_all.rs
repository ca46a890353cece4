//! Libraries have typed errors: no error type that holds anything, and no variant that holds any text.

use super::Finding;
use crate::repository::Repository;
use crate::source::has_word;

/// Macros and crates whose errors have no type.
const WORDS: &[&str] = &["bail!", "anyhow", "eyre"];

/// Variant names that say nothing about the fault when all they hold is text.
const VARIANTS: &[&str] = &["Msg", "Message", "Other", "Custom", "Generic", "Unknown", "Internal"];

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.library() {
        for (number, line) in file.source().shipped_lines() {
            for word in WORDS.iter().filter(|word| has_word(line, word)) {
                findings.push(Finding::of(
                    file,
                    number,
                    format!("has `{word}`: return this crate's `Error`"),
                ));
            }
            let compact: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            for variant in VARIANTS.iter().filter(|name| has_word(&compact, &format!("{name}(String)"))) {
                let message =
                    format!("the variant `{variant}(String)` takes any text: name the fault and its values");
                findings.push(Finding::of(file, number, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        findings(&Repository::of(&[(path, text)])).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn untyped_errors_are_refused_in_libraries_only() {
        let text = "use anyhow::Result;\nfn f() { bail!(\"x\") }\nenum Error {\n  Other( String ),\n  Missing(String),\n}\n";
        assert_eq!(lines("crates/tenfold-eval/src/error.rs", text), [1, 2, 4]);
        assert_eq!(lines("crates/tenfold/src/main.rs", text), [0; 0]);
    }
}
