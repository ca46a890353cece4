//! Latency: how long one forward pass takes, alone and in a batch.

use crate::error::Error;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use tenfold_model::{Batch, Model};
use tenfold_weight::{Scope, Tree};

/// The larger of the two batch sizes.
const BATCH: usize = 32;

/// A sentence of common words; repeated until it is as long as asked for.
const SENTENCE: &str = "the small boat came back to the harbor late in the evening";

/// How latency is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyOptions {
    /// Length of every sentence in tokens, special ones included; cut to the model's longest.
    pub tokens: usize,
    /// Passes before the clock runs: they rebuild matrices and fill caches.
    pub warm_up: usize,
    /// Passes that are timed; the median counts. At least one is made.
    pub repetitions: usize,
}

impl Default for LatencyOptions {
    fn default() -> Self {
        Self { tokens: 32, warm_up: 3, repetitions: 15 }
    }
}

/// Median times of a forward pass over sentences of one length, from token ids to vectors. Matrices that are
/// rebuilt from factors have been rebuilt before, as in a process that serves many requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// One sentence, in milliseconds.
    pub batch_1_ms: f64,
    /// A batch of 32 sentences, in milliseconds for the whole batch.
    pub batch_32_ms: f64,
    /// Tokens of a sentence.
    pub tokens: usize,
    /// Timed passes behind each median.
    pub repetitions: usize,
}

/// Times the model with the weights of `tree`.
///
/// # Errors
/// [`Error::Model`] when the model cannot run.
pub fn latency(model: &Model, tree: &Tree, options: &LatencyOptions) -> Result<Latency, Error> {
    let scope = Scope::evaluate(tree);
    let pass = |size: usize| Ok::<_, Error>(median(&passes(model, &scope, size, options)?));
    Ok(Latency {
        batch_1_ms: pass(1)?,
        batch_32_ms: pass(BATCH)?,
        tokens: sentence(model, options.tokens)?.len(),
        repetitions: options.repetitions.max(1),
    })
}

/// Times of forward passes over `size` sentences of one length, from token ids to vectors, in milliseconds, in rising
/// order.
///
/// # Errors
/// [`Error::Model`] when the model cannot run.
pub fn passes(
    model: &Model,
    scope: &Scope<'_>,
    size: usize,
    options: &LatencyOptions,
) -> Result<Vec<f64>, Error> {
    let sentence = sentence(model, options.tokens)?;
    let batch = Batch::from_sequences(&vec![sentence; size]);
    timed(options, || {
        model.network.embed(scope, &batch)?;
        Ok(())
    })
}

/// `tokens` ids of common words, fewer where the model's longest text is shorter.
///
/// # Errors
/// [`Error::Model`] for a faulty tokenizer.
pub fn sentence(model: &Model, tokens: usize) -> Result<Vec<u32>, Error> {
    Ok(repeated(&model.tokenize(SENTENCE)?, tokens.min(model.network.max_tokens())))
}

/// `tokens` ids that repeat those of a text.
fn repeated(ids: &[u32], tokens: usize) -> Vec<u32> {
    ids.iter().copied().cycle().take(tokens.max(1)).collect()
}

/// Times in milliseconds, in rising order.
fn timed<E>(options: &LatencyOptions, mut pass: impl FnMut() -> Result<(), E>) -> Result<Vec<f64>, E> {
    for _ in 0..options.warm_up {
        pass()?;
    }
    let mut times = Vec::with_capacity(options.repetitions.max(1));
    for _ in 0..options.repetitions.max(1) {
        let start = Instant::now();
        pass()?;
        tenfold_tensor::device::wait();
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(times)
}

/// The middle one of rising values, or the mean of the middle two; 0 for none.
pub fn median(values: &[f64]) -> f64 {
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[1.0, 3.0, 5.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 3.0, 4.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_sentence_has_the_length_asked_for() {
        assert_eq!(repeated(&[1, 2, 3], 5), [1, 2, 3, 1, 2]);
        assert_eq!(repeated(&[1, 2, 3], 0), [1]);
        assert_eq!(repeated(&[], 4), [0u32; 0]);
    }

    #[test]
    fn passes_are_counted_and_faults_end_it() {
        let options = LatencyOptions { tokens: 4, warm_up: 2, repetitions: 3 };
        let mut passes = 0;
        let counted = timed(&options, || {
            passes += 1;
            Ok::<(), ()>(())
        });
        assert_eq!((counted.map(|times| times.len()), passes), (Ok(3), 5));
        assert_eq!(timed(&options, || Err("broken")), Err("broken"));
    }
}
