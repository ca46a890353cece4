//! Where texts come from: the corpus that ships with the program, files, or the laboratory.

mod corpus;
mod pattern;

use crate::default::{GENERATED_LINES, GENERATED_SEED, LAB_HELD_OUT, LAB_LIMIT, LAB_SEED, TEXT_LIMIT};
use crate::error::Error;
use crate::file;
use std::fmt;
use std::path::PathBuf;
use tenfold_eval::{corpus as shipped, lab};

pub use corpus::Broken;
pub(crate) use corpus::{CHUNK, Corpus};

/// The line that stands between texts of several lines, as in the files of TinyStories.
const END: &str = "<|endoftext|>";

/// Where texts come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TextSource {
    /// The shipped corpus: its training part with as much generated from it, which brings words that the passages
    /// lack, or its held-out part for evaluation.
    #[default]
    Shipped,
    /// A UTF-8 file, all files below a folder, or those that a pattern such as `data/*.txt` names: texts between lines
    /// `<|endoftext|>` where a file has such lines, else one text a line. Blank texts are skipped.
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
                    let written = shipped::train().map(str::to_owned);
                    written.chain(shipped::generate(GENERATED_SEED, GENERATED_LINES)).collect()
                }
                Use::Evaluate => shipped::heldout().map(str::to_owned).collect(),
            }),
            Self::Lab(count) => Ok(match purpose {
                Use::Train => lab::training(LAB_SEED, *count),
                Use::Evaluate => lab::held_out((*count).min(LAB_HELD_OUT)),
            }),
            Self::File(path) => {
                let mut texts = Vec::new();
                let mut room = TEXT_LIMIT;
                for one in pattern::files(path)? {
                    let whole = file::read_text(&one, TEXT_LIMIT)?;
                    room = room.checked_sub(whole.len() as u64).ok_or_else(|| {
                        let got = TEXT_LIMIT - room + whole.len() as u64;
                        Error::TooLarge { path: path.clone(), most: TEXT_LIMIT, got }
                    })?;
                    texts.extend(of_file(&whole, is_marked(&whole)));
                }
                if texts.is_empty() { Err(Error::NoText { path: path.clone() }) } else { Ok(texts) }
            }
        }
    }
}

/// Texts to train on, a part at a time.
#[derive(Debug)]
pub(crate) enum Parts {
    /// In memory, all of them one part.
    Held(Vec<String>),
    /// Files, by their chunks.
    Files(Corpus),
}

impl Parts {
    /// The texts of a source.
    ///
    /// # Errors
    /// Those of [`Corpus::open`].
    pub(crate) fn of(source: &TextSource, broken: Broken) -> Result<Self, Error> {
        match source {
            TextSource::File(path) => Corpus::open(path, broken).map(Self::Files),
            other => other.texts(Use::Train).map(Self::Held),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Held(_) => 1,
            Self::Files(corpus) => corpus.len(),
        }
    }

    /// The texts of a part.
    ///
    /// # Errors
    /// Those of [`Corpus::texts`].
    pub(crate) fn texts(&self, part: usize) -> Result<Vec<String>, Error> {
        match self {
            Self::Held(texts) => Ok(texts.clone()),
            Self::Files(corpus) => corpus.texts(part),
        }
    }
}

/// Whether the texts of a file's content stand between lines that mark their ends.
fn is_marked(whole: &str) -> bool {
    whole.lines().any(|line| line.trim() == END)
}

/// The texts of a file's content, or of a part of it.
fn of_file(whole: &str, between: bool) -> Vec<String> {
    let mut texts = vec![String::new()];
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

    fn of_whole(whole: &str) -> Vec<String> {
        of_file(whole, is_marked(whole))
    }

    #[test]
    fn texts_are_lines_or_stand_between_marks() {
        assert_eq!(of_whole("one\n\n two \r\nthree"), ["one", "two", "three"]);
        assert_eq!(of_whole("a\nb\n<|endoftext|>\n\n<|endoftext|>\r\nc\n"), ["a\nb", "c"]);
        for source in ["shipped", "path:a/b", "lab:300"] {
            assert_eq!(TextSource::parse(source).unwrap().to_string(), source);
        }
        assert!(
            ["lab:0", "lab:x", "lab:", "path:", "other"].iter().all(|one| TextSource::parse(one).is_none())
        );
        let lab = TextSource::Lab(20);
        assert_eq!(lab.texts(Use::Train).unwrap().len(), 20);
        assert_ne!(lab.texts(Use::Train).unwrap(), lab.texts(Use::Evaluate).unwrap());
        assert!(of_whole("\n \n").is_empty() && of_whole("<|endoftext|>").is_empty());
    }
}
