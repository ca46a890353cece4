//! Reads the keys of one table, notes what is wrong with them, and reports the keys nobody asked for.
//!
//! What getters return beside a noted fault only serves to go on looking for others: a text with faults gives no
//! recipe.

use super::RECEIPT;
use crate::default::SELECTOR_LIMIT;
use crate::fault::{Fault, Problem};
use crate::place::{Lines, Located, Place};
use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use tenfold_method::nearest;
use tenfold_weight::Selector;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The faults of one text.
pub(super) struct Report<'t> {
    lines: Lines<'t>,
    faults: RefCell<Vec<Fault>>,
}

impl<'t> Report<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        Self { lines: Lines::of(text), faults: RefCell::default() }
    }

    pub(super) fn place(&self, offset: usize) -> Place {
        self.lines.place(offset)
    }

    pub(super) fn add(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    pub(super) fn into_faults(self) -> Vec<Fault> {
        self.faults.into_inner()
    }
}

/// One table being read. Every getter notes its key as known; [`Reader::finish`] reports the others.
pub(super) struct Reader<'r> {
    report: &'r Report<'r>,
    table: &'r DeTable<'r>,
    name: &'static str,
    place: Place,
    known: RefCell<Vec<&'static str>>,
}

/// A value with its key and place.
#[derive(Clone, Copy)]
pub(super) struct Entry<'r> {
    pub(super) value: &'r DeValue<'r>,
    pub(super) place: Place,
}

impl<'r> Reader<'r> {
    pub(super) fn root(report: &'r Report<'r>, table: &'r DeTable<'r>) -> Self {
        Self::new(report, table, "the recipe", Place { line: 1, column: 1 })
    }

    fn new(report: &'r Report<'r>, table: &'r DeTable<'r>, name: &'static str, place: Place) -> Self {
        Self { report, table, name, place, known: RefCell::default() }
    }

    /// Where the table begins.
    pub(super) fn place(&self) -> Place {
        self.place
    }

    pub(super) fn fault(&self, place: Place, problem: Problem) {
        self.report.add(Fault::at(place, problem));
    }

