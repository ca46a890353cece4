//! What can go wrong in an evaluation.

use std::io;
use std::path::PathBuf;
use thiserror::Error as Derive;

/// A fault in the numbers, the files or the model of an evaluation.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum Error {
    /// Two lists that belong together differ in length.
    #[error("{metric} compares pairs, got {first} and {second} values; give one of each per item")]
    Lengths {
        /// What was to be computed.
        metric: &'static str,
        /// Length of the first list.
        first: usize,
        /// Length of the second list.
        second: usize,
    },
    /// Too few items for the quantity to be defined.
    #[error("{metric} needs at least {least} items, got {got}; give more")]
    TooFew {
        /// What was to be computed.
        metric: &'static str,
        /// Items needed.
        least: usize,
        /// Items given.
        got: usize,
    },
    /// Windows of text that the model cannot place.
    #[error("windows of {length} tokens; the model foretells in ones of 2 to {most}")]
    Window {
        /// Tokens of a window.
        length: usize,
        /// The most.
        most: usize,
    },
    /// A correlation with a list whose values are all equal.
    #[error("{metric} is undefined: all {len} values of the {side} list are equal; is the model collapsed?")]
    Constant {
        /// What was to be computed.
        metric: &'static str,
        /// Which list, `first` or `second`.
        side: &'static str,
        /// Its length.
        len: usize,
    },
    /// A NaN or an infinity among the values.
    #[error("{metric}: item {index} is not finite; the model or its weights are damaged")]
    NotFinite {
        /// What was to be computed.
        metric: &'static str,
        /// The first such item.
        index: usize,
    },
    /// Two lists of vectors that belong together have different shapes.
    #[error(
        "vectors of shape {got:?} cannot be compared with vectors of shape {expected:?}; embed the same texts"
    )]
    Shape {
        /// Shape of the original's vectors, B x D.
        expected: Vec<usize>,
        /// Shape of the others.
        got: Vec<usize>,
    },
    /// A file cannot be read.
    #[error("cannot read {path}; check that the data set is there")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any real one of its kind.
    #[error("{path} has {got} bytes, more than the {most} that are read; is it the right file?")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes that are read at most.
        most: u64,
        /// Bytes it has.
        got: u64,
    },
    /// A row of a data file is malformed.
    #[error("{path}, row {row}: {fault}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 1, the header included.
        row: usize,
        /// What is wrong with it.
        fault: RowFault,
    },
    /// A data file without a single data row.
    #[error("{path} holds no data rows; is it the right file?")]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// A task reads a data folder, and none was given.
    #[error("task {task} reads a data folder; give one")]
    NeedsData {
        /// The task.
        task: &'static str,
    },
    /// Something that is asked of decoders alone.
    #[error(
        "{purpose} needs a decoder that goes on with its own text, such as llama or gpt2; this model is {architecture}"
    )]
    NoDecoder {
        /// What asks for it.
        purpose: String,
        /// The architecture found.
        architecture: &'static str,
    },
    /// A vocabulary without a token that hides others.
    #[error("{path} has no mask token ({known}); tokens are hidden by one: take a tokenizer that has it")]
    NoMask {
        /// The tokenizer.
        path: PathBuf,
        /// Names of such tokens.
        known: String,
    },
    /// A tokenizer of another kind than those of encoders.
    #[error(
        "{path} puts {got} tokens around a text; masked text stands between two, as [CLS] and [SEP] of BERT: take such a tokenizer"
    )]
    NoFrame {
        /// The tokenizer.
        path: PathBuf,
        /// Tokens of an empty text.
        got: usize,
    },
    /// A vocabulary that does not tell pieces inside of words from others.
    #[error(
        "{path} has no token that begins with \"##\", so whole words cannot be told; take whole-words out of the phase"
    )]
    NoWords {
        /// The tokenizer.
        path: PathBuf,
    },
    /// The model failed. Boxed: its faults are much larger than the others.
    #[error(transparent)]
    Model(Box<tenfold_model::Error>),
}

impl From<tenfold_model::Error> for Error {
    fn from(fault: tenfold_model::Error) -> Self {
        Self::Model(Box::new(fault))
    }
}

/// What is wrong with a row of a data file.
#[derive(Clone, Debug, PartialEq, Derive)]
#[non_exhaustive]
pub enum RowFault {
    /// The header lacks a column.
    #[error("the header has no column {column:?}; it must name every column of the task")]
    Column {
        /// The column expected.
        column: &'static str,
    },
    /// Another number of columns than the header's.
    #[error("has {got} columns, the header {expected}; columns are separated by tabs, without quoting")]
    Columns {
        /// The header's columns.
        expected: usize,
        /// The row's.
        got: usize,
    },
    /// Another number of cells than the task's files have.
    #[error("has {got} cells, expected {expected}; cells are separated by commas and may be quoted")]
    Cells {
        /// What the task's files have.
        expected: usize,
        /// The row's.
        got: usize,
    },
    /// Bytes that are not UTF-8.
    #[error("is not UTF-8 text; convert the file")]
    Encoding,
    /// A text that is empty or blank.
    #[error("column {column:?} is empty; every text must have words")]
    Blank {
        /// The column.
        column: &'static str,
    },
    /// A line that is no JSON object.
    #[error("is no JSON object: {fault}")]
    Json {
        /// What the parser says.
        fault: String,
    },
    /// A JSON object without a key, or with a value of another type there.
    #[error("has no text under the key {column:?}")]
    Key {
        /// The key expected.
        column: &'static str,
    },
    /// A label that the task does not have.
    #[error("label {got:?} is none of {known:?}")]
    Label {
        /// The text found.
        got: String,
        /// The task's labels.
        known: &'static [&'static str],
    },
    /// A score that is no number or out of range.
    #[error("score {got:?} is not a number from {least} to {most}")]
    Score {
        /// The text found.
        got: String,
        /// The least score.
        least: f64,
        /// The greatest.
        most: f64,
    },
}
