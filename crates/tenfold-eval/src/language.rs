//! How well a decoder foretells a text, and how far its word is from that of another.

use crate::embed::EmbedOptions;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use tenfold_model::{Batch, Model};
use tenfold_tensor::{Array, Var};
use tenfold_weight::{Scope, Tree};

/// The next token of every token of some texts, foretold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Language {
    /// The exponential of the mean negative log-likelihood per token.
    pub perplexity: f64,
    /// Mean Kullback-Leibler divergence per token from the original's distribution, in nats; nothing for the original itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divergence: Option<f64>,
    /// Share of tokens for which the likeliest next token is another one than the original's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flipped: Option<f64>,
    /// Tokens foretold: all but the first of every text or window.
    pub tokens: usize,
}

/// Sums over tokens.
#[derive(Default)]
struct Sums {
    loss: f64,
    divergence: f64,
    flipped: usize,
    tokens: usize,
}

/// Measures the model with the weights of `tree`, against those of `original` where they are given. `progress` hears how many
/// texts are done, and of how many.
///
/// Every text stands alone, cut to the model's longest; with `windows`, the tokens of all texts are joined and cut into windows of so
/// many tokens that do not overlap, each read alone, and what is left at the end counts nothing: windows times (T - 1) tokens are
/// foretold, as scores beside GPTQ (Frantar et al. 2023) are taken, with 2048 tokens a window.
///
/// # Errors
/// [`Error::Model`] for texts that cannot be tokenized and models that are no decoders; [`Error::Window`] for windows longer than
/// the model places, [`Error::TooFew`] where there is no token to foretell, [`Error::NotFinite`] naming the first text or window with
/// a logit that is not finite.
pub fn language(
    model: &Model,
    tree: &Tree,
    original: Option<&Tree>,
    texts: &[&str],
    windows: Option<usize>,
    options: &EmbedOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Language, Error> {
    let scope = Scope::evaluate(tree).computing(options.precision);
    // The yardstick is exact, whatever is measured against it.
    let other = original.map(Scope::evaluate);
    let joined = windows.map(|length| joined(model, texts, length)).transpose()?;
    let count = joined.as_ref().map_or(texts.len(), Vec::len);
    let mut sums = Sums::default();
    for index in 0..count {
        let ids = match &joined {
            Some(windows) => windows[index].clone(),
            None => model.tokenize(texts[index])?,
        };
        if let Some((_, read)) = ids.split_last().filter(|(_, read)| !read.is_empty()) {
            let batch = Batch::from_sequences(&[read]);
            let logits = model.network.logits(&scope, &batch)?;
            let before = match &other {
                Some(other) => Some(model.network.logits(other, &batch)?),
                None => None,
            };
            sums.add(logits.value(), before.as_ref().map(Var::value), &ids[1..]);
            if !sums.loss.is_finite() {
                return Err(Error::NotFinite { metric: "perplexity", index });
            }
        }
        progress(index + 1, count);
    }
    if sums.tokens == 0 {
        return Err(Error::TooFew { metric: "perplexity", least: 1, got: 0 });
    }
    let mean = |sum: f64| sum / sums.tokens as f64;
    Ok(Language {
        perplexity: mean(sums.loss).exp(),
        divergence: original.map(|_| mean(sums.divergence)),
        flipped: original.map(|_| mean(sums.flipped as f64)),
        tokens: sums.tokens,
    })
}

/// Windows of `length` tokens of all texts, one after the other.
fn joined(model: &Model, texts: &[&str], length: usize) -> Result<Vec<Vec<u32>>, Error> {
    let most = model.network.max_tokens();
    if !(2..=most).contains(&length) {
        return Err(Error::Window { length, most });
    }
    let mut ids = Vec::new();
    for text in texts {
        ids.extend(model.tokenizer.encode(text, usize::MAX).map_err(tenfold_model::Error::from)?);
    }
    if ids.len() < length {
        return Err(Error::TooFew { metric: "perplexity by windows", least: length, got: ids.len() });
    }
    Ok(ids.chunks_exact(length).map(<[u32]>::to_vec).collect())
}

impl Sums {
    fn add(&mut self, logits: &Array, before: Option<&Array>, next: &[u32]) {
        let width = logits.width();
        for (row, id) in next.iter().enumerate() {
            let own = log_shares(&logits.data()[row * width..(row + 1) * width]);
            self.loss -= own[*id as usize];
            self.tokens += 1;
            let Some(before) = before else { continue };
            let other = log_shares(&before.data()[row * width..(row + 1) * width]);
            self.divergence += other.iter().zip(&own).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
            self.flipped += usize::from(likeliest(&own) != likeliest(&other));
        }
    }
}

/// Logarithms of the softmax.
pub(crate) fn log_shares(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    let norm = f64::from(most) + sum.ln();
    logits.iter().map(|logit| f64::from(*logit) - norm).collect()
}

pub(crate) fn likeliest(shares: &[f64]) -> usize {
    (0..shares.len()).fold(0, |best, at| if shares[at] > shares[best] { at } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_definitions() {
        let logs = |shares: &[f32]| shares.iter().map(|share| share.ln() + 3.0).collect::<Vec<_>>();
        let own = Array::from_vec(logs(&[0.5, 0.25, 0.25, 0.2, 0.2, 0.6]), &[2, 3]);
        let other = Array::from_vec(logs(&[0.25, 0.5, 0.25, 0.2, 0.2, 0.6]), &[2, 3]);
        let mut sums = Sums::default();
        sums.add(&own, Some(&other), &[0, 1]);
        // Half and a fifth were foretold; in the first row the likeliest differs, and the second is the same.
        assert!((sums.loss - (2.0f64.ln() + 5.0f64.ln())).abs() < 1e-6);
        assert!((sums.divergence - 0.25 * 2.0f64.ln()).abs() < 1e-6, "{}", sums.divergence);
        assert_eq!((sums.flipped, sums.tokens), (1, 2));
    }
}
