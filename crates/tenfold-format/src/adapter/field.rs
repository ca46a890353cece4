//! Checks of the settings of an adapter's config.

use super::{AdapterFault, Common};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The largest rank that is read.
const RANK_LIMIT: u64 = 1 << 16;

/// Settings of every kind of adapter that are read below.
const READ: [&str; 6] = [
    "base_model_name_or_path",
    "fan_in_fan_out",
    "modules_to_save",
    "peft_type",
    "target_modules",
    "task_type",
];
/// Settings of every kind of adapter that say how it came about, and nothing of what it does.
const HARMLESS: [&str; 8] = [
    "auto_mapping",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "peft_version",
    "revision",
    "runtime_config",
];
/// Settings that leave modules out which a target names.
const NARROWING: [&str; 2] = ["exclude_modules", "layers_to_transform"];

/// The settings of one file.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    pub(super) found: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// Every setting that is neither read nor harmless must say nothing.
    pub(super) fn known(&self, read: &[&str], harmless: &[&str]) -> Result<()> {
        let lists = [&READ[..], &HARMLESS[..], read, harmless];
        for (key, value) in self.found {
            if !lists.iter().any(|list| list.contains(&key.as_str())) && !silent(value) {
                let (path, key, got) = (self.path.to_owned(), key.clone(), value.to_string());
                return Err(AdapterFault::Setting { path, key, got }.into());
            }
        }
        Ok(())
    }

    /// What configs of every kind say.
    pub(super) fn common(&self) -> Result<Common> {
        Ok(Common {
            targets: self.names("target_modules")?,
            whole: NARROWING.iter().all(|key| self.found.get(*key).is_none_or(silent)),
            saved: self.names("modules_to_save")?,
            transposed: self.flag("fan_in_fan_out")?,
            base: self.text("base_model_name_or_path").map(str::to_owned),
            task: self.text("task_type").map(str::to_owned),
        })
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.found.get(key).and_then(Value::as_str)
    }

    pub(super) fn flag(&self, field: &'static str) -> Result<bool> {
        match self.found.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.range(field, "true or false", other)),
        }
    }

    pub(super) fn rank(&self, field: &'static str, value: &Value) -> Result<usize> {
        let rank = value.as_u64().filter(|rank| (1..=RANK_LIMIT).contains(rank));
        rank.map(|rank| rank as usize).ok_or_else(|| self.range(field, "a rank from 1 to 65536", value))
    }

    pub(super) fn number(&self, field: &'static str, value: &Value) -> Result<f64> {
        let number = value.as_f64().filter(|number| number.is_finite());
        number.ok_or_else(|| self.range(field, "a number", value))
    }

    pub(super) fn pattern<T>(
        &self,
        field: &'static str,
        of: fn(&Self, &'static str, &Value) -> Result<T>,
    ) -> Result<BTreeMap<String, T>> {
        let Some(Value::Object(map)) = self.found.get(field) else { return Ok(BTreeMap::new()) };
        let entry = |(key, value): (&String, &Value)| {
            self.plain(field, key)?;
            Ok((key.clone(), of(self, field, value)?))
        };
        map.iter().map(entry).collect()
    }

    pub(super) fn names(&self, field: &'static str) -> Result<Vec<String>> {
        match self.found.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .map(|name| match name.as_str() {
                    Some(name) => Ok(name.to_owned()),
                    None => Err(self.range(field, "names of modules", name)),
                })
                .collect(),
            // A text is a pattern over whole names; the tensors say which modules it meant.
            Some(Value::String(_)) => Ok(Vec::new()),
            Some(other) => Err(self.range(field, "names of modules", other)),
        }
    }

    /// Keys may be regular expressions in PEFT; plain names are all that is read.
    fn plain(&self, field: &'static str, key: &str) -> Result<()> {
        let plain = key.chars().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '.'));
        if plain { Ok(()) } else { Err(self.unsupported(field, key, &["names and ends of names"])) }
    }

    pub(super) fn range(&self, field: &'static str, expected: &str, got: &Value) -> Error {
        let (path, expected, got) = (self.path.to_owned(), expected.to_owned(), got.to_string());
        Error::OutOfRange { path, field, expected, got }
    }

    pub(super) fn unsupported(
        &self,
        field: &'static str,
        got: &str,
        known: &'static [&'static str],
    ) -> Error {
        Error::Unsupported { path: self.path.to_owned(), field, got: got.to_owned(), known }
    }
}

/// Whether a value says nothing.
pub(super) fn silent(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}
