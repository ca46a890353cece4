//! Libraries return errors: no panics and no printing outside tests.
//!
//! A documented precondition of a kernel is checked with `assert!`, or with `panic!` in a function under
//! `#[track_caller]`: that is the caller's fault, and the message shows the caller. The program and this tool may
//! print; nobody leaves debugging or unwritten code behind.

use super::Finding;
use crate::repository::{File, Repository};
use crate::source::has_word;

/// Refused in library code.
const LIBRARY: &[(&str, &str)] = &[
    (".unwrap()", "return an error"),
    (".unwrap_err()", "return an error"),
    (".expect(", "return an error"),
    (".expect_err(", "return an error"),
    ("panic!", "return an error, or put a documented precondition under `#[track_caller]`"),
    ("println!", "return the text; the program prints"),
    ("print!", "return the text; the program prints"),
    ("eprintln!", "emit an event; the program prints"),
    ("eprint!", "emit an event; the program prints"),
];

/// Refused everywhere, tests included.
const ANYWHERE: &[(&str, &str)] =
    &[("dbg!", "remove it"), ("todo!", "write the code"), ("unimplemented!", "write the code")];

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.rust() {
        let library = if file.is_library_source() { LIBRARY } else { &[] };
        for (number, line) in file.source().shipped_lines() {
            let excused = |what: &str| what == "panic!" && file.source().blames_caller(number);
            let faults = library.iter().filter(|(what, _)| has(line, what) && !excused(what));
            findings.extend(faults.map(|fault| finding(file, number, fault)));
        }
        for (number, line) in file.source().lines() {
            let faults = ANYWHERE.iter().filter(|(what, _)| has(line, what));
            findings.extend(faults.map(|fault| finding(file, number, fault)));
        }
    }
    findings
}

fn finding(file: &File, line: usize, (what, advice): &(&str, &str)) -> Finding {
    Finding::of(file, line, format!("has `{what}`: {advice}"))
}

/// Whether a line of code has the macro or the method call.
fn has(line: &str, what: &str) -> bool {
    if !what.starts_with('.') {
        return has_word(line, what);
    }
    // A parser may have a method of its own called `expect`. The one that panics takes a message, and literals are
    // blank here; clippy, which knows types, finds messages built otherwise.
    let own_method = |rest: &str| what.ends_with('(') && rest.starts_with(|c: char| !c.is_whitespace());
    line.match_indices(what).any(|(at, _)| !own_method(&line[at + what.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    const TEXT: &str = "//! Doc with panic!().\nfn f() { g().unwrap(); println!(); }\nfn h() { dbg!(1); }\n\
                        #[cfg(test)]\nmod tests { fn t() { g().unwrap(); todo!() } }\n";

    fn lines(path: &str) -> Vec<(usize, String)> {
        let found = findings(&Repository::of(&[(path, TEXT)]));
        found.into_iter().map(|found| (found.line, found.message)).collect()
    }

    #[test]
    fn libraries_neither_panic_nor_print() {
        let found = lines("crates/tenfold-weight/src/a.rs");
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 2, 3, 5]);
        assert!(found[0].1.contains(".unwrap()") && found[1].1.contains("println!"), "{found:?}");
    }

    #[test]
    fn programs_and_tests_may_but_leave_no_debris() {
        for path in ["crates/tenfold/src/main.rs", "xtask/src/a.rs", "crates/tenfold-weight/tests/it.rs"] {
            assert_eq!(lines(path).len(), 2, "{path}");
        }
    }

    #[test]
    fn methods_that_take_a_message_are_told_from_a_parsers_own() {
        assert!(has(Source::scan("x.expect(\"a\")").lines().next().unwrap().1, ".expect("));
        assert!(has("x.expect(", ".expect("));
        assert!(!has("reader.expect(count * 2)?", ".expect("));
    }

    #[test]
    fn neighbors_of_the_patterns_pass() {
        let text = "//! Doc.\nx.unwrap_or(1); x.expected(); self.expect(a)?; writeln!(f); assert!(a);\n\
                    #[track_caller]\nfn f() { panic!() }\n";
        assert_eq!(findings(&Repository::of(&[("crates/tenfold-weight/src/a.rs", text)])), []);
    }
}
