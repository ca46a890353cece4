//! A small scanner for Rust source: which characters are code, and which lines are there only for tests.
//!
//! Rules look for words such as a macro's name. Comments and literals hold the same words innocently, so they are
//! blanked out first; line numbers and columns stay as they were. This is not a parser: it knows comments, literals,
//! attributes and matching braces, which is all that the rules need.

use std::ops::Range;

/// Rust source with comments and literals blanked out, and the lines of some items marked.
pub(crate) struct Source {
    code: String,
    /// Lines that are there only for tests.
    test: Vec<bool>,
    /// Lines of functions that blame their caller, `#[track_caller]`.
    blaming: Vec<bool>,
}

impl Source {
    /// Scans a file's text.
    pub(crate) fn scan(text: &str) -> Source {
        let code = blank(text);
        let test = marked(&code, &test_regions(&code));
        let blaming = marked(&code, &items_under(&code, |attribute| attribute.trim() == "track_caller"));
        Source { code, test, blaming }
    }

    /// Every line of code with its number, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines outside tests.
    pub(crate) fn shipped_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(number, _)| !self.test[number - 1])
    }

    /// Whether a line belongs to a function under `#[track_caller]`: one whose panics are its caller's fault.
    pub(crate) fn blames_caller(&self, number: usize) -> bool {
        self.blaming.get(number - 1).copied().unwrap_or(false)
    }
}

/// Whether `word` is in `line` and is not the tail or head of a longer identifier.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let joined_before = line[..at].ends_with(is_identifier);
        let joined_after =
            word.ends_with(is_identifier) && line[at + word.len()..].starts_with(is_identifier);
        !joined_before && !joined_after
    })
}

fn is_identifier(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count()
}

