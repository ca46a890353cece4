//! Where texts come from: the corpus that ships with the program, or a file with one text a line.

use crate::default::{GENERATED_LINES, GENERATED_SEED, TEXT_LIMIT};
use crate::error::Error;
use crate::file;
use std::fmt;
use std::path::PathBuf;
use tenfold_eval::corpus;

/// Where texts come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TextSource {
    /// The shipped corpus: its training part with as much generated from it, which brings words that the passages
    /// lack, or its held-out part for evaluation.
    #[default]
    Shipped,
    /// A UTF-8 file, one text a line; blank lines are skipped.
    File(PathBuf),
}

/// What texts are for; decides which part of the shipped corpus they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Evidence and training.
    Train,
    /// Evaluation.
    Evaluate,
}

impl TextSource {
    /// Reads `shipped` or `path:FILE`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("path:") {
            Some("") => None,
            Some(file) => Some(Self::File(PathBuf::from(file))),
            None => (text == "shipped").then_some(Self::Shipped),
        }
    }

    /// The texts.
    ///
    /// # Errors
    /// Faults of the file, [`Error::NoText`] when it holds nothing.
    pub fn texts(&self, purpose: Use) -> Result<Vec<String>, Error> {
        match self {
            Self::Shipped => Ok(match purpose {
                Use::Train => {
                    let written = corpus::train().map(str::to_owned);
                    written.chain(corpus::generate(GENERATED_SEED, GENERATED_LINES)).collect()
                }
                Use::Evaluate => corpus::heldout().map(str::to_owned).collect(),
            }),
            Self::File(path) => {
                let whole = file::read_text(path, TEXT_LIMIT)?;
                let lines = whole.lines().map(str::trim).filter(|line| !line.is_empty());
                let texts: Vec<String> = lines.map(str::to_owned).collect();
                if texts.is_empty() { Err(Error::NoText { path: path.clone() }) } else { Ok(texts) }
            }
        }
    }
}

impl fmt::Display for TextSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => out.write_str("shipped"),
            Self::File(path) => write!(out, "path:{}", path.display()),
        }
    }
}
