//! Where texts come from: the corpus that ships with the program, or a file with one text a line.

use crate::default::{GENERATED_LINES, GENERATED_SEED, LAB_HELD_OUT, LAB_LIMIT, LAB_SEED, TEXT_LIMIT};
use crate::error::Error;
use crate::file;
use std::fmt;
use std::path::PathBuf;
use tenfold_eval::{corpus, lab};

/// The line that stands between texts of several lines, as in the files of TinyStories.
const END: &str = "<|endoftext|>";

/// Where texts come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TextSource {
    /// The shipped corpus: its training part with as much generated from it, which brings words that the passages
    /// lack, or its held-out part for evaluation.
    #[default]
    Shipped,
    /// A UTF-8 file: texts between lines `<|endoftext|>` where it has such lines, else one text a line. Blank texts are skipped.
    File(PathBuf),
    /// Lines of the laboratory: as many to train on; to measure on, lines of held-out rules.
    Lab(usize),
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
    /// Reads `shipped`, `path:FILE` or `lab:LINES`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("path:") {
            Some("") => None,
            Some(file) => Some(Self::File(PathBuf::from(file))),
            None => match text.strip_prefix("lab:") {
                Some(count) => {
                    count.parse().ok().filter(|count| (1..=LAB_LIMIT).contains(count)).map(Self::Lab)
                }
                None => (text == "shipped").then_some(Self::Shipped),
            },
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
            Self::Lab(count) => Ok(match purpose {
                Use::Train => lab::training(LAB_SEED, *count),
                Use::Evaluate => lab::held_out((*count).min(LAB_HELD_OUT)),
            }),
            Self::File(path) => {
                let whole = file::read_text(path, TEXT_LIMIT)?;
                let texts = of_file(&whole);
                if texts.is_empty() { Err(Error::NoText { path: path.clone() }) } else { Ok(texts) }
            }
        }
    }
}

/// The texts of a file's content.
fn of_file(whole: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    let between = whole.lines().any(|line| line.trim() == END);
    for line in whole.lines() {
        let end = line.trim() == END;
        if !(between && end)
            && let Some(text) = texts.last_mut()
        {
            text.push_str(line);
            text.push('\n');
        }
        if end || !between {
            texts.push(String::new());
        }
    }
    texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).map(str::to_owned).collect()
}

impl fmt::Display for TextSource {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shipped => out.write_str("shipped"),
            Self::Lab(count) => write!(out, "lab:{count}"),
            Self::File(path) => write!(out, "path:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_lines_or_stand_between_marks() {
        assert_eq!(of_file("one\n\n two \r\nthree"), ["one", "two", "three"]);
        assert_eq!(of_file("a\nb\n<|endoftext|>\n\n<|endoftext|>\r\nc\n"), ["a\nb", "c"]);
        for source in ["shipped", "path:a/b", "lab:300"] {
            assert_eq!(TextSource::parse(source).unwrap().to_string(), source);
        }
        assert!(
            ["lab:0", "lab:x", "lab:", "path:", "other"].iter().all(|one| TextSource::parse(one).is_none())
        );
        let lab = TextSource::Lab(20);
        assert_eq!(lab.texts(Use::Train).unwrap().len(), 20);
        assert_ne!(lab.texts(Use::Train).unwrap(), lab.texts(Use::Evaluate).unwrap());
        assert!(of_file("\n \n").is_empty() && of_file("<|endoftext|>").is_empty());
    }
}
