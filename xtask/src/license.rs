//! Every dependency must be usable under a permissive license.
//!
//! A manifest states an expression such as `MIT OR (Apache-2.0 AND Unicode-3.0)`. It passes when some choice among
//! its alternatives needs only licenses from the list below. A crate that states none, or an expression that does
//! not parse, fails: somebody has to look.

use crate::metadata::Metadata;

/// Licenses that ask for attribution at most, by SPDX identifier. Copyleft of any strength is left out on purpose:
/// the program links everything statically and is itself offered as MIT or Apache-2.0.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0", // the table of certificate authorities: data, with its license text as the only duty
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0", // the Unicode tables inside text-handling crates
    "Unlicense",
    "Zlib",
];

/// Dependencies whose license is missing, unreadable or not permissive.
pub(crate) fn findings(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.member.is_none()) {
        let crate_name = format!("{} {}", package.name, package.version);
        match package.license.as_deref().map(|expression| (expression, satisfied(expression))) {
            None => findings.push(format!("{crate_name} states no license; choose another crate")),
            Some((_, Some(true))) => {}
            Some((expression, Some(false))) => findings.push(format!(
                "{crate_name} is licensed {expression:?}, which the permissive list in xtask/src/license.rs does not satisfy"
            )),
            Some((expression, None)) => {
                findings.push(format!("{crate_name} has the license expression {expression:?}, which does not parse"));
            }
        }
    }
    findings
}

/// Whether permissive licenses alone satisfy the expression; `None` when it does not parse.
fn satisfied(expression: &str) -> Option<bool> {
    // Older manifests write a slash where the standard has OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let value = alternatives(&mut words)?;
    words.next().is_none().then_some(value)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn alternatives(words: &mut Words<'_>) -> Option<bool> {
    let mut value = conjunction(words)?;
    while words.next_if_eq(&"OR").is_some() {
        value |= conjunction(words)?;
    }
    Some(value)
}

fn conjunction(words: &mut Words<'_>) -> Option<bool> {
    let mut value = term(words)?;
    while words.next_if_eq(&"AND").is_some() {
        value &= term(words)?;
    }
    Some(value)
}

fn term(words: &mut Words<'_>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let value = alternatives(words)?;
            words.next_if_eq(&")")?;
            Some(value)
        }
        "AND" | "OR" | "WITH" | ")" => None,
        name => {
            // An exception grants more than its license does, so the license decides.
            if words.next_if_eq(&"WITH").is_some() {
                words.next()?;
            }
            Some(PERMISSIVE.contains(&name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;

    #[test]
    fn expressions_are_evaluated_with_their_precedence() {
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("MIT/Apache-2.0", Some(true)),
            ("GPL-3.0-only OR MIT", Some(true)),
            ("MIT AND GPL-3.0-only", Some(false)),
            ("MIT OR GPL-3.0-only AND MPL-2.0", Some(true)),
            ("(MIT OR GPL-3.0-only) AND MPL-2.0", Some(false)),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Some(true)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT Apache-2.0", None),
            ("", None),
        ] {
            assert_eq!(satisfied(expression), expected, "{expression}");
        }
    }

    #[test]
    fn findings_name_the_crate_and_spare_members() {
        let package = |name: &str, member: Option<&str>, license: Option<&str>| Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            member: member.map(str::to_owned),
            license: license.map(str::to_owned),
            edges: Vec::new(),
        };
        let metadata = Metadata {
            packages: vec![
                package("ours", Some("crates/ours"), None),
                package("fine", None, Some("Zlib")),
                package("copyleft", None, Some("AGPL-3.0")),
                package("silent", None, None),
                package("odd", None, Some("see file")),
            ],
        };
        let found = findings(&metadata);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(
            found[0].starts_with("copyleft 1.0.0")
                && found[1].starts_with("silent")
                && found[2].starts_with("odd")
        );
    }
}
