//! Checks that the settings of all architectures share.

use std::path::Path;

use serde_json::Value;

use super::Activation;
use crate::error::{Error, Result};

/// Checks of the fields of one file.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
}

impl Fields<'_> {
    /// A count from 1 to `limit`.
    pub(super) fn count(&self, field: &'static str, got: usize, limit: usize) -> Result<usize> {
        match got {
            got if (1..=limit).contains(&got) => Ok(got),
            got => Err(self.range(field, format!("1 to {limit}"), got.to_string())),
        }
    }

    /// A number in [low, high).
    pub(super) fn real(&self, field: &'static str, got: f64, low: f64, high: f64) -> Result<f64> {
        match got {
            got if (low..high).contains(&got) => Ok(got),
            got => Err(self.range(field, format!("{low} to {high}"), got.to_string())),
        }
    }

    /// A count of heads that divides `whole`.
    pub(super) fn divisor(&self, field: &'static str, got: usize, whole: usize) -> Result<usize> {
        let count = self.count(field, got, whole)?;
        match whole.is_multiple_of(count) {
            true => Ok(count),
            false => Err(self.range(field, format!("a divisor of {whole}"), count.to_string())),
        }
    }

    /// A nonlinearity by its name.
    pub(super) fn activation(&self, field: &'static str, name: &str) -> Result<Activation> {
        Activation::parse(name).ok_or_else(|| self.unsupported(field, name.to_owned(), Activation::NAMES))
    }

    /// One token, a list of them, or none; each below `vocabulary`.
    pub(super) fn tokens(&self, field: &'static str, got: &Value, vocabulary: usize) -> Result<Vec<u32>> {
        let list = match got {
            Value::Null => &[][..],
            Value::Array(list) => list,
            one => std::slice::from_ref(one),
        };
        let token = |one: &Value| {
            let id = one.as_u64().filter(|id| *id < vocabulary as u64);
            let fault = || self.range(field, format!("tokens below {vocabulary}"), one.to_string());
            id.map(|id| id as u32).ok_or_else(fault)
        };
        list.iter().map(token).collect()
    }

    /// A switch that must stand as given.
    pub(super) fn fixed(&self, field: &'static str, got: Option<bool>, known: bool) -> Result<()> {
        let names: &'static [&'static str] = if known { &["true"] } else { &["false"] };
        match got {
            Some(got) if got != known => Err(self.unsupported(field, got.to_string(), names)),
            _ => Ok(()),
        }
    }

    pub(super) fn range(&self, field: &'static str, expected: String, got: String) -> Error {
        Error::OutOfRange { path: self.path.to_owned(), field, expected, got }
    }

    pub(super) fn unsupported(
        &self,
        field: &'static str,
        got: String,
        known: &'static [&'static str],
    ) -> Error {
        Error::Unsupported { path: self.path.to_owned(), field, got, known }
    }
}

/// Tokens as a config says them: nothing, one number, or a list.
pub(super) fn token_value(tokens: &[u32]) -> Value {
    match tokens {
        [] => Value::Null,
        &[one] => one.into(),
        many => many.into(),
    }
}
