//! Labeled texts of a task.

use super::table::{self, Row};
use super::{Answer, Task};
use crate::error::{Error, RowFault};
use std::path::Path;

/// Which rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To be scored on.
    Dev,
}

/// The right answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// A class by its position.
    Class(u32),
    /// A number.
    Value(f64),
}

/// A text or a pair of texts with its right answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The first text.
    pub first: String,
    /// The second text of a pair.
    pub second: Option<String>,
    /// The right answer.
    pub target: Target,
}

/// Reads the rows of a task below the data folder `dir`, in the order of the file.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::Row`] naming file and row (also for labels that the task does not
/// have), [`Error::NoRows`].
pub fn read(task: &Task, dir: &Path, split: Split) -> Result<Vec<Example>, Error> {
    let file = match split {
        Split::Train => &task.train,
        Split::Dev => &task.dev,
    };
    let path = dir.join(file.path);
    let example = |row: Row| {
        let number = row.number;
        example(task, row).map_err(|fault| Error::Row { path: path.clone(), row: number, fault })
    };
    table::read(dir, file)?.into_iter().map(example).collect()
}

fn example(task: &Task, row: Row) -> Result<Example, RowFault> {
    let target = match task.answer {
        Answer::Class(labels) => {
            let class = labels.iter().position(|label| *label == row.label);
            Target::Class(
                class.ok_or_else(|| RowFault::Label { got: row.label.clone(), known: labels })? as u32
            )
        }
        Answer::Value(least, most) => {
            let value = row.label.parse().ok().filter(|value| (least..=most).contains(value));
            Target::Value(value.ok_or_else(|| RowFault::Score { got: row.label.clone(), least, most })?)
        }
    };
    Ok(Example { first: row.first, second: row.second, target })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{Task, find};
    use std::fs;

    fn of(name: &str, text: &[u8]) -> Result<Vec<Example>, Error> {
        let task: &Task = find(name).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(task.dev.path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        read(task, dir.path(), Split::Dev)
    }

    fn fault(name: &str, text: &[u8]) -> (usize, RowFault) {
        match of(name, text) {
            Err(Error::Row { row, fault, .. }) => (row, fault),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_layout_is_read() {
        let pair =
            of("mrpc", b"Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t3\t4\tA \"b\" c\tD\r\n").unwrap();
        assert_eq!((pair[0].first.as_str(), pair[0].second.as_deref()), ("A \"b\" c", Some("D")));
        assert_eq!(pair[0].target, Target::Class(1));
        let single = of("cola", b"gj04\t0\t*\tThem sleeps.\n\ngj04\t1\t\tThey sleep.\n").unwrap();
        assert_eq!((single.len(), single[0].second.as_deref()), (2, None));
        assert_eq!((single[1].first.as_str(), single[1].target), ("They sleep.", Target::Class(1)));
        let line = br#"{"premise": "a b", "hypothesis": "c", "label": "neutral"}"#;
        assert_eq!(of("mnli", line).unwrap()[0].target, Target::Class(1));
        let number = of("stsb", b"sentence1\tsentence2\tscore\na\tb\t2.500\n").unwrap();
        assert_eq!(number[0].target, Target::Value(2.5));
    }

    #[test]
    fn malformed_rows_are_named() {
        let header = "sentence\tlabel\n";
        let row = |text: &str| fault("sst2", format!("{header}{text}").as_bytes());
        assert_eq!(row("a\n"), (2, RowFault::Columns { expected: 2, got: 1 }));
        assert_eq!(row("ok\t1\n \t1\n"), (3, RowFault::Blank { column: "sentence" }));
        assert_eq!(row("ok\t2\n"), (2, RowFault::Label { got: "2".to_owned(), known: &["0", "1"] }));
        assert_eq!(fault("sst2", b"sentence\n"), (1, RowFault::Column { column: "label" }));
        assert_eq!(fault("sst2", b"sentence\tlabel\n\xff\t1\n"), (2, RowFault::Encoding));
        assert_eq!(fault("cola", b"a\t1\n"), (1, RowFault::Columns { expected: 4, got: 2 }));
        assert!(matches!(fault("mnli", b"{\n"), (1, RowFault::Json { .. })));
        assert_eq!(fault("mnli", b"{\"premise\": \"a\"}"), (1, RowFault::Key { column: "label" }));
        for bad in ["", "x", "NaN", "5.1", "-0.1", "inf"] {
            let text = format!("sentence1\tsentence2\tscore\na\tb\t{bad}\n");
            let expected = RowFault::Score { got: bad.to_owned(), least: 0.0, most: 5.0 };
            assert_eq!(fault("stsb", text.as_bytes()), (2, expected));
        }
    }

    #[test]
    fn files_without_rows_and_missing_files_are_faults() {
        assert!(matches!(of("sst2", b"sentence\tlabel\n"), Err(Error::NoRows { .. })));
        assert!(matches!(of("mnli", b"\n"), Err(Error::NoRows { .. })));
        assert!(matches!(of("cola", b""), Err(Error::NoRows { .. })));
        let missing = read(find("rte").unwrap(), Path::new("nowhere"), Split::Train).unwrap_err();
        assert!(missing.to_string().contains("glue_rte"), "{missing}");
    }
}
