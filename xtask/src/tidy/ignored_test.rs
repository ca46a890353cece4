//! No test is switched off: one that does not run proves nothing.

use super::Finding;
use crate::repository::Repository;

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.rust() {
        for (number, line) in file.source().lines() {
            let compact: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            if compact.contains("#[ignore]") || compact.contains("#[ignore=") {
                findings.push(Finding::of(file, number, "an ignored test: make it run, or remove it"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_found() {
        let text = "#[ignore]\n#[ ignore = \"slow\" ]\n// #[ignore]\n#[ignored]\n";
        let found: Vec<_> =
            findings(&Repository::of(&[("a.rs", text)])).into_iter().map(|f| f.line).collect();
        assert_eq!(found, [1, 2]);
    }
}
