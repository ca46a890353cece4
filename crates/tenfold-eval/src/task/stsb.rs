//! STS-B: pairs of sentences that people scored from 0 (unrelated) to 5 (same meaning).
//!
//! The model's score of a pair is the cosine of both sentence vectors; the result is Spearman's correlation
//! with the people's scores, times 100. Nothing is trained. The file is GLUE's `glue_stsb/dev.tsv`:
//! tab-separated without quoting, columns found by the header's `sentence1`, `sentence2` and `score`.
//!
//! Source: Cer et al. 2017, SemEval-2017 task 1.

use super::{Example, Split, Target};
use crate::embed::{EmbedOptions, embed};
use crate::error::Error;
use crate::metric;
use serde::{Deserialize, Serialize};
use std::path::Path;
use tenfold_model::Model;
use tenfold_tensor::Array;
use tenfold_weight::Tree;

/// The task's name and version.
pub const NAME: &str = "stsb@1";

/// The file inside the data folder.
pub const FILE: &str = "glue_stsb/dev.tsv";

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
    let Some(task) = super::find(NAME) else { return Ok(Vec::new()) };
    let pair = |example: Example| match (example.second, example.target) {
        (Some(second), Target::Value(score)) => Some(Pair { first: example.first, second, score }),
        _ => None,
    };
    Ok(super::read(task, dir, Split::Dev)?.into_iter().filter_map(pair).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

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
