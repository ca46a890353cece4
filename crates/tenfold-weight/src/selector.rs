//! The selector language: which weights, and which of their leaves.
//!
//! | pattern | matches |
//! |---|---|
//! | `encoder.layer.0.output.dense.weight` | that path |
//! | `*` | exactly one segment, or any run of characters inside one (`LayerNorm.*`, `w*`) |
//! | `**` | any number of segments, none included |
//! | `{query,key}` | either; alternatives may hold dots |
//! | `[0-5,8]` | a number in one of the ranges, bounds included |
//! | `…#auxiliary` | only leaves of that role; `#auxiliary` alone means on any path |

use crate::error::{Error, SelectorFault};
use crate::path::Path;
use crate::role::Role;
use std::fmt;

/// The most patterns that braces may expand to.
const EXPANSION_MAX: usize = 256;

/// A parsed selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    text: String,
    patterns: Vec<Vec<Segment>>,
    role: Option<Role>,
}

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    AnyMany,
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    Star,
    Ranges(Vec<(u64, u64)>),
}

impl Selector {
    /// Parses a selector.
    ///
    /// # Errors
    /// [`Error::Selector`] for unbalanced brackets, empty segments, unknown roles and malformed ranges.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let fail = |fault| Error::Selector { selector: text.to_owned(), fault };
        let (pattern, role) = match text.split_once('#') {
            Some((pattern, word)) => {
                let role =
                    Role::parse(word).ok_or_else(|| fail(SelectorFault::UnknownRole(word.to_owned())))?;
                (pattern, Some(role))
            }
            None => (text, None),
        };
        let pattern = if pattern.is_empty() && role.is_some() { "**" } else { pattern };
        let mut expanded = Vec::new();
        expand(pattern, &mut expanded).map_err(fail)?;
        let patterns =
            expanded.iter().map(|one| segments(one)).collect::<Result<Vec<_>, _>>().map_err(fail)?;
        Ok(Self { text: text.to_owned(), patterns, role })
    }

    /// The text it was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The role it asks for, if any.
    pub fn role(&self) -> Option<Role> {
        self.role
    }

    /// Whether the path matches, whatever the role.
    pub fn matches(&self, path: &Path) -> bool {
        let parts: Vec<&str> = path.as_str().split('.').collect();
        self.patterns.iter().any(|pattern| matches_segments(pattern, &parts))
    }

    /// Whether a leaf of this role on this path matches.
    pub fn matches_leaf(&self, path: &Path, role: Role) -> bool {
        self.role.is_none_or(|wanted| wanted == role) && self.matches(path)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

fn expand(pattern: &str, into: &mut Vec<String>) -> Result<(), SelectorFault> {
    if into.len() >= EXPANSION_MAX {
        return Err(SelectorFault::TooManyAlternatives(EXPANSION_MAX));
    }
    let Some(open) = pattern.find('{') else {
        if pattern.contains('}') {
            return Err(SelectorFault::Unbalanced('}'));
        }
        into.push(pattern.to_owned());
        return Ok(());
    };
    let mut depth = 0usize;
    let mut cuts = vec![open];
    let mut close = None;
    for (at, sign) in pattern.char_indices().skip_while(|(at, _)| *at < open) {
        match sign {
            '{' => depth += 1,
            ',' if depth == 1 => cuts.push(at),
            '}' => {
                depth -= 1;
                if depth == 0 {
                    close = Some(at);
                    break;
                }
            }
            _ => {}
        }
    }
    let close = close.ok_or(SelectorFault::Unbalanced('{'))?;
    cuts.push(close);
    for pair in cuts.windows(2) {
        let choice = &pattern[pair[0] + 1..pair[1]];
        expand(&format!("{}{choice}{}", &pattern[..open], &pattern[close + 1..]), into)?;
    }
    Ok(())
}

fn segments(pattern: &str) -> Result<Vec<Segment>, SelectorFault> {
    pattern
        .split('.')
        .map(|text| match text {
            "" => Err(SelectorFault::EmptySegment),
            "**" => Ok(Segment::AnyMany),
            _ => parts(text).map(Segment::Parts),
        })
        .collect()
}

fn parts(text: &str) -> Result<Vec<Part>, SelectorFault> {
    let mut found = Vec::new();
    let mut literal = String::new();
    let mut rest = text.chars();
    while let Some(sign) = rest.next() {
        let part = match sign {
            '*' => Part::Star,
            '[' => {
                let inside: String = rest.by_ref().take_while(|c| *c != ']').collect();
                if text.matches('[').count() != text.matches(']').count() {
                    return Err(SelectorFault::Unbalanced('['));
                }
                Part::Ranges(ranges(&inside)?)
            }
            ']' => return Err(SelectorFault::Unbalanced(']')),
            other => {
                literal.push(other);
                continue;
            }
        };
        if !literal.is_empty() {
            found.push(Part::Literal(std::mem::take(&mut literal)));
        }
        found.push(part);
    }
    if !literal.is_empty() {
        found.push(Part::Literal(literal));
    }
    Ok(found)
}

fn ranges(text: &str) -> Result<Vec<(u64, u64)>, SelectorFault> {
    let bad = || SelectorFault::BadRange(text.to_owned());
    text.split(',')
        .map(|range| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let from: u64 = from.trim().parse().map_err(|_| bad())?;
            let to: u64 = to.trim().parse().map_err(|_| bad())?;
            if from > to { Err(bad()) } else { Ok((from, to)) }
        })
        .collect()
}

