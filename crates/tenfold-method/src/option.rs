//! Options of methods: declared once, checked in one place, shown by `explain`.

use crate::error::Error;
use crate::method::Info;
use std::collections::BTreeMap;
use std::fmt;

/// A value as a recipe gives it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// A word.
    Text(String),
    /// True or false.
    Flag(bool),
    /// Whole numbers in order.
    Integers(Vec<i64>),
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(out, "{value}"),
            Self::Float(value) => write!(out, "{value}"),
            Self::Text(value) => write!(out, "{value:?}"),
            Self::Flag(value) => write!(out, "{value}"),
            Self::Integers(value) => write!(out, "{value:?}"),
        }
    }
}

/// What an option accepts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A whole number between two bounds, both included.
    Integer(i64, i64),
    /// A number above 0 and at most 1.
    Share,
    /// A number between two bounds, both included.
    Number(f64, f64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of whole numbers, each at least 1.
    Factors,
    /// True or false.
    Flag,
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(low, i64::MAX) => write!(out, "a whole number of at least {low}"),
            Self::Integer(low, high) => write!(out, "a whole number from {low} to {high}"),
            Self::Share => write!(out, "a number above 0 and at most 1"),
            Self::Number(low, high) => write!(out, "a number from {low} to {high}"),
            Self::Choice(words) => write!(out, "one of {}", words.join(", ")),
            Self::Factors => write!(out, "a list of whole numbers, each at least 1"),
            Self::Flag => write!(out, "true or false"),
        }
    }
}

/// One option of a method.
#[derive(Debug)]
pub struct OptionInfo {
    /// The key in a recipe, kebab-case.
    pub name: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// The default, in words.
    pub default: &'static str,
    /// What it does, with its source.
    pub doc: &'static str,
}

/// The options of one step, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options(pub BTreeMap<String, Value>);

impl Options {
    /// Every fault of these options for a method: unknown keys and values out of range.
    pub fn faults(&self, info: &Info) -> Vec<Error> {
        let fault = |(key, value): (&String, &Value)| {
            let Some(option) = info.options.iter().find(|option| option.name == key) else {
                let names = info.options.iter().map(|option| option.name);
                return Some(Error::UnknownOption {
                    method: info.name,
                    option: key.clone(),
                    nearest: nearest(key, names),
                });
            };
            let wrong = !accepts(option.kind, value);
            wrong.then(|| Error::OptionValue {
                method: info.name,
                option: option.name,
                expected: option.kind.to_string(),
                got: value.to_string(),
            })
        };
        self.0.iter().filter_map(fault).collect()
    }

    /// The first fault as an error.
    ///
    /// # Errors
    /// [`Error::UnknownOption`] or [`Error::OptionValue`].
    pub fn check(&self, info: &Info) -> Result<(), Error> {
        self.faults(info).into_iter().next().map_or(Ok(()), Err)
    }

    /// A whole number of at least 0.
    pub fn count(&self, key: &str) -> Option<usize> {
        match self.0.get(key) {
            Some(Value::Integer(value)) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// A number; whole numbers count.
    pub fn number(&self, key: &str) -> Option<f64> {
        match self.0.get(key) {
            Some(Value::Float(value)) => Some(*value),
            Some(Value::Integer(value)) => Some(*value as f64),
            _ => None,
        }
    }

    /// A word.
    pub fn word(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        }
    }

    /// Whether a flag is set; not, where it is left out.
    pub fn flag(&self, key: &str) -> bool {
        self.0.get(key) == Some(&Value::Flag(true))
    }

    /// A list of whole numbers of at least 0.
    pub fn counts(&self, key: &str) -> Option<Vec<usize>> {
        match self.0.get(key) {
            Some(Value::Integers(values)) => {
                values.iter().map(|value| usize::try_from(*value).ok()).collect()
            }
            _ => None,
        }
    }
}

impl<const N: usize> From<[(&str, Value); N]> for Options {
    fn from(pairs: [(&str, Value); N]) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

fn accepts(kind: Kind, value: &Value) -> bool {
    match (kind, value) {
        (Kind::Integer(low, high), Value::Integer(value)) => (low..=high).contains(value),
        (Kind::Share, Value::Float(value)) => *value > 0.0 && *value <= 1.0,
        (Kind::Share, Value::Integer(value)) => *value == 1,
        (Kind::Number(low, high), Value::Float(value)) => (low..=high).contains(value),
        (Kind::Number(low, high), Value::Integer(value)) => (low..=high).contains(&(*value as f64)),
        (Kind::Choice(words), Value::Text(value)) => words.contains(&value.as_str()),
        (Kind::Factors, Value::Integers(values)) => {
            !values.is_empty() && values.iter().all(|value| *value >= 1)
        }
        (Kind::Flag, Value::Flag(_)) => true,
        _ => false,
    }
}

/// The known word closest to a misspelt one, if it is close at all.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let close = |known: &&str| strsim::jaro_winkler(word, known);
    let best = known.max_by(|a, b| close(a).total_cmp(&close(b)))?;
    (close(&best) > 0.7).then(|| best.to_owned())
}
