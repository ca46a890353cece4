//! The objective `language`: foretell the next token of plain text.

use super::supply::Supply;
use crate::error::Error;
use tenfold_model::{Batch, Model};
use tenfold_tensor::op;
use tenfold_train::{Loss, Objective, Share};
use tenfold_weight::Scope;

/// Cross-entropy of the next token, mean over the batch's tokens that have one before them.
///
/// Source: Bengio et al. 2003, A neural probabilistic language model, equation 1.
pub(super) struct Language<'s> {
    pub(super) model: &'s Model,
    /// Sequences of at least two tokens.
    pub(super) supply: &'s Supply<'s>,
}

impl Objective for Language<'_> {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Error> {
        let Some(whole) = self.supply.share(step, share)? else { return Ok(Loss::empty()) };
        let sequences: Vec<&[u32]> = whole.offsets.ranges().map(|range| &whole.ids[range]).collect();
        // Nothing follows the last token, so nobody needs to read it.
        let read: Vec<&[u32]> = sequences.iter().map(|ids| &ids[..ids.len() - 1]).collect();
        let next: Vec<u32> = sequences.iter().flat_map(|ids| &ids[1..]).copied().collect();
        let logits = self.model.network.logits(scope, &Batch::from_sequences(&read))?; // N x V
        Ok(Loss::mean(op::cross_entropy(&logits, &next)?, next.len() as f64).reading(next.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::batch::Batches;
    use crate::run::cut::{Cut, tests::decoder};

    /// Against the definition, sequence by sequence and in double precision.
    #[test]
    fn the_loss_is_the_mean_over_tokens_that_follow_others() {
        let model = decoder();
        let texts: Vec<String> = ["abca", "b", "ccab", "ba"].map(str::to_owned).into();
        let sequences = Cut::next(&model, false).unwrap().sequences(&texts).unwrap();
        let batches = Batches::new(sequences.into(), 1, 30, 1);
        let supply = Supply::Held(batches.clone());
        let scope = Scope::evaluate(&model.tree);
        let language = Language { model: &model, supply: &supply };
        let loss = language.loss(&scope, 0, Share::WHOLE).unwrap().whole().unwrap();
        let (mut sum, mut tokens) = (0.0, 0);
        // Whoever has room left sees the first texts again.
        let batch = batches.batch(0);
        for ids in batch.offsets.ranges().map(|range| &batch.ids[range]) {
            let logits = model.network.logits(&scope, &Batch::from_sequences(&[ids])).unwrap();
            for (row, next) in logits.value().data().chunks_exact(6).zip(&ids[1..]) {
                let norm = row.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln();
                sum += norm - f64::from(row[*next as usize]);
                tokens += 1;
            }
        }
        let got = f64::from(loss.value().data()[0]);
        assert!((got - sum / f64::from(tokens)).abs() < 1e-5, "{got} {}", sum / f64::from(tokens));
    }
}
