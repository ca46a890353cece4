//! `unsafe` stays in the crates that need it, and each block says why it is sound.
//!
//! The reason is a comment with `SAFETY:` that ends at most three lines above the block, or stands on its line.
//! A function that is unsafe to call documents its conditions for the caller instead (clippy asks for those), and
//! the blocks inside it carry their own.

use super::Finding;
use crate::repository::{File, Repository};

/// Where unsafe code may be, and how many blocks: arrays and kernels, matrices, and the one call that maps a file.
const PERMITTED: &[(&str, usize)] = &[
    ("crates/tenfold-tensor/", usize::MAX),
    ("crates/tenfold-linalg/", usize::MAX),
    ("crates/tenfold-format/", 1),
];

/// How far above its block the comment may end.
const REACH: usize = 3;

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut left: Vec<(&str, usize)> = PERMITTED.to_vec();
    for file in repository.rust() {
        for (number, needs_reason) in occurrences(file) {
            let fault = match left.iter_mut().find(|(prefix, _)| file.path.starts_with(prefix)) {
                None => Some("unsafe code is not permitted in this crate"),
                Some((_, 0)) => Some("this crate has used up its unsafe blocks"),
                Some((_, count)) => {
                    *count -= 1;
                    None
                }
            };
            findings.extend(fault.map(|message| Finding::of(file, number, message)));
            if needs_reason && !has_reason(&file.text, number) {
                let message = "unsafe without a `// SAFETY:` comment within the three lines above";
                findings.push(Finding::of(file, number, message));
            }
        }
    }
    findings
}

/// Lines with the keyword, and whether it opens a block or an implementation.
fn occurrences(file: &File) -> Vec<(usize, bool)> {
    let lines: Vec<(usize, &str)> = file.source().lines().collect();
    let mut found = Vec::new();
    for (index, (number, line)) in lines.iter().enumerate() {
        for (at, word) in line.match_indices("unsafe") {
            let inside_word = |c: char| c.is_alphanumeric() || c == '_';
            let rest = &line[at + word.len()..];
            if line[..at].ends_with(inside_word) || rest.starts_with(inside_word) {
                continue;
            }
            let next_line = lines.get(index + 1).map_or("", |(_, next)| next);
            let after = if rest.trim().is_empty() { next_line.trim_start() } else { rest.trim_start() };
            found.push((*number, after.starts_with('{') || after.starts_with("impl")));
        }
    }
    found
}

fn has_reason(text: &str, number: usize) -> bool {
    let lines: Vec<&str> = text.lines().collect();
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let own = number - 1;
    if lines[own].contains("SAFETY:") {
        return true;
    }
    let Some(end) = (own.saturating_sub(REACH)..own).rev().find(|&at| is_comment(lines[at])) else {
        return false;
    };
    (0..=end).rev().take_while(|&at| is_comment(lines[at])).any(|at| lines[at].contains("SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        findings(&Repository::of(&[(path, text)])).into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn blocks_need_a_reason_close_above() {
        let path = "crates/tenfold-tensor/src/a.rs";
        assert_eq!(
            found(
                path,
                "// SAFETY: the slice is longer,\n// as asserted above.\nlet x =\n  unsafe { f() };\n"
            ),
            [""; 0]
        );
        assert_eq!(found(path, "let x = unsafe { f() }; // SAFETY: checked above.\n"), [""; 0]);
        assert!(found(path, "// Fast.\nunsafe\n{ f() };\n")[0].contains("SAFETY"));
        assert!(found(path, "// SAFETY: far.\n\n\n\nunsafe { f() };\n")[0].contains("SAFETY"));
        assert!(found(path, "unsafe impl Send for X {}\n")[0].contains("SAFETY"));
        assert_eq!(found(path, "pub unsafe fn f() {}\n#![deny(unsafe_code)]\n// unsafe { }\n"), [""; 0]);
    }

    #[test]
    fn other_crates_have_no_unsafe_code() {
        let text = "// SAFETY: x.\nunsafe { f() }\n";
        assert!(found("crates/tenfold-model/src/a.rs", text)[0].contains("not permitted"));
        assert_eq!(found("crates/tenfold-format/src/a.rs", text), [""; 0]);
        assert!(found("crates/tenfold-format/src/a.rs", &text.repeat(2))[0].contains("used up"));
    }
}
