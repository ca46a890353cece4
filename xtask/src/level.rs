//! Crates depend strictly downward, and each third-party engine is named by one crate only.
//!
//! A member's level stands in its comment in the root manifest: `"crates/x", # L2 what it is`, or `# dev only` for
//! test support. That list is the table that people read, so it is the one checked.

use std::collections::BTreeMap;

use crate::metadata::Metadata;

/// Dependencies that only the named members may declare: whoever wants what they do asks those members for it.
const RESERVED: &[(&str, &[&str])] = &[
    ("anyhow", &["tenfold", "xtask"]),
    ("clap", &["tenfold"]),
    ("ctrlc", &["tenfold"]),
    ("cudarc", &["tenfold-tensor"]),
    ("faer", &["tenfold-linalg"]),
    ("gemm", &["tenfold-tensor"]),
    ("indicatif", &["tenfold"]),
    ("memmap2", &["tenfold-format"]),
    ("mimalloc", &["tenfold"]),
    ("mpi", &["tenfold-train"]),
    ("safetensors", &["tenfold-format"]),
    ("tokenizers", &["tenfold-format"]),
    ("ureq", &["tenfold-format"]),
    ("zip", &["tenfold-format"]),
];

/// A member's place in the workspace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Level {
    /// May depend on lower numbers.
    Number(u32),
    /// Test support: may depend on any numbered level, and only dev-dependencies may name it.
    DevOnly,
    /// This tool: no edges to or from other members.
    Tool,
}

/// Edges that do not go down, test support outside tests, and reserved dependencies in the wrong crate.
pub(crate) fn findings(metadata: &Metadata, root_manifest: &str) -> Vec<String> {
    let declared = declared(root_manifest);
    let mut findings = Vec::new();
    let mut levels = BTreeMap::new();
    for package in &metadata.packages {
        let Some(folder) = &package.member else { continue };
        match declared.get(folder.as_str()) {
            Some(level) => _ = levels.insert(package.name.as_str(), *level),
            None => findings.push(format!(
                "{}: its line among the members in Cargo.toml has no comment that begins with its level",
                package.name
            )),
        }
    }
    for package in metadata.packages.iter().filter(|package| package.member.is_some()) {
        let Some(&from) = levels.get(package.name.as_str()) else { continue };
        for edge in &package.edges {
            if let Some((name, allowed)) = RESERVED.iter().find(|(name, _)| *name == edge.name)
                && !allowed.contains(&package.name.as_str())
            {
                findings.push(format!(
                    "{} names {name}, which only {} may name",
                    package.name,
                    allowed.join(", ")
                ));
            }
            let Some(&to) = levels.get(edge.name.as_str()) else { continue };
            if let Some(fault) = fault(from, to, edge.dev) {
                findings.push(format!("{} -> {}: {fault}", package.name, edge.name));
            }
        }
    }
    findings
}

fn fault(from: Level, to: Level, dev: bool) -> Option<String> {
    match (from, to) {
        (Level::Number(from), Level::Number(to)) if to < from => None,
        (Level::Number(from), Level::Number(to)) => {
            Some(format!("an edge from L{from} to L{to} does not go down; move the shared part lower"))
        }
        (Level::Number(_), Level::DevOnly) if dev => None,
        (_, Level::DevOnly) => Some("test support belongs in [dev-dependencies]".to_owned()),
        (Level::DevOnly, Level::Number(_)) => None,
        (Level::Tool, _) | (_, Level::Tool) => Some("xtask stands apart from the other members".to_owned()),
    }
}

/// The members' folders and levels, read from the comments of the root manifest.
fn declared(root_manifest: &str) -> BTreeMap<&str, Level> {
    let members = root_manifest.lines().skip_while(|line| !line.starts_with("members"));
    let level = |line: &'_ str| -> Option<Level> {
        let comment = line.split_once('#')?.1.trim();
        if comment.starts_with("dev only") {
            return Some(Level::DevOnly);
        }
        comment.split_whitespace().next()?.strip_prefix('L')?.parse().ok().map(Level::Number)
    };
    members
        .take_while(|line| line.trim() != "]")
        .filter_map(|line| {
            let folder = line.trim().strip_prefix('"')?.split_once('"')?.0;
            if folder == "xtask" { Some((folder, Level::Tool)) } else { Some((folder, level(line)?)) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{Edge, Package};

    const MANIFEST: &str = r#"
members = [
  "crates/low",  # L0 arrays
  "crates/tenfold",  # L7 the program
  "crates/kit",  # dev only: laws
  "crates/stray",
  "xtask", # check
]
"#;

    fn found(edges: &[(&str, &str, bool)]) -> Vec<String> {
        let package = |name: &str| Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            member: Some(if name == "xtask" { name.to_owned() } else { format!("crates/{name}") }),
            license: None,
            edges: edges
                .iter()
                .filter(|(from, ..)| *from == name)
                .map(|(_, to, dev)| Edge { name: (*to).to_owned(), dev: *dev })
                .collect(),
        };
        let packages = ["low", "tenfold", "kit", "xtask"].map(package).into();
        findings(&Metadata { packages }, MANIFEST)
    }

    #[test]
    fn downward_edges_and_test_support_in_tests_pass() {
        assert_eq!(found(&[("tenfold", "low", false), ("low", "kit", true), ("kit", "low", false)]), [""; 0]);
    }

    #[test]
    fn edges_up_or_sideways_are_refused() {
        assert!(found(&[("low", "tenfold", false)])[0].contains("L0 to L7"));
        assert!(found(&[("low", "low", false)])[0].contains("L0 to L0"));
        assert!(found(&[("tenfold", "kit", false)])[0].contains("dev-dependencies"));
        assert!(found(&[("xtask", "low", false)])[0].contains("apart"));
        assert!(found(&[("low", "xtask", true)])[0].contains("apart"));
    }

    #[test]
    fn reserved_dependencies_have_one_home() {
        assert!(found(&[("low", "gemm", false)])[0].contains("only tenfold-tensor"));
        assert_eq!(found(&[("tenfold", "clap", false), ("xtask", "anyhow", false)]), [""; 0]);
    }

    #[test]
    fn members_without_a_level_are_refused() {
        let levels = declared(MANIFEST);
        assert_eq!(levels.get("crates/kit"), Some(&Level::DevOnly));
        assert_eq!(levels.get("crates/tenfold"), Some(&Level::Number(7)));
        let stray = Package {
            name: "stray".to_owned(),
            version: String::new(),
            member: Some("crates/stray".to_owned()),
            license: None,
            edges: Vec::new(),
        };
        assert!(findings(&Metadata { packages: vec![stray] }, MANIFEST)[0].starts_with("stray:"));
    }
}
