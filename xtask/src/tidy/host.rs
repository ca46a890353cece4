//! No package registry is named: where packages come from is the business of the machine that fetches them.
//!
//! The one exception is the lock file, which cargo writes with the name of its own default index.

use super::Finding;
use crate::repository::Repository;

/// Hosts and settings, put together from halves so that this file passes its own rule.
const NAMES: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("download.pytorch", ".org"),
    concat!("anaconda", ".org"),
    concat!("npmjs", ".org"),
    concat!("proxy.golang", ".org"),
    concat!("maven", ".org"),
    concat!("rubygems", ".org"),
    concat!("docker", ".io"),
    concat!("index", "-url"),
    concat!("replace", "-with"),
];

/// The source of every package in the lock file.
const LOCKED: &str = concat!("source = \"registry+https://github.com/rust-lang/crates", ".io-index\"");

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &repository.files {
        let lock = file.name() == "Cargo.lock";
        for (index, line) in file.text.lines().enumerate() {
            if lock {
                if line.starts_with("source = ") && line != LOCKED {
                    findings.push(Finding::of(
                        file,
                        index + 1,
                        "locks a package from outside cargo's default index",
                    ));
                }
            } else if let Some(name) = NAMES.iter().find(|name| line.contains(*name)) {
                let message =
                    format!("names the package registry setting or host {name}; say \"the registry\"");
                findings.push(Finding::of(file, index + 1, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_refused_outside_the_lock_file() {
        let host = NAMES[0];
        let text = format!("see https://{host}/x\n");
        assert_eq!(findings(&Repository::of(&[("README.md", text.as_str())])).len(), 1);
        assert_eq!(findings(&Repository::of(&[("README.md", "see https://example.com\n")])), []);
    }

    #[test]
    fn the_lock_file_names_the_default_index_only() {
        let fine = format!("{LOCKED}\n");
        assert_eq!(findings(&Repository::of(&[("Cargo.lock", fine.as_str())])), []);
        let other = "source = \"registry+https://mirror.example/index\"\n";
        assert_eq!(findings(&Repository::of(&[("Cargo.lock", other)])).len(), 1);
    }
}
