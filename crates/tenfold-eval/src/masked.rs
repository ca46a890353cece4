//! How well an encoder guesses hidden tokens of a text.

use crate::embed::EmbedOptions;
use crate::error::Error;
use crate::language::{likeliest, log_shares};
use crate::masking::{Masker, Masking};
use serde::{Deserialize, Serialize};
use tenfold_model::{Batch, Model};
use tenfold_tensor::random::Random;
use tenfold_weight::{Scope, Tree};

/// The seed of the draw; the measure's alone, so that scores of all runs are of the same tokens.
const DRAW: u64 = 0x4752_4157;

/// Hidden tokens, guessed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Masked {
    /// Mean over the chosen tokens of minus the logarithm of the probability given to what stood there, in nats.
    pub loss: f64,
    /// Share of the chosen tokens that were guessed right.
    pub right: f64,
    /// Chosen tokens.
    pub tokens: usize,
}

/// Measures the model with the weights of `tree` on tokens of some texts, chosen and hidden by the published rule under one fixed
/// draw. Every text stands alone, cut to the model's longest. `progress` hears how many texts are done, and of how many.
///
/// # Errors
/// [`Error::Model`] for models without the head and texts that cannot be tokenized, those of [`Masker::new`], [`Error::TooFew`] where
/// no token is chosen, [`Error::NotFinite`] naming the last text of the first batch with a loss that is not finite.
pub fn masked(
    model: &Model,
    tree: &Tree,
    texts: &[&str],
    options: &EmbedOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Masked, Error> {
    let masker = Masker::new(&model.tokenizer, Masking::default())?;
    let scope = Scope::evaluate(tree).computing(options.precision);
    let (mut loss, mut right, mut tokens) = (0.0, 0, 0);
    let mut open = Open::default();
    for (index, text) in texts.iter().enumerate() {
        let mut ids = model.tokenize(text)?;
        let drawn = masker.draw(&mut ids, &mut Random::labelled(DRAW, &[index as u64]));
        open.places.extend(drawn.iter().map(|one| (open.held + one.place) as u32));
        open.wanted.extend(drawn.iter().map(|one| one.token));
        open.held += ids.len();
        open.sequences.push(ids);
        if open.held < options.batch_tokens && index + 1 < texts.len() {
            continue;
        }
        let Open { sequences, places, wanted, .. } = std::mem::take(&mut open);
        if !places.is_empty() {
            let hidden = model.network.hidden(&scope, &Batch::from_sequences(&sequences))?;
            let logits = model.masked_logits(&scope, &hidden, &places)?; // M x V
            let width = logits.value().width();
            for (row, id) in logits.value().data().chunks_exact(width).zip(&wanted) {
                let shares = log_shares(row);
                loss -= shares[*id as usize];
                right += usize::from(likeliest(&shares) == *id as usize);
            }
            tokens += wanted.len();
            if !f64::is_finite(loss) {
                return Err(Error::NotFinite { metric: "masked loss", index });
            }
        }
        progress(index + 1, texts.len());
    }
    if tokens == 0 {
        return Err(Error::TooFew { metric: "masked loss", least: 1, got: 0 });
    }
    let mean = |sum: f64| sum / tokens as f64;
    Ok(Masked { loss: mean(loss), right: mean(right as f64), tokens })
}

/// Texts that are read together.
#[derive(Default)]
struct Open {
    sequences: Vec<Vec<u32>>,
    places: Vec<u32>,
    wanted: Vec<u32>,
    held: usize,
}
