//! STS-B: pairs of sentences that people scored from 0 (unrelated) to 5 (same meaning).
//!
//! The model's score of a pair is the cosine of both sentence vectors; the result is Spearman's correlation
//! with the people's scores, times 100. Nothing is trained. The file is GLUE's `glue_stsb/dev.tsv`:
//! tab-separated without quoting, columns found by the header's `sentence1`, `sentence2` and `score`.
//!
//! Source: Cer et al. 2017, SemEval-2017 task 1.

use crate::embed::{EmbedOptions, embed};
use crate::error::{Error, RowFault};
use crate::metric;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use tenfold_model::Model;
use tenfold_tensor::Array;
use tenfold_weight::Tree;

/// The task's name and version.
pub const NAME: &str = "stsb@1";

/// The file inside the data folder.
pub const FILE: &str = "glue_stsb/dev.tsv";

/// The largest file that is read; the real one has less than 1 MB.
const BYTES_LIMIT: u64 = 64 << 20;

/// The range of the people's scores.
const SCORES: (f64, f64) = (0.0, 5.0);

/// Two sentences and how similar people find them.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The first sentence.
    pub first: String,
    /// The second sentence.
    pub second: String,
    /// From 0, unrelated, to 5, the same.
    pub score: f64,
}

/// What a model reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Spearman's correlation times 100.
    pub spearman: f64,
    /// Pearson's correlation times 100.
    pub pearson: f64,
    /// Pairs scored.
    pub pairs: usize,
}

/// Reads `DIR/glue_stsb/dev.tsv`.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::Row`] naming file and row, [`Error::NoRows`].
pub fn read(dir: &Path) -> Result<Vec<Pair>, Error> {
    let path = dir.join(FILE);
    let fault = |source| Error::Read { path: path.clone(), source };
    let got = fs::metadata(&path).map_err(fault)?.len();
    if got > BYTES_LIMIT {
        return Err(Error::TooLarge { path, most: BYTES_LIMIT, got });
    }
    parse(&path, &fs::read(&path).map_err(fault)?)
}

