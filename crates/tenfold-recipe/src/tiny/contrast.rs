//! The objective: of all texts of a batch, a text is closest to itself with other tokens left out.

use crate::error::Error;
use crate::run::Batches;
use std::collections::BTreeSet;
use tenfold_model::{Batch, Network};
use tenfold_tensor::random::Random;
use tenfold_tensor::{Activation, op};
use tenfold_train::{Loss, Objective, Share};
use tenfold_weight::Scope;

/// What cosines are divided by, as in Gao et al. 2021.
const TEMPERATURE: f32 = 0.05;

/// The least and the largest share of a text's inner tokens that a view lacks.
const LEFT_OUT: (f64, f64) = (0.1, 0.2);

/// The stream of random numbers that says what is left out.
const VIEWS: u64 = 2;

/// Mean over the B texts of a batch of `-log softmax(cos(a_i, b_j) / 0.05)_ii`, where a and b are two views of the
/// texts: each lacks 10 to 20 % of the tokens between the first and the last, drawn anew.
///
/// Source: Gao, Yao and Chen 2021, SimCSE, equation 1, with the word deletion of its table 1 in the place of dropout,
/// which the encoder here does not have.
pub(super) struct Contrast<'m> {
    pub(super) network: &'m Network,
    pub(super) batches: &'m Batches,
    pub(super) seed: u64,
}

impl Contrast<'_> {
    /// Two views of the batch of a step: a pure function of seed and step.
    fn views(&self, step: u64) -> [Batch; 2] {
        let whole = self.batches.batch(step);
        // A batch that reaches from one pass over the texts into the next can hold a text twice; as each other's
        // opposites they would teach what is wrong.
        let mut seen = BTreeSet::new();
        let texts: Vec<&[u32]> =
            whole.offsets.ranges().map(|range| &whole.ids[range]).filter(|text| seen.insert(*text)).collect();
        [0, 1].map(|view| {
            let mut random = Random::labelled(self.seed, &[VIEWS, step, view]);
            Batch::from_sequences(&texts.iter().map(|text| thinned(text, &mut random)).collect::<Vec<_>>())
        })
    }
}

impl Objective for Contrast<'_> {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Error> {
        // Every text is compared with all others.
        if !share.is_first() {
            return Ok(Loss::empty());
        }
        let [first, second] = self.views(step);
        let first = self.network.embed(scope, &first)?; // B x D, rows of length 1
        let second = self.network.embed(scope, &second)?;
        let cosines = op::linear(&first, &second, None, Activation::Identity); // B x B
        let own: Vec<u32> = (0..first.value().height() as u32).collect();
        let loss = op::cross_entropy(&op::scale(&cosines, 1.0 / TEMPERATURE), &own)?;
        Ok(Loss::mean(loss, own.len() as f64))
    }
}

/// A text without a random share of its inner tokens; one of them at least stays.
fn thinned(text: &[u32], random: &mut Random) -> Vec<u32> {
    let inner = text.len().saturating_sub(2);
    let share = LEFT_OUT.0 + (LEFT_OUT.1 - LEFT_OUT.0) * random.uniform();
    // Rounded up or down by chance, so that short texts lose the same share on average.
    let out = (share * inner as f64 + random.uniform()) as usize;
    let mut out = out.min(inner.saturating_sub(1));
    // Each token in turn goes with the chance that leaves every choice of `out` tokens equally likely (Knuth, The art
    // of computer programming, volume 2, algorithm 3.4.2 S).
    let mut stays = |at: usize| {
        let last = at == 0 || at + 1 == text.len();
        let goes = !last && random.uniform() * ((inner + 1 - at) as f64) < out as f64;
        out -= usize::from(goes);
        !goes
    };
    text.iter().enumerate().filter(|(at, _)| stays(*at)).map(|(_, id)| *id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_keeps_order_ends_and_four_fifths() {
        let text: Vec<u32> = (0..42).collect();
        let mut random = Random::new(1);
        let mut kept = [0; 42];
        for _ in 0..2000 {
            let view = thinned(&text, &mut random);
            assert!(view.is_sorted() && view[0] == 0 && view.last() == Some(&41));
            // 10 to 20 % of 40, rounded up or down.
            assert!((33..=38).contains(&view.len()), "{}", view.len());
            view.iter().for_each(|id| kept[*id as usize] += 1);
        }
        // Each inner token stays in 85 % of the views; 0.85 +- 5 deviations of sqrt(0.85 0.15 / 2000) = 0.008.
        assert!(kept[1..41].iter().all(|count| (1620..=1780).contains(count)), "{kept:?}");
    }

    #[test]
    fn short_texts_keep_something_and_lose_their_share() {
        let mut random = Random::new(2);
        for text in [vec![], vec![7], vec![7, 8], vec![7, 1, 8]] {
            assert!((0..50).all(|_| thinned(&text, &mut random) == text));
        }
        let inner: usize = (0..4000).map(|_| thinned(&[7, 1, 2, 3, 4, 8], &mut random).len() - 2).sum();
        // 4 tokens less 15 %; the deviation of the mean is 0.008.
        assert!((inner as f64 / 4000.0 - 3.4).abs() < 0.04, "{inner}");
    }
}
