//! Rows of data files: tab-separated text without quoting, with or without a header, and JSON lines.

use super::{File, Layout};
use crate::error::{Error, RowFault};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// The largest file that is read; the real ones have less than 20 MB.
const BYTES_LIMIT: u64 = 256 << 20;

/// The cells of one row that a task reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// From 1, the header included.
    pub(super) number: usize,
    pub(super) first: String,
    pub(super) second: Option<String>,
    pub(super) label: String,
}

/// Reads every row of a file below the data folder.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::Row`] naming file and row, [`Error::NoRows`].
pub(super) fn read(dir: &Path, file: &File) -> Result<Vec<Row>, Error> {
    let path = dir.join(file.path);
    parse(&path, file, &file_bytes(&path)?)
}

/// The bytes of a data file.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`].
pub(crate) fn file_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let fault = |source| Error::Read { path: path.to_owned(), source };
    let got = fs::metadata(path).map_err(fault)?.len();
    if got > BYTES_LIMIT {
        return Err(Error::TooLarge { path: path.to_owned(), most: BYTES_LIMIT, got });
    }
    fs::read(path).map_err(fault)
}

/// Reads the bytes of a file; `path` stands for it in errors.
pub(super) fn parse(path: &Path, file: &File, bytes: &[u8]) -> Result<Vec<Row>, Error> {
    let mut lines =
        bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let at = |index: usize| move |fault| Error::Row { path: path.to_owned(), row: index + 1, fault };
    let rows: Vec<Row> = match file.layout {
        Layout::JsonLines => lines
            .map(|(index, line)| object(file, index, line).map_err(at(index)))
            .collect::<Result<_, _>>()?,
        Layout::Table => {
            let (top, header) = lines.next().ok_or_else(|| Error::NoRows { path: path.to_owned() })?;
            let header = cells(header).map_err(at(top))?;
            let places = Places::named(file, &header).map_err(at(top))?;
            lines.map(|(index, line)| places.row(index, line).map_err(at(index))).collect::<Result<_, _>>()?
        }
        Layout::Bare => {
            let mut lines = lines.peekable();
            let columns = lines.peek().map(|(index, line)| cells(line).map_err(at(*index))).transpose()?;
            let places = Places::numbered(file, columns.map_or(0, |cells| cells.len()));
            lines.map(|(index, line)| places.row(index, line).map_err(at(index))).collect::<Result<_, _>>()?
        }
    };
    if rows.is_empty() { Err(Error::NoRows { path: path.to_owned() }) } else { Ok(rows) }
}

fn cells(line: &[u8]) -> Result<Vec<&str>, RowFault> {
    let text = str::from_utf8(line).map_err(|_| RowFault::Encoding)?;
    Ok(text.trim_end_matches('\r').split('\t').collect())
}

/// Words that are no blank.
fn words(text: &str, column: &'static str) -> Result<String, RowFault> {
    match text.trim() {
        "" => Err(RowFault::Blank { column }),
        words => Ok(words.to_owned()),
    }
}

/// Which columns hold what.
struct Places {
    columns: usize,
    first: (usize, &'static str),
    second: Option<(usize, &'static str)>,
    label: (usize, &'static str),
}

impl Places {
    fn named(file: &File, header: &[&str]) -> Result<Self, RowFault> {
        let place = |column: &'static str| {
            let at = header.iter().position(|name| *name == column);
            at.map(|at| (at, column)).ok_or(RowFault::Column { column })
        };
        Ok(Self {
            columns: header.len(),
            first: place(file.first)?,
            second: file.second.map(place).transpose()?,
            label: place(file.label)?,
        })
    }

    /// By numbers; a file with fewer columns is found out at its first row.
    fn numbered(file: &File, columns: usize) -> Self {
        let place = |column: &'static str| (column.parse().unwrap_or(usize::MAX), column);
        let (first, second, label) = (place(file.first), file.second.map(place), place(file.label));
        let least = [Some(first), second, Some(label)].into_iter().flatten().map(|(at, _)| at + 1).max();
        Self { columns: columns.max(least.unwrap_or(0)), first, second, label }
    }

    fn row(&self, index: usize, line: &[u8]) -> Result<Row, RowFault> {
        let cells = cells(line)?;
        if cells.len() != self.columns {
            return Err(RowFault::Columns { expected: self.columns, got: cells.len() });
        }
        let cell = |(at, column): (usize, &'static str)| words(cells[at], column);
        let second = self.second.map(cell).transpose()?;
        Ok(Row {
            number: index + 1,
            first: cell(self.first)?,
            second,
            label: cells[self.label.0].trim().to_owned(),
        })
    }
}

fn object(file: &File, index: usize, line: &[u8]) -> Result<Row, RowFault> {
    let object: Map<String, Value> =
        serde_json::from_slice(line).map_err(|fault| RowFault::Json { fault: fault.to_string() })?;
    let text = |column: &'static str| {
        let value = object.get(column).and_then(Value::as_str).ok_or(RowFault::Key { column })?;
        words(value, column)
    };
    let label = match object.get(file.label) {
        Some(Value::String(label)) => label.trim().to_owned(),
        Some(Value::Number(label)) => label.to_string(),
        _ => return Err(RowFault::Key { column: file.label }),
    };
    Ok(Row { number: index + 1, first: text(file.first)?, second: file.second.map(text).transpose()?, label })
}