/// Scores a model with the weights of `tree`. `progress` hears how many sentences are done, and of how many.
///
/// # Errors
/// Faults of [`embed`]; [`Error::TooFew`] below two pairs; [`Error::Constant`] when the model finds all pairs
/// equally similar.
pub fn score(
    model: &Model,
    tree: &Tree,
    pairs: &[Pair],
    options: &EmbedOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Score, Error> {
    let texts: Vec<&str> =
        pairs.iter().flat_map(|pair| [pair.first.as_str(), pair.second.as_str()]).collect();
    correlate(&embed(model, tree, &texts, options, progress)?, pairs)
}

/// Scores the vectors of all pairs' sentences, first and second in turn, 2B x D.
fn correlate(vectors: &Array, pairs: &[Pair]) -> Result<Score, Error> {
    let (first, second): (Vec<_>, Vec<_>) = vectors
        .data()
        .chunks_exact(vectors.width().max(1) * 2)
        .map(|pair| pair.split_at(vectors.width()))
        .unzip();
    let cosines =
        first.iter().zip(second).map(|(a, b)| metric::cosine(a, b)).collect::<Result<Vec<_>, _>>()?;
    let scores: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
    Ok(Score {
        spearman: 100.0 * metric::spearman(&cosines, &scores)?,
        pearson: 100.0 * metric::pearson(&cosines, &scores)?,
        pairs: pairs.len(),
    })
}

/// Reads the file's bytes.
fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Pair>, Error> {
    let mut lines =
        bytes.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let at = |index: usize| move |fault| Error::Row { path: path.to_owned(), row: index + 1, fault };
    let (top, header) = lines.next().ok_or_else(|| Error::NoRows { path: path.to_owned() })?;
    let header = columns(header).map_err(at(top))?;
    let places = Places::find(&header).map_err(at(top))?;
    let pairs: Vec<Pair> =
        lines.map(|(index, line)| places.pair(line).map_err(at(index))).collect::<Result<_, _>>()?;
    if pairs.is_empty() { Err(Error::NoRows { path: path.to_owned() }) } else { Ok(pairs) }
}

fn columns(line: &[u8]) -> Result<Vec<&str>, RowFault> {
    let text = str::from_utf8(line).map_err(|_| RowFault::Encoding)?;
    Ok(text.trim_end_matches('\r').split('\t').collect())
}

/// Which columns hold what.
struct Places {
    columns: usize,
    first: usize,
    second: usize,
    score: usize,
}

impl Places {
    fn find(header: &[&str]) -> Result<Self, RowFault> {
        let place = |column: &'static str| {
            header.iter().position(|name| *name == column).ok_or(RowFault::Column { column })
        };
        let (first, second, score) = (place("sentence1")?, place("sentence2")?, place("score")?);
        Ok(Self { columns: header.len(), first, second, score })
    }

    fn pair(&self, line: &[u8]) -> Result<Pair, RowFault> {
        let cells = columns(line)?;
        if cells.len() != self.columns {
            return Err(RowFault::Columns { expected: self.columns, got: cells.len() });
        }
        let text = |at: usize, column| match cells[at].trim() {
            "" => Err(RowFault::Blank { column }),
            words => Ok(words.to_owned()),
        };
        let (least, most) = SCORES;
        let got = cells[self.score].trim();
        let score = got.parse().ok().filter(|score| (least..=most).contains(score));
        let score = score.ok_or_else(|| RowFault::Score { got: got.to_owned(), least, most })?;
        Ok(Pair { first: text(self.first, "sentence1")?, second: text(self.second, "sentence2")?, score })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "index\tsentence1\tsentence2\tscore\n";

    fn rows(text: &str) -> Result<Vec<Pair>, Error> {
        parse(Path::new("dev.tsv"), format!("{HEADER}{text}").as_bytes())
    }

    fn fault(text: &[u8]) -> (usize, RowFault) {
        let bytes = [HEADER.as_bytes(), text].concat();
        match parse(Path::new("dev.tsv"), &bytes) {
            Err(Error::Row { path, row, fault }) if path == Path::new("dev.tsv") => (row, fault),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn quotes_and_line_ends_are_taken_as_they_are() {
        let pairs = rows("0\tA \"cat\" sat.\tA dog.\t1.250\r\n\n1\tOne\tTwo\t5\n").unwrap();
        let expected = Pair { first: "A \"cat\" sat.".to_owned(), second: "A dog.".to_owned(), score: 1.25 };
        assert_eq!(pairs[0], expected);
        assert_eq!((pairs.len(), pairs[1].score), (2, 5.0));
    }

    #[test]
    fn malformed_rows_are_named_by_file_and_row() {
        assert_eq!(fault(b"0\ta\tb\t1\n1\ta\tb\n"), (3, RowFault::Columns { expected: 4, got: 3 }));
        assert_eq!(fault(b"0\t\xff\tb\t1\n"), (2, RowFault::Encoding));
        assert_eq!(fault(b"0\ta\t \t1\n"), (2, RowFault::Blank { column: "sentence2" }));
        for bad in ["", "x", "NaN", "5.1", "-0.1", "inf"] {
            let (row, fault) = fault(format!("0\ta\tb\t{bad}\n").as_bytes());
            assert_eq!((row, fault), (2, RowFault::Score { got: bad.to_owned(), least: 0.0, most: 5.0 }));
        }
    }

    #[test]
    fn a_header_must_name_the_columns() {
        let result = parse(Path::new("dev.tsv"), b"sentence1\tsentence2\n");
        assert!(matches!(
            result,
            Err(Error::Row { row: 1, fault: RowFault::Column { column: "score" }, .. })
        ));
    }

    #[test]
    fn empty_and_missing_files_are_faults() {
        assert!(matches!(parse(Path::new("dev.tsv"), b""), Err(Error::NoRows { .. })));
        assert!(matches!(rows("\n"), Err(Error::NoRows { .. })));
        let message = read(Path::new("nowhere")).unwrap_err().to_string();
        assert!(message.contains("glue_stsb"), "{message}");
    }

    #[test]
    fn the_order_of_cosines_is_what_counts() {
        let pair = |score| Pair { first: "a".to_owned(), second: "b".to_owned(), score };
        let pairs = [pair(5.0), pair(0.5), pair(3.0)];
        let vectors = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.8, 0.6];
        let result = correlate(&Array::from_slice(&vectors, &[6, 2]), &pairs).unwrap();
        assert!((result.spearman - 100.0).abs() < 1e-9 && result.pearson < 100.0);
        assert_eq!(result.pairs, 3);
    }
}
