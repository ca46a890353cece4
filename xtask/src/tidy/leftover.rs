//! Marks of unfinished work, and the one word of other libraries that the vocabulary replaces.
//!
//! Open ends belong in an issue, where somebody sees them. The words are put together from halves so that this file
//! passes its own rule.

use super::Finding;
use crate::repository::Repository;
use crate::source::has_word;

/// Marks, refused in everything that people write.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// The dictionary of another library; here it is a tree. Generators in Python call that library by its own names.
const FOREIGN: &str = concat!("state", "_dict");

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        let ours = matches!(file.extension(), "rs" | "md" | "toml");
        if !ours && !matches!(file.extension(), "py" | "sh") {
            continue;
        }
        for (index, line) in file.text.lines().enumerate() {
            for mark in MARKS.iter().filter(|mark| has_word(line, mark)) {
                findings.push(Finding::of(file, index + 1, format!("has {mark}: do it or open an issue")));
            }
            if ours && line.contains(FOREIGN) {
                findings.push(Finding::of(file, index + 1, format!("says {FOREIGN}; the word here is tree")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_whole_words_and_python_keeps_its_names() {
        let (mark, name) = (MARKS[0], FOREIGN);
        let text = format!("// {mark}: later\n// {mark}S and {}\nx.{name}()\n", mark.to_lowercase());
        let found = |path| -> Vec<usize> {
            findings(&Repository::of(&[(path, text.as_str())])).into_iter().map(|found| found.line).collect()
        };
        assert_eq!(found("src/a.rs"), [1, 3]);
        assert_eq!(found("tests/golden/one/make.py"), [1]);
        assert_eq!(found("data.json"), [0; 0]);
    }
}
