//! No absolute path of somebody's machine: it means nothing on another, and says where this one keeps its things.

use super::Finding;
use crate::repository::Repository;

/// Top-level folders that hold people's work or scratch files. Written without their slash, so that this file
/// passes its own rule.
const FOLDERS: &[&str] = &["home", "root", "tmp", "work", "farm", "Users", "mnt", "scratch"];

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(folder) = machine_folder(line) {
                let message = format!("has a path below the machine's {folder:?} folder; make it relative");
                findings.push(Finding::of(file, index + 1, message));
            }
        }
    }
    findings
}

fn machine_folder(line: &str) -> Option<&'static str> {
    let starts_path = |before: &str| {
        !before.ends_with(|c: char| {
            c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '~' | '}' | ')' | '*' | '/')
        }) || before.ends_with("file://")
    };
    line.match_indices('/').filter(|(at, _)| starts_path(&line[..*at])).find_map(|(at, _)| {
        let rest = &line[at + 1..];
        let name = rest.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next()?;
        let followed = rest[name.len()..].starts_with('/');
        FOLDERS.iter().copied().find(|folder| followed && *folder == name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_found_and_relative_ones_pass() {
        for folder in FOLDERS {
            for before in ["", "\"", "cd ", "(", "=", "file://"] {
                assert_eq!(machine_folder(&format!("{before}/{folder}/x")), Some(*folder), "{before}");
            }
            for before in ["..", "https://host", "$HOME", "{dir}", "~", "a/b"] {
                assert_eq!(machine_folder(&format!("{before}/{folder}/x")), None, "{before}");
            }
        }
        assert_eq!(machine_folder("either/or, and /usr/bin/env, and /working/x"), None);
    }
}
