//! Links in Markdown files to files of the repository lead somewhere.
//!
//! Links to other sites are not followed: checks need no network. Links inside Rust docs are rustdoc's to check.

use super::Finding;
use crate::repository::Repository;

pub(super) fn findings(repository: &Repository) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in repository.files.iter().filter(|file| file.extension() == "md") {
        for (number, target) in targets(&file.text) {
            let path = target.split('#').next().unwrap_or("");
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            match resolve(&file.path, path) {
                None => findings.push(Finding::of(
                    file,
                    number,
                    format!("the link {target} leaves the repository"),
                )),
                Some(full) if !repository.has(&full) => {
                    findings.push(Finding::of(file, number, format!("the link {target} leads nowhere")));
                }
                Some(_) => {}
            }
        }
    }
    findings
}

/// Link targets with their line numbers, outside code.
fn targets(markdown: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut inside_code = false;
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            inside_code = !inside_code;
        }
        if inside_code {
            continue;
        }
        let line = without_code_spans(line);
        // `[text](target)`, `[label]: target` and HTML attributes.
        for (open, close) in [("](", ')'), ("src=\"", '"'), ("href=\"", '"')] {
            for (at, _) in line.match_indices(open) {
                let rest = &line[at + open.len()..];
                let target = rest.split(close).next().unwrap_or("");
                found.push((index + 1, plain(target)));
            }
        }
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]:")
        {
            found.push((index + 1, plain(target)));
        }
    }
    found
}

/// A target without its title and angle brackets.
fn plain(target: &str) -> String {
    let target = target.trim();
    match target.strip_prefix('<') {
        Some(rest) => rest.split('>').next().unwrap_or("").to_owned(),
        None => target.split_whitespace().next().unwrap_or("").to_owned(),
    }
}

fn without_code_spans(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // An odd tick at the end opens nothing.
    let closed = parts.len() - usize::from(parts.len().is_multiple_of(2));
    let kept = parts.iter().enumerate().filter(|(index, _)| index % 2 == 0 || *index >= closed);
    kept.map(|(_, part)| *part).collect()
}

/// The path that a link in `from` means, relative to the root; `None` when it climbs out.
fn resolve(from: &str, target: &str) -> Option<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = if target.starts_with('/') { Vec::new() } else { folder.split('/').collect() };
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.iter().all(|part| part.is_empty()) {
                    return None;
                }
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.retain(|part| !part.is_empty());
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let files =
            [("docs/page.md", text), ("docs/other.md", ""), ("README.md", ""), ("docs/img/a.svg", "")];
        findings(&Repository::of(&files)).into_iter().map(|found| found.message).collect()
    }

    #[test]
    fn links_that_resolve_pass() {
        let text = "[a](other.md#part) [b](../README.md \"title\") ![c](<img/a.svg>) [d](#here) [e](https://x.y/z)\n\
                    [f](img/) [g](../)\n[label]: ./other.md\n<img src=\"img/a.svg\">\n";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn broken_links_are_named() {
        for text in ["[a](gone.md)", "[label]: gone.md", "<a href=\"gone.md\">", "`x` [a](gone.md) `y"] {
            assert_eq!(found(text), ["the link gone.md leads nowhere"], "{text}");
        }
        assert_eq!(found("[a](../../x.md)"), ["the link ../../x.md leaves the repository"]);
    }

    #[test]
    fn code_holds_no_links() {
        assert_eq!(found("`[a](gone.md)`\n```\n[a](gone.md)\n```\n"), [""; 0]);
    }
}