/// Replaces comments and the insides of literals by spaces, byte for byte.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = skip(bytes, at);
        for slot in &mut out[at..end.max(at)] {
            if *slot != b'\n' {
                *slot = b' ';
            }
        }
        at = if end > at { end } else { at + 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The end of the comment or literal that begins at `at`; `at` itself when none does.
fn skip(bytes: &[u8], at: usize) -> usize {
    let next = bytes.get(at + 1).copied();
    let inside_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match bytes[at] {
        b'/' if next == Some(b'/') => find(bytes, at, |b| b == b'\n').unwrap_or(bytes.len()),
        b'/' if next == Some(b'*') => block_comment(bytes, at),
        b'"' => string(bytes, at + 1),
        b'r' if !inside_word => raw_string(bytes, at + 1).unwrap_or(at),
        b'b' | b'c' if !inside_word && next == Some(b'r') => raw_string(bytes, at + 2).unwrap_or(at),
        b'\'' => character(bytes, at),
        _ => at,
    }
}

fn find(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    bytes.get(from..)?.iter().position(|&b| wanted(b)).map(|offset| from + offset)
}

/// Block comments nest.
fn block_comment(bytes: &[u8], at: usize) -> usize {
    let (mut depth, mut here) = (0usize, at);
    while here < bytes.len() {
        if bytes[here..].starts_with(b"/*") {
            (depth, here) = (depth + 1, here + 2);
        } else if bytes[here..].starts_with(b"*/") {
            (depth, here) = (depth - 1, here + 2);
            if depth == 0 {
                return here;
            }
        } else {
            here += 1;
        }
    }
    bytes.len()
}

/// The end of a string whose opening quote is just before `from`.
fn string(bytes: &[u8], from: usize) -> usize {
    let mut here = from;
    while here < bytes.len() {
        match bytes[here] {
            b'\\' => here += 2,
            b'"' => return here + 1,
            _ => here += 1,
        }
    }
    bytes.len()
}

/// The end of a raw string whose hashes begin at `from`; `None` for a raw identifier or an ordinary word.
fn raw_string(bytes: &[u8], from: usize) -> Option<usize> {
    let open = find(bytes, from, |b| b != b'#')?;
    if bytes[open] != b'"' {
        return None;
    }
    let hashes = &bytes[from..open];
    let mut here = open + 1;
    while let Some(quote) = find(bytes, here, |b| b == b'"') {
        if bytes[quote + 1..].starts_with(hashes) {
            return Some(quote + 1 + hashes.len());
        }
        here = quote + 1;
    }
    Some(bytes.len())
}

/// The end of a character literal, or `at` when the quote begins a lifetime.
fn character(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at + 1) {
        Some(b'\\') => find(bytes, at + 3, |b| b == b'\'').map_or(bytes.len(), |quote| quote + 1),
        Some(&first) => {
            let width = match first {
                0xf0.. => 4,
                0xe0.. => 3,
                0xc0.. => 2,
                _ => 1,
            };
            if bytes.get(at + 1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        None => at,
    }
}

/// Which lines the byte ranges touch.
fn marked(code: &str, regions: &[Range<usize>]) -> Vec<bool> {
    let mut marks = vec![false; code.lines().count()];
    for region in regions {
        let end = (line_of(code, region.end) + 1).min(marks.len());
        marks[line_of(code, region.start)..end].fill(true);
    }
    marks
}

/// Byte ranges of items under `#[cfg(test)]` or `#[test]`; the whole file under `#![cfg(test)]`.
fn test_regions(code: &str) -> Vec<Range<usize>> {
    let mut regions = items_under(code, is_test_attribute);
    for (at, _) in code.match_indices("#![") {
        if matching(code, at + 2).is_some_and(|end| is_test_attribute(&code[at + 3..end - 1])) {
            regions.push(0..code.len());
        }
    }
    regions
}

/// Byte ranges of items under an attribute, from the attribute to the item's end.
fn items_under(code: &str, wanted: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let ends = code.match_indices("#[").filter_map(|(at, _)| Some((at, matching(code, at + 1)?)));
    ends.filter(|&(at, end)| wanted(&code[at + 2..end - 1]))
        .map(|(at, end)| at..item_end(code, end))
        .collect()
}

fn is_test_attribute(attribute: &str) -> bool {
    let attribute: String = attribute.split_whitespace().collect();
    attribute == "test"
        || (attribute.starts_with("cfg(") && has_word(&attribute, "test") && !attribute.contains("not(test)"))
}

/// The end of the item that follows an attribute: its closing brace, or the semicolon of a body-less one.
fn item_end(code: &str, from: usize) -> usize {
    let bytes = code.as_bytes();
    let mut here = from;
    while here < bytes.len() {
        match bytes[here] {
            b'{' => return matching(code, here).unwrap_or(code.len()),
            b'(' | b'[' => here = matching(code, here).unwrap_or(code.len()),
            b';' => return here + 1,
            _ => here += 1,
        }
    }
    code.len()
}

/// The byte after the bracket that closes the one at `open`.
fn matching(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.as_bytes()[open..].iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(open + offset + 1);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(text: &str) -> Vec<usize> {
        let source = Source::scan(text);
        source.shipped_lines().filter(|(_, line)| line.contains("hit")).map(|(number, _)| number).collect()
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        let text =
            "let a = \"hit \\\" hit\"; // hit\n/* hit /* hit */ hit */ hit\nlet b = r#\"hit \" hit\"#; hit\n";
        assert_eq!(shipped(text), [2, 3]);
    }

    #[test]
    fn strings_may_span_lines_and_carry_prefixes() {
        assert_eq!(shipped("b\"hit\nhit\";\nbr\"hit\\\";\nhit"), [4]);
        assert_eq!(shipped("let r#type = number; hit\nlet bar = \"hit\"; hit"), [1, 2]);
    }

    #[test]
    fn quotes_of_characters_differ_from_those_of_lifetimes() {
        assert_eq!(
            shipped("fn f<'a>(x: &'a str) { hit }\nlet q = '\"'; hit; let r = '\\''; hit\n'é'; hit"),
            [1, 2, 3]
        );
    }

    #[test]
    fn test_items_are_marked_to_their_closing_brace() {
        let text = "hit\n#[cfg(test)]\nmod tests {\n  fn f() { let s = \"}\"; hit }\n}\nhit\n";
        assert_eq!(shipped(text), [1, 6]);
        assert_eq!(shipped("#[test]\n#[allow(x)]\nfn f(a: [u8; 2]) {\n hit\n}\nhit"), [6]);
        assert_eq!(shipped("#[cfg(all(test, unix))] mod tests;\nhit"), [2]);
        assert_eq!(shipped("#[cfg(not(test))]\nfn f() { hit }"), [2]);
        assert_eq!(shipped("#![cfg(test)]\nhit"), Vec::<usize>::new());
    }

    #[test]
    fn functions_that_blame_their_caller_are_marked() {
        let source =
            Source::scan("fn f() {}\n#[track_caller]\nfn g(x: [u8; 2]) -> u8 {\n  0\n}\nfn h() {}\n");
        let marked: Vec<usize> = (1..=6).filter(|&number| source.blames_caller(number)).collect();
        assert_eq!(marked, [2, 3, 4, 5]);
    }

    #[test]
    fn words_have_boundaries() {
        assert!(has_word("a panic!(x)", "panic!"));
        assert!(!has_word("my_panic!(x)", "panic!"));
        assert!(!has_word("unsafely", "unsafe"));
        assert!(has_word("unsafe{", "unsafe"));
    }

    #[test]
    fn broken_source_is_scanned_to_its_end() {
        for text in
            ["\"open", "/* open", "r#\"open", "'", "'\\", "#[cfg(test)]", "#[cfg(test)] mod x {", "#[(]"]
        {
            Source::scan(text);
        }
    }
}
