//! The packages that `cargo metadata` reports, reduced to what the checks ask about.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Every package of the build graph, members and dependencies, on every platform and with every feature.
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
}

/// One package.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The folder relative to the root for a workspace member; `None` for a dependency.
    pub(crate) member: Option<String>,
    /// The license expression of its manifest.
    pub(crate) license: Option<String>,
    pub(crate) edges: Vec<Edge>,
}

/// A dependency that a manifest declares.
pub(crate) struct Edge {
    pub(crate) name: String,
    pub(crate) dev: bool,
}

impl Metadata {
    /// Asks cargo about the workspace at `root`, without changing the lock file.
    pub(crate) fn read(root: &Path) -> Result<Metadata> {
        let output = cargo(root)
            .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
            .output()
            .context("cannot start cargo")?;
        ensure!(
            output.status.success(),
            "cargo metadata failed; build once so that Cargo.lock is current\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Metadata::parse(&serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?)
    }

    fn parse(value: &Value) -> Result<Metadata> {
        let root = text(value, "workspace_root")?;
        let members: Vec<&str> = list(value, "workspace_members")?.iter().filter_map(Value::as_str).collect();
        let package = |value: &Value| -> Result<Package> {
            let folder = Path::new(text(value, "manifest_path")?).parent().unwrap_or(Path::new(""));
            let relative = folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().replace('\\', "/");
            let edge = |edge: &Value| -> Result<Edge> {
                Ok(Edge { name: text(edge, "name")?.to_owned(), dev: edge["kind"].as_str() == Some("dev") })
            };
            Ok(Package {
                name: text(value, "name")?.to_owned(),
                version: text(value, "version")?.to_owned(),
                member: members.contains(&text(value, "id")?).then_some(relative),
                license: value["license"].as_str().map(str::to_owned),
                edges: list(value, "dependencies")?.iter().map(edge).collect::<Result<_>>()?,
            })
        };
        Ok(Metadata { packages: list(value, "packages")?.iter().map(package).collect::<Result<_>>()? })
    }
}

/// A command for the cargo that runs this tool, in the repository's root.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str> {
    value[key].as_str().with_context(|| format!("cargo metadata lacks the text {key:?}"))
}

fn list<'v>(value: &'v Value, key: &str) -> Result<&'v Vec<Value>> {
    value[key].as_array().with_context(|| format!("cargo metadata lacks the list {key:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_dependencies_are_told_apart() {
        let value = serde_json::json!({
            "workspace_root": "/r",
            "workspace_members": ["a-id"],
            "packages": [
                {"name": "a", "version": "1.0.0", "id": "a-id", "manifest_path": "/r/crates/a/Cargo.toml",
                 "license": "MIT", "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}]},
                {"name": "b", "version": "2.0.0", "id": "b-id", "manifest_path": "/elsewhere/b/Cargo.toml",
                 "license": null, "dependencies": []},
            ],
        });
        let metadata = Metadata::parse(&value).unwrap();
        assert_eq!(metadata.packages[0].member.as_deref(), Some("crates/a"));
        assert!(metadata.packages[0].edges[1].dev && !metadata.packages[0].edges[0].dev);
        assert!(metadata.packages[1].member.is_none() && metadata.packages[1].license.is_none());
    }

    #[test]
    fn missing_fields_are_errors_that_name_them() {
        let error = Metadata::parse(&serde_json::json!({})).err().unwrap().to_string();
        assert!(error.contains("workspace_root"), "{error}");
    }
}
