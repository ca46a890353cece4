//! Every Rust file begins with what it is: a `//!` line before anything else.

use super::Finding;
use crate::repository::Repository;

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    repository
        .rust()
        .filter(|file| !file.text.trim_start().starts_with("//!"))
        .map(|file| Finding::of(file, 1, "begins without a module doc; say in `//!` lines what this file is"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doc_comes_first() {
        let repository = Repository::of(&[
            ("a.rs", "\n//! What a is.\nuse x;\n"),
            ("b.rs", "use x;\n//! Too late.\n"),
            ("c.rs", "// Not a doc comment.\n"),
            ("d.md", "text"),
        ]);
        let paths: Vec<_> = findings(&repository).into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["b.rs", "c.rs"]);
    }
}
