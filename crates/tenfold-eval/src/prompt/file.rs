//! Data files of prompt tasks: CSV with quoting, JSON, and JSON lines.

use crate::error::{Error, RowFault};
use crate::task::file_bytes;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A record of a file, and where it stands.
pub(super) struct Place<'f> {
    pub(super) path: &'f Path,
    /// From 1.
    pub(super) row: usize,
}

impl Place<'_> {
    pub(super) fn fault(&self, fault: RowFault) -> Error {
        Error::Row { path: self.path.to_owned(), row: self.row, fault }
    }

    /// A text under a key.
    pub(super) fn text<'v>(&self, value: &'v Value, column: &'static str) -> Result<&'v str, Error> {
        value.get(column).and_then(Value::as_str).ok_or_else(|| self.fault(RowFault::Key { column }))
    }

    /// A number under a key, which may be written as a text or stand in a list of one.
    pub(super) fn number(&self, value: &Value, column: &'static str) -> Result<f64, Error> {
        let found = value.get(column);
        let found = found.and_then(Value::as_array).and_then(|list| list.first()).or(found);
        let number = found.and_then(|one| one.as_f64().or_else(|| one.as_str()?.trim().parse().ok()));
        number.ok_or_else(|| self.fault(RowFault::Key { column }))
    }
}

/// The text of a file below the data folder.
fn text(dir: &Path, name: &str) -> Result<(PathBuf, String), Error> {
    let path = dir.join(name);
    let bytes = file_bytes(&path)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((path, text)),
        Err(fault) => {
            let until = fault.utf8_error().valid_up_to();
            let row = 1 + fault.as_bytes()[..until].iter().filter(|byte| **byte == b'\n').count();
            Err(Error::Row { path, row, fault: RowFault::Encoding })
        }
    }
}

/// What a function makes of every element of a list in a JSON file: the file itself, or the list under a key.
pub(super) fn json<T>(
    dir: &Path,
    name: &str,
    key: Option<&'static str>,
    each: impl Fn(&Place<'_>, &Value) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let (path, text) = text(dir, name)?;
    let whole: Value = serde_json::from_str(&text).map_err(|fault| Error::Row {
        path: path.clone(),
        row: fault.line(),
        fault: RowFault::Json { fault: fault.to_string() },
    })?;
    let list = match key {
        Some(key) => whole.get(key).and_then(Value::as_array),
        None => whole.as_array(),
    };
    let missing = || {
        let column = key.unwrap_or("a list");
        Error::Row { path: path.clone(), row: 1, fault: RowFault::Key { column } }
    };
    let list = list.ok_or_else(missing)?;
    let found = list.iter().enumerate().map(|(at, value)| each(&Place { path: &path, row: at + 1 }, value));
    some(&path, found.collect::<Result<_, _>>()?)
}

/// What a function makes of every line of a file of JSON objects.
pub(super) fn lines<T>(
    dir: &Path,
    name: &str,
    each: impl Fn(&Place<'_>, &Value) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let (path, text) = text(dir, name)?;
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = Place { path: &path, row: at + 1 };
        let object: Map<String, Value> = serde_json::from_str(line)
            .map_err(|fault| place.fault(RowFault::Json { fault: fault.to_string() }))?;
        found.push(each(&place, &Value::Object(object))?);
    }
    some(&path, found)
}

/// What a function makes of every record of a CSV file without a header; nothing is left out where it gives nothing.
pub(super) fn csv<T>(
    dir: &Path,
    name: &str,
    columns: usize,
    each: impl Fn(&Place<'_>, &[String]) -> Result<Option<T>, Error>,
) -> Result<Vec<T>, Error> {
    let (path, text) = text(dir, name)?;
    let mut found = Vec::new();
    for (at, record) in records(&text).into_iter().enumerate() {
        let place = Place { path: &path, row: at + 1 };
        if record.len() != columns {
            return Err(place.fault(RowFault::Cells { expected: columns, got: record.len() }));
        }
        found.extend(each(&place, &record)?);
    }
    some(&path, found)
}

fn some<T>(path: &Path, found: Vec<T>) -> Result<Vec<T>, Error> {
    if found.is_empty() { Err(Error::NoRows { path: path.to_owned() }) } else { Ok(found) }
}

/// Records of CSV: cells between commas, quoted where they hold commas, quotes (doubled) or line breaks. A quote that is not
/// closed ends with the file. Source: RFC 4180.
fn records(text: &str) -> Vec<Vec<String>> {
    let mut records: Vec<Vec<String>> = Vec::new();
    let (mut record, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if quoted => quoted = false,
            '"' if cell.is_empty() => quoted = true,
            ',' if !quoted => record.push(std::mem::take(&mut cell)),
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut cell));
                records.push(std::mem::take(&mut record));
            }
            letter => cell.push(letter),
        }
    }
    if !cell.is_empty() || !record.is_empty() {
        record.push(cell);
        records.push(record);
    }
    records.retain(|record| record.len() > 1 || record.iter().any(|cell| !cell.trim().is_empty()));
    records
}

/// The names of the files of a folder below the data folder that end in `ending`, in order.
pub(super) fn names(dir: &Path, folder: &str, ending: &str) -> Result<Vec<String>, Error> {
    let path = dir.join(folder);
    let fault = |source| Error::Read { path: path.clone(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(fault)? {
        let name = entry.map_err(fault)?.file_name().to_string_lossy().into_owned();
        if name.ends_with(ending) {
            names.push(format!("{folder}/{name}"));
        }
    }
    names.sort();
    some(&path, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_may_be_quoted() {
        let text = "a,\"b, \"\"c\"\"\nd\",\r\n\n\"\",x,\"5\" \"y\nlast,1,2";
        let found = records(text);
        assert_eq!(found[0], ["a", "b, \"c\"\nd", ""]);
        assert_eq!(found[1].len(), 3);
        assert_eq!(found.last().unwrap(), &["last", "1", "2"]);
        assert!(records("").is_empty() && records("\n\n").is_empty());
        assert_eq!(records("a,\"open\nto the end"), [["a", "open\nto the end"]]);
    }
}