fn matches_segments(pattern: &[Segment], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((Segment::AnyMany, rest)) => (0..=path.len()).any(|skip| matches_segments(rest, &path[skip..])),
        Some((Segment::Parts(parts), rest)) => path
            .split_first()
            .is_some_and(|(first, more)| matches_parts(parts, first) && matches_segments(rest, more)),
    }
}

fn matches_parts(parts: &[Part], text: &str) -> bool {
    match parts.split_first() {
        None => text.is_empty(),
        Some((Part::Literal(literal), rest)) => {
            text.strip_prefix(literal.as_str()).is_some_and(|more| matches_parts(rest, more))
        }
        Some((Part::Star, rest)) => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| matches_parts(rest, &text[at..])),
        Some((Part::Ranges(ranges), rest)) => {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            (1..=digits).rev().any(|end| {
                text[..end]
                    .parse::<u64>()
                    .is_ok_and(|n| ranges.iter().any(|(from, to)| (*from..=*to).contains(&n)))
                    && matches_parts(rest, &text[end..])
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, yes: &[&str], no: &[&str]) {
        let selector = Selector::parse(selector).unwrap();
        for path in yes {
            assert!(selector.matches(&Path::new(path)), "{selector} should match {path}");
        }
        for path in no {
            assert!(!selector.matches(&Path::new(path)), "{selector} should not match {path}");
        }
    }

    #[test]
    fn patterns_match_as_documented() {
        check("a.b", &["a.b"], &["a", "a.b.c", "a.bb"]);
        check("a.*.c", &["a.b.c"], &["a.c", "a.b.b.c"]);
        check("**.bias", &["bias", "a.bias", "a.b.bias"], &["a.bias.b"]);
        check("a.**.w", &["a.w", "a.b.c.w"], &["b.a.w"]);
        check("l.{q,k.x}.w", &["l.q.w", "l.k.x.w"], &["l.k.w"]);
        check("l.[0-3,11].w", &["l.0.w", "l.3.w", "l.11.w"], &["l.4.w", "l.x.w", "l.111.w"]);
        check("l.h[2-12]x*", &["l.h12xy", "l.h2x"], &["l.h1x", "l.h13x"]);
        check("{a,b}.{c,{d,e}}", &["a.c", "b.e"], &["a.f"]);
        check("**", &["a", "a.b"], &[]);
    }

    #[test]
    fn roles_narrow() {
        let selector = Selector::parse("#auxiliary").unwrap();
        assert!(selector.matches_leaf(&Path::new("x.y"), Role::Auxiliary));
        assert!(!selector.matches_leaf(&Path::new("x.y"), Role::Central));
        assert!(Selector::parse("a.*").unwrap().matches_leaf(&Path::new("a.b"), Role::Up));
    }

    #[test]
    fn malformed_selectors_are_named() {
        for (text, word) in [
            ("a..b", "empty"),
            ("a.{b", "{"),
            ("a}", "}"),
            ("a.[x]", "range"),
            ("a.[4-2]", "range"),
            ("a.[1", "["),
            ("a#nope", "nope"),
            ("", "empty"),
        ] {
            let message = Selector::parse(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
