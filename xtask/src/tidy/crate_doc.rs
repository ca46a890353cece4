//! Every crate has a README, and every library a crate doc of four paragraphs.
//!
//! The four: what it is; one tested example; what it deliberately does not know; where to start reading. A code block
//! counts as a paragraph. Test support explains itself where it is used, so it needs no example.

use super::Finding;
use crate::repository::{Repository, is_library};

/// Paragraphs, the example included.
const PARAGRAPHS: usize = 4;

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in repository.files.iter().filter(|file| file.name() == "Cargo.toml") {
        let Some(name) = manifest.crate_name() else { continue };
        let folder = manifest.path.trim_end_matches("/Cargo.toml");
        if !repository.has(&format!("{folder}/README.md")) {
            findings.push(Finding::at(
                folder,
                0,
                "has no README.md; say in ten to twenty lines what the crate is",
            ));
        }
        let Some(lib) = repository.file(&format!("{folder}/src/lib.rs")).filter(|_| is_library(name)) else {
            continue;
        };
        let doc = Doc::of(&lib.text);
        if doc.paragraphs < PARAGRAPHS {
            let message = format!("the crate doc has {} of {PARAGRAPHS} paragraphs", doc.paragraphs);
            findings.push(Finding::of(lib, 1, message));
        }
        if !doc.example {
            findings.push(Finding::of(
                lib,
                1,
                "the crate doc has no tested example; add one code block that runs",
            ));
        }
    }
    findings
}

/// The shape of the `//!` lines at the head of a file.
struct Doc {
    paragraphs: usize,
    /// Whether a code block is compiled as Rust.
    example: bool,
}

impl Doc {
    fn of(text: &str) -> Doc {
        let mut doc = Doc { paragraphs: 0, example: false };
        let (mut inside_code, mut inside_paragraph) = (false, false);
        let lines = text.lines().map(str::trim_start).take_while(|line| line.starts_with("//!"));
        for line in lines.map(|line| line.trim_start_matches("//!").trim()) {
            if let Some(language) = line.strip_prefix("```") {
                if !inside_code {
                    doc.paragraphs += 1;
                    doc.example |=
                        matches!(language.trim(), "" | "rust" | "no_run" | "rust,no_run" | "should_panic");
                }
                (inside_code, inside_paragraph) = (!inside_code, false);
            } else if !inside_code {
                doc.paragraphs += usize::from(!line.is_empty() && !inside_paragraph);
                inside_paragraph = !line.is_empty();
            }
        }
        doc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "//! What it is,\n//! in two lines.\n//!\n//! ```\n//! x();\n//!\n//! ```\n//!\n//! Knows no y.\n//!\n//! Start at z.\n";

    fn messages(name: &str, files: &[(&str, &str)]) -> Vec<String> {
        let mut paths: Vec<(String, &str)> =
            files.iter().map(|(path, text)| (format!("crates/{name}/{path}"), *text)).collect();
        paths.push((format!("crates/{name}/Cargo.toml"), ""));
        let files: Vec<(&str, &str)> = paths.iter().map(|(path, text)| (path.as_str(), *text)).collect();
        findings(&Repository::of(&files)).into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn a_full_crate_passes() {
        assert_eq!(messages("tenfold-x", &[("README.md", ""), ("src/lib.rs", FULL)]), [""; 0]);
    }

    #[test]
    fn missing_parts_are_named() {
        let found =
            messages("tenfold-x", &[("src/lib.rs", "//! What it is.\n//!\n//! ```text\n//! a\n//! ```\n")]);
        assert!(
            found[0].contains("README") && found[1].contains("2 of 4") && found[2].contains("example"),
            "{found:?}"
        );
    }

    #[test]
    fn programs_and_test_support_need_the_readme_only() {
        assert_eq!(messages("tenfold-testkit", &[("README.md", ""), ("src/lib.rs", "//! Laws.\n")]), [""; 0]);
        assert_eq!(messages("tenfold", &[("README.md", ""), ("src/main.rs", "//! Verbs.\n")]), [""; 0]);
    }
}
