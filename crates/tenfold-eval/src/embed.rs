//! Sentence vectors of many texts: packed batches of texts of similar length, results in the order of the
//! texts.

use crate::error::Error;
use tenfold_model::{Batch, Model};
use tenfold_tensor::{Array, Precision};
use tenfold_weight::{Scope, Tree};

/// Tokens per batch when the caller does not say: large enough that the matrix products fill two cores, small
/// enough that activations stay within a few dozen MB.
const BATCH_TOKENS: usize = 4096;

/// How texts are put into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbedOptions {
    /// Tokens of a batch at most; a longer text is a batch of its own.
    pub batch_tokens: usize,
    /// The precision of the products of linear maps.
    pub precision: Precision,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self { batch_tokens: BATCH_TOKENS, precision: Precision::F32 }
    }
}

/// One vector per text, B x D, in the order of the texts; no texts give 0 x D. The weights come from `tree`,
/// all else from `model`. `progress` hears after each batch how many texts are done, and of how many.
///
/// # Errors
/// [`Error::Model`] for texts that cannot be tokenized and weights that do not fit, [`Error::NotFinite`]
/// naming the first text whose vector is not finite.
pub fn embed(
    model: &Model,
    tree: &Tree,
    texts: &[&str],
    options: &EmbedOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Array, Error> {
    let sequences = texts.iter().map(|text| Ok(model.tokenize(text)?)).collect::<Result<Vec<_>, Error>>()?;
    // One scope for all batches: matrices that are rebuilt from factors are rebuilt once.
    let scope = Scope::evaluate(tree).computing(options.precision);
    let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
    let encode = |members: &[usize]| {
        let packed: Vec<&[u32]> = members.iter().map(|&at| sequences[at].as_slice()).collect();
        Ok(model.network.embed(&scope, &Batch::from_sequences(&packed))?.value().clone())
    };
    in_batches(&lengths, model.network.width(), options, encode, progress)
}

/// Runs `encode` over groups of items, given by their positions, whose texts are of similar length, and puts its rows back
/// in the order of the items.
pub(crate) fn in_batches(
    lengths: &[usize],
    width: usize,
    options: &EmbedOptions,
    mut encode: impl FnMut(&[usize]) -> Result<Array, Error>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Array, Error> {
    let mut vectors = Array::zeros(&[lengths.len(), width]);
    let rows = vectors.data_mut();
    let mut done = 0;
    for members in batches(lengths, options.batch_tokens) {
        let encoded = encode(&members)?;
        for (&at, row) in members.iter().zip(encoded.data().chunks_exact(width)) {
            if row.iter().any(|value| !value.is_finite()) {
                return Err(Error::NotFinite { metric: "embedding", index: at });
            }
            rows[at * width..][..width].copy_from_slice(row);
        }
        done += members.len();
        progress(done, lengths.len());
    }
    Ok(vectors)
}

/// Groups items of similar length so that no group of two or more exceeds `budget` tokens. The longest come
/// first: memory peaks at once, and the time left that progress suggests is never too short.
fn batches(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(lengths[at]), at));
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut tokens = 0;
    for at in order {
        match groups.last_mut() {
            Some(group) if tokens + lengths[at] <= budget => {
                group.push(at);
                tokens += lengths[at];
            }
            _ => {
                groups.push(vec![at]);
                tokens = lengths[at];
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_keep_to_the_budget() {
        assert_eq!(batches(&[3, 9, 1, 4, 3], 7), [vec![1], vec![3, 0], vec![4, 2]]);
        assert_eq!(batches(&[2, 2, 2], 0), [vec![0], vec![1], vec![2]]);
        assert!(batches(&[], 7).is_empty());
    }

    /// An encoder whose vector of a sequence is its first token and its length.
    fn first_and_length(sequences: &[Vec<u32>]) -> impl FnMut(&[usize]) -> Result<Array, Error> {
        |members| {
            let rows = members.iter().flat_map(|at| [sequences[*at][0] as f32, sequences[*at].len() as f32]);
            Ok(Array::from_vec(rows.collect(), &[members.len(), 2]))
        }
    }

    #[test]
    fn vectors_come_in_the_order_of_the_texts() {
        let sequences = vec![vec![7, 1], vec![8, 1, 1, 1], vec![9], vec![6, 1, 1]];
        let mut heard = Vec::new();
        let options = EmbedOptions { batch_tokens: 5, ..EmbedOptions::default() };
        let hear = &mut |done, total| heard.push((done, total));
        let vectors = in_batches(&[2, 4, 1, 3], 2, &options, first_and_length(&sequences), hear).unwrap();
        assert_eq!(vectors.shape(), [4, 2]);
        assert_eq!(vectors.data(), [7.0, 2.0, 8.0, 4.0, 9.0, 1.0, 6.0, 3.0]);
        assert_eq!(heard, [(1, 4), (3, 4), (4, 4)]);
    }

    #[test]
    fn no_texts_give_no_rows() {
        let options = EmbedOptions::default();
        let vectors = in_batches(&[], 2, &options, first_and_length(&[]), &mut |_, _| {}).unwrap();
        assert_eq!(vectors.shape(), [0, 2]);
    }

    #[test]
    fn a_broken_vector_names_its_text() {
        let sequences = vec![vec![7], vec![9]];
        let mut encode = first_and_length(&sequences);
        let broken = |members: &[usize]| {
            let mut rows = encode(members)?;
            rows.data_mut().iter_mut().filter(|value| **value == 9.0).for_each(|value| *value = f32::NAN);
            Ok(rows)
        };
        let result = in_batches(&[1, 1], 2, &EmbedOptions::default(), broken, &mut |_, _| {});
        assert!(matches!(result, Err(Error::NotFinite { metric: "embedding", index: 1 })));
    }
}
