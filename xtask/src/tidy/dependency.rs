//! Third-party dependencies are listed once, in the root manifest, each with a comment that says why it is there.

use super::Finding;
use crate::repository::{File, Repository};

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.files.iter().filter(|file| file.name() == "Cargo.toml") {
        let root = file.path == "Cargo.toml";
        // A manifest with a workspace of its own (fuzz targets, measurements) stands outside and lists its own.
        if !root && file.text.lines().any(|line| line.trim() == "[workspace]") {
            continue;
        }
        for (number, section, line) in entries(file) {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            if root && section == "workspace.dependencies" {
                if !value.contains("path = ") && !line.contains(" # ") {
                    let message = format!("{} has no comment; say why it is needed", name.trim());
                    findings.push(Finding::of(file, number, message));
                }
            } else if section.ends_with("dependencies") && !line.contains("workspace = true") {
                let message = format!("{} is not taken from the workspace's list", name.trim());
                findings.push(Finding::of(file, number, message));
            }
        }
    }
    findings
}

/// Lines of a manifest below a table's head: line number, table name and line.
fn entries(file: &File) -> impl Iterator<Item = (usize, &str, &str)> {
    let mut section = "";
    file.text.lines().enumerate().filter_map(move |(index, line)| {
        let line = line.trim();
        if let Some(head) = line.strip_prefix('[') {
            section = head.split(']').next().unwrap_or("");
            return None;
        }
        let blank = line.is_empty() || line.starts_with('#');
        // `name.workspace = true` reads like the table form.
        (!blank).then_some((index + 1, section, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        findings(&Repository::of(&[(path, text)])).into_iter().map(|found| found.line).collect()
    }

    #[test]
    fn the_root_list_says_why() {
        let text = "[workspace.dependencies]\nours = { path = \"crates/ours\" }\na = \"1\" # threads (MIT)\nb = \"1\"\n\
                    # A heading.\n[profile.dev]\nopt-level = 2\n";
        assert_eq!(found("Cargo.toml", text), [4]);
    }

    #[test]
    fn members_take_from_the_root_list() {
        let text = "[package]\nname = \"x\"\n[dependencies]\na = { workspace = true }\nb.workspace = true\n\
                    [dev-dependencies]\nc = \"1\"\n[target.'cfg(unix)'.dependencies]\nd = \"1\"\n";
        assert_eq!(found("crates/x/Cargo.toml", text), [7, 9]);
        assert_eq!(found("fuzz/Cargo.toml", &format!("[workspace]\n{text}")), [0; 0]);
    }
}