    /// The value of a key, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Entry<'r>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        drop(known);
        self.table.get(key).map(|value| self.entry(value))
    }

    /// The value of a key that must be there; `expected` says what it is.
    pub(super) fn need(&self, key: &'static str, expected: &str) -> Option<Entry<'r>> {
        let found = self.get(key);
        if found.is_none() {
            self.fault(
                self.place,
                Problem::MissingKey { table: self.name, key, expected: expected.to_owned() },
            );
        }
        found
    }

    fn entry(&self, value: &'r Spanned<DeValue<'r>>) -> Entry<'r> {
        Entry { value: value.get_ref(), place: self.report.place(value.span().start) }
    }

    /// Every key that no getter asked for, with its own place and value, in the order of the text.
    pub(super) fn rest(&self) -> Vec<(&'r str, Place, Entry<'r>)> {
        let known = self.known.borrow();
        let unknown = self.table.iter().filter(|(key, _)| !known.contains(&key.get_ref().as_ref()));
        let place = |key: &Spanned<_>| self.report.place(key.span().start);
        let mut rest: Vec<_> =
            unknown.map(|(key, value)| (key.get_ref().as_ref(), place(key), self.entry(value))).collect();
        rest.sort_by_key(|(_, place, _)| *place);
        rest
    }

    /// Reports every key that no getter asked for.
    pub(super) fn finish(&self) {
        for (key, place, _) in self.rest() {
            // A receipt's own table may stand in a recipe, but nobody should write one.
            let known: Vec<&str> =
                self.known.borrow().iter().copied().filter(|known| *known != RECEIPT).collect();
            let nearest = nearest(key, known.iter().copied());
            self.fault(place, Problem::UnknownKey { table: self.name, key: key.to_owned(), nearest, known });
        }
    }

    fn wrong_type(&self, key: &str, expected: impl Display, got: Entry<'_>) {
        let (key, expected) = (key.to_owned(), expected.to_string());
        self.fault(got.place, Problem::WrongType { key, expected, got: kind_of(got.value) });
    }

    fn out_of_range(&self, key: &str, expected: String, got: impl Display, place: Place) {
        self.fault(place, Problem::OutOfRange { key: key.to_owned(), expected, got: got.to_string() });
    }

    /// A text.
    pub(super) fn text(&self, key: &'static str, entry: Entry<'r>) -> Option<Located<&'r str>> {
        let Some(value) = entry.value.as_str() else {
            self.wrong_type(key, "a text", entry);
            return None;
        };
        Some(Located { value, place: entry.place })
    }

    /// A text or a list of texts, as a list; what is no text is reported and left out.
    pub(super) fn texts(&self, key: &'static str, entry: Entry<'r>) -> Option<Vec<Located<&'r str>>> {
        if let Some(value) = entry.value.as_str() {
            return Some(vec![Located { value, place: entry.place }]);
        }
        let Some(list) = entry.value.as_array() else {
            self.wrong_type(key, "a text or a list of texts", entry);
            return None;
        };
        if list.is_empty() {
            self.out_of_range(key, "at least one text".to_owned(), "empty", entry.place);
            return None;
        }
        Some(list.iter().filter_map(|value| self.text(key, self.entry(value))).collect())
    }

    /// A whole number in a range.
    pub(super) fn count(&self, key: &'static str, range: RangeInclusive<u64>, default: u64) -> u64 {
        self.get(key).and_then(|entry| self.count_of(key, entry, range)).unwrap_or(default)
    }

    pub(super) fn count_of(
        &self,
        key: &'static str,
        entry: Entry<'_>,
        range: RangeInclusive<u64>,
    ) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let Some(integer) = entry.value.as_integer() else {
            self.wrong_type(key, expected, entry);
            return None;
        };
        let count =
            u64::from_str_radix(integer.as_str(), integer.radix()).ok().filter(|count| range.contains(count));
        if count.is_none() {
            self.out_of_range(key, expected, integer, entry.place);
        }
        count
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> bool {
        let Some(entry) = self.get(key) else { return default };
        entry.value.as_bool().unwrap_or_else(|| {
            self.wrong_type(key, "true or false", entry);
            default
        })
    }

    /// A finite number for which `allowed` holds; `expected` says which these are.
    pub(super) fn number(
        &self,
        key: &'static str,
        expected: &str,
        allowed: impl Fn(f64) -> bool,
        default: f64,
    ) -> f64 {
        let found = self.get(key).and_then(|entry| {
            let Some(number) = number_of(entry.value) else {
                self.wrong_type(key, expected, entry);
                return None;
            };
            let fits = number.is_finite() && allowed(number);
            if !fits {
                self.out_of_range(key, expected.to_owned(), number, entry.place);
            }
            fits.then_some(number)
        });
        found.unwrap_or(default)
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(
        &self,
        key: &'static str,
        what: &'static str,
        entry: Entry<'r>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.word_at(what, self.text(key, entry)?, words)
    }

    /// One of several words, as a text that was read before.
    pub(super) fn word_at<T: Copy>(
        &self,
        what: &'static str,
        text: Located<&str>,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text.value).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&'static str> = words.iter().map(|(word, _)| *word).collect();
            let nearest = nearest(text.value, known.iter().copied());
            self.fault(
                text.place,
                Problem::UnknownWord { what, word: text.value.to_owned(), nearest, known },
            );
        }
        found
    }

    /// Selectors that can be read; the others are reported and left out.
    pub(super) fn selectors(&self, key: &'static str, entry: Entry<'r>) -> Option<Vec<Located<Selector>>> {
        let parse = |text: Located<&str>| {
            if text.value.len() > SELECTOR_LIMIT {
                let expected = format!("a selector of at most {SELECTOR_LIMIT} bytes");
                self.out_of_range(key, expected, format_args!("{} bytes long", text.value.len()), text.place);
                return None;
            }
            match Selector::parse(text.value) {
                Ok(value) => Some(Located { value, place: text.place }),
                Err(error) => {
                    self.fault(text.place, Problem::Selector(Box::new(error)));
                    None
                }
            }
        };
        Some(self.texts(key, entry)?.into_iter().filter_map(parse).collect())
    }

    /// A table, reported when something else has its key.
    pub(super) fn table(&self, key: &'static str, name: &'static str) -> Option<Reader<'r>> {
        let entry = self.get(key)?;
        let Some(table) = entry.value.as_table() else {
            self.wrong_type(key, format!("a table {name}"), entry);
            return None;
        };
        Some(Reader::new(self.report, table, name, entry.place))
    }

    /// The tables of a list of tables.
    pub(super) fn tables(&self, key: &'static str, name: &'static str) -> Vec<Reader<'r>> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        let Some(list) = entry.value.as_array() else {
            self.wrong_type(key, format!("a list of tables {name}"), entry);
            return Vec::new();
        };
        let reader = |value| {
            let entry = self.entry(value);
            let Some(table) = entry.value.as_table() else {
                self.wrong_type(key, format!("a table {name}"), entry);
                return None;
            };
            Some(Reader::new(self.report, table, name, entry.place))
        };
        list.iter().filter_map(reader).collect()
    }
}

/// What a value is, in words.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// A number; whole ones count.
pub(super) fn number_of(value: &DeValue<'_>) -> Option<f64> {
    if let Some(float) = value.as_float() {
        return float.as_str().parse().ok();
    }
    integer_of(value).map(|integer| integer as f64)
}

/// A whole number.
pub(super) fn integer_of(value: &DeValue<'_>) -> Option<i64> {
    value.as_integer().and_then(|integer| i64::from_str_radix(integer.as_str(), integer.radix()).ok())
}
