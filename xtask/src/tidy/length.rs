//! Files stay short: more than 400 lines need a reason in `xtask/long-files.txt`, more than 800 are refused.
//!
//! The list has one entry per line, `path: reason`. A file that is a table of constants has nothing to split; its
//! entry reads `path: table: reason` and lifts the upper limit too. Entries that no file needs are findings, so the
//! list shrinks with the files.

use std::collections::BTreeMap;

use super::Finding;
use crate::repository::Repository;

/// Lines that need no reason.
const FREE: usize = 400;
/// Lines that no reason excuses, except a table's.
const MOST: usize = 800;
/// The list of reasons.
const LIST: &str = "xtask/long-files.txt";

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let list = repository.file(LIST).map_or("", |file| file.text.as_str());
    let mut findings = Vec::new();
    let mut entries = BTreeMap::new();
    for (index, line) in list.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':').map(|(path, reason)| (path.trim(), reason.trim())) {
            Some((path, reason)) if !reason.is_empty() => _ = entries.insert(path, (index + 1, reason)),
            _ => findings.push(Finding::at(LIST, index + 1, "is not `path: reason`")),
        }
    }
    for file in repository.rust() {
        let lines = file.text.lines().count();
        if lines <= FREE {
            continue;
        }
        let entry = entries.remove(file.path.as_str());
        let table = entry.is_some_and(|(_, reason)| reason.starts_with("table:"));
        if lines > MOST && !table {
            findings.push(Finding::of(file, 0, format!("has {lines} lines; split it, {MOST} is the limit")));
        } else if entry.is_none() {
            let message =
                format!("has {lines} lines; split it or give a reason in {LIST} ({FREE} need none)");
            findings.push(Finding::of(file, 0, message));
        }
    }
    for (path, (line, _)) in entries {
        findings.push(Finding::at(LIST, line, format!("{path} needs no entry; remove it")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: usize, list: &str) -> Vec<String> {
        let text = "//\n".repeat(lines);
        let repository = Repository::of(&[("a.rs", text.as_str()), (LIST, list)]);
        findings(&repository).into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn short_files_need_nothing() {
        assert_eq!(found(FREE, ""), [""; 0]);
    }

    #[test]
    fn long_files_need_a_reason() {
        assert!(found(FREE + 1, "# reasons\n")[0].contains("has 401 lines"));
        assert_eq!(found(FREE + 1, "a.rs: one state machine\n"), [""; 0]);
        assert!(found(FREE + 1, "a.rs:\n")[0].contains("path: reason"));
    }

    #[test]
    fn only_tables_pass_the_upper_limit() {
        assert!(found(MOST + 1, "a.rs: one state machine\n")[0].contains("800 is the limit"));
        assert_eq!(found(MOST + 1, "a.rs: table: code points\n"), [""; 0]);
    }

    #[test]
    fn idle_entries_are_findings() {
        assert!(found(10, "a.rs: was long\n")[0].contains("remove it"));
        assert!(found(10, "gone.rs: was long\n")[0].contains("remove it"));
    }
}
