//! Where something stands in a recipe's text.

use std::fmt;

/// A line and column, both from 1; columns count characters. The default, 0:0, is for what no text says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T> From<T> for Located<T> {
    /// A value that no text says.
    fn from(value: T) -> Self {
        Self { value, place: Place::default() }
    }
}

/// Turns byte offsets of a text into places.
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        let after = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    /// The place of a byte offset; offsets past the end or inside a character count as the place before them.
    pub(crate) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts[line - 1];
        let before = self.text.as_bytes()[start..offset].iter();
        // Every character has one byte that is no continuation byte.
        let column = before.filter(|byte| **byte & 0xC0 != 0x80).count() + 1;
        Place { line, column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns() {
        let lines = Lines::of("ab\n\u{e4}c\n\nd");
        let at = |offset| lines.place(offset).to_string();
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(5), at(7), at(8), at(9)],
            ["1:1", "1:2", "1:3", "2:1", "2:2", "3:1", "4:1", "4:2"]
        );
        assert_eq!(at(100), "4:2");
        assert_eq!(Lines::of("").place(0).to_string(), "1:1");
    }
}
