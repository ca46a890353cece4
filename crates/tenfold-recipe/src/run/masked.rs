//! The objective `masked`: guess hidden tokens, and perhaps the order of two segments.

use super::segment::{Pair, Segments};
use super::supply::Supply;
use crate::error::Error;
use tenfold_eval::{Chosen, Masker};
use tenfold_model::{Batch, Model};
use tenfold_tensor::random::Random;
use tenfold_tensor::{Array, Var, op};
use tenfold_train::{Loss, Objective, Share};
use tenfold_weight::Scope;

/// Streams of random numbers: what is hidden, and how sequences are cut and swapped.
const HIDDEN: u64 = 0x4D41_534B;
const SEGMENTS: u64 = 0x5345_474D;

/// Cross-entropy of the chosen tokens, mean over those of the batch, plus a multiple of that of the order of segments, mean over
/// the sequences that have two.
///
/// Source: Devlin et al. 2019, section 3.1; Lan et al. 2020, section 3.1.
pub(super) struct Masked<'s> {
    model: &'s Model,
    /// Sequences between the tokens of the frame, with room for a second end where there are segments.
    supply: &'s Supply<'s>,
    masker: Masker,
    segments: Option<Segments>,
    order: f32,
    seed: u64,
}

/// What the model sees at a step, and what it is asked.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) batch: Batch,
    /// Rows of the packed batch.
    places: Vec<u32>,
    /// What stood there.
    wanted: Vec<u32>,
    /// Sequences of two segments, and whether they are swapped.
    pairs: Vec<u32>,
    swapped: Vec<u32>,
}

impl<'s> Masked<'s> {
    /// `order` is the weight of the term for the order of segments; 0: there are none.
    pub(super) fn new(
        model: &'s Model,
        supply: &'s Supply<'s>,
        masker: Masker,
        order: f64,
        seed: u64,
    ) -> Self {
        let segments = (order > 0.0).then(|| Segments::new(&model.tokenizer, masker.frame()));
        Self { model, supply, masker, segments, order: order as f32, seed }
    }

    /// Draws are of a step and a sequence's place in its batch, whatever the other sequences are.
    pub(super) fn asked(&self, step: u64) -> Result<Asked, Error> {
        let whole = self.supply.batch(step)?;
        let stream = |use_of, at: usize| Random::labelled(self.seed, &[use_of, step, at as u64]);
        let mut pairs: Vec<Pair> = Vec::new();
        for (at, range) in whole.offsets.ranges().enumerate() {
            let ids = &whole.ids[range];
            pairs.push(match &self.segments {
                Some(segments) => segments.pair(ids, &mut stream(SEGMENTS, at)),
                None => Pair { ids: ids.to_vec(), types: vec![0; ids.len()], swapped: None },
            });
        }
        let mut drawn: Vec<Vec<Chosen>> = Vec::new();
        for (at, pair) in pairs.iter_mut().enumerate() {
            drawn.push(self.masker.draw(&mut pair.ids, &mut stream(HIDDEN, at)));
        }
        if drawn.iter().all(Vec::is_empty) {
            // A batch has something to guess, however small it is.
            let one = pairs.iter_mut().enumerate().find_map(|(at, pair)| {
                Some((at, self.masker.draw_one(&mut pair.ids, &mut stream(HIDDEN, at))?))
            });
            let (at, one) = one.ok_or(Error::NoTokens { purpose: "training" })?;
            drawn[at].push(one);
        }
        let (mut places, mut wanted, mut start) = (Vec::new(), Vec::new(), 0);
        for (pair, chosen) in pairs.iter().zip(&drawn) {
            places.extend(chosen.iter().map(|one| (start + one.place) as u32));
            wanted.extend(chosen.iter().map(|one| one.token));
            start += pair.ids.len();
        }
        let told = pairs.iter().enumerate().filter_map(|(at, pair)| Some((at as u32, pair.swapped?)));
        let (numbers, swapped) = told.map(|(at, swapped)| (at, u32::from(swapped))).unzip();
        let rows: Vec<(Vec<u32>, Vec<u32>)> = pairs.into_iter().map(|pair| (pair.ids, pair.types)).collect();
        Ok(Asked { batch: Batch::from_pairs(&rows), places, wanted, pairs: numbers, swapped })
    }
}

impl Asked {
    /// A share of the batch and of what is asked about it; nothing where it is empty.
    fn share(self, share: Share) -> Option<Self> {
        let offsets = &self.batch.offsets;
        let range = share.range(offsets.ranges().map(|range| range.len()));
        if range.is_empty() {
            return None;
        }
        let rows = offsets.range(range.start).start..offsets.range(range.end - 1).end;
        let own = |place: &u32| rows.contains(&(*place as usize));
        let guessed = self.places.iter().zip(&self.wanted).filter(|(place, _)| own(place));
        let (places, wanted) = guessed.map(|(place, id)| (place - rows.start as u32, *id)).unzip();
        let told = self.pairs.iter().zip(&self.swapped).filter(|(at, _)| range.contains(&(**at as usize)));
        let (pairs, swapped) = told.map(|(at, swapped)| (at - range.start as u32, *swapped)).unzip();
        let of = |at: usize| {
            let span = offsets.range(at);
            (self.batch.ids[span.clone()].to_vec(), self.batch.types[span].to_vec())
        };
        let batch = Batch::from_pairs(&range.map(of).collect::<Vec<_>>());
        Some(Self { batch, places, wanted, pairs, swapped })
    }
}

impl Objective for Masked<'_> {
    type Error = Error;

    /// Every rank draws for the whole batch, so that a batch asks the same however many ranks share it.
    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Error> {
        let whole = self.asked(step)?;
        // Every share has the terms of the batch, of nothing where nothing is asked in it.
        let ordered = !whole.pairs.is_empty();
        let Some(Asked { batch, places, wanted, pairs, swapped }) = whole.share(share) else {
            return Ok(Loss::empty());
        };
        let nothing = || Var::constant(Array::scalar(0.0));
        let hidden = self.model.network.hidden(scope, &batch)?; // N x D
        let guessed = match wanted.is_empty() {
            true => nothing(),
            false => op::cross_entropy(&self.model.masked_logits(scope, &hidden, &places)?, &wanted)?, // M x V
        };
        let loss = Loss::mean(guessed, wanted.len() as f64).reading(batch.tokens());
        if !ordered {
            return Ok(loss);
        }
        let told = match pairs.is_empty() {
            true => nothing(),
            false => {
                let orders = self.model.order_logits(scope, &hidden, &batch)?; // B x 2
                op::cross_entropy(&op::embedding(&orders, &pairs)?, &swapped)?
            }
        };
        Ok(loss.and(op::scale(&told, self.order), pairs.len() as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::batch::Batches;
    use crate::run::cut::{Cut, tests::encoder};
    use std::collections::BTreeSet;
    use tenfold_eval::Masking;
    use tenfold_train::{Schedule, TrainOptions, gradients};
    use tenfold_weight::{Form, LeafId, Path, Tree};

    fn headed() -> Model {
        encoder().with_pretraining(true, 5).unwrap()
    }

    fn supply(model: &Model, masker: &Masker, segments: bool, tokens: usize) -> Supply<'static> {
        let texts = tenfold_testkit::tiny::sentences("masked", 40);
        let sequences = Cut::framed(model, masker, false, segments).sequences(&texts).unwrap();
        Supply::Held(Batches::new(sequences.into(), 3, tokens, 60))
    }

    fn log_shares(row: &[f32]) -> Vec<f64> {
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum = row.iter().map(|logit| f64::from(logit - most).exp()).sum::<f64>().ln() + f64::from(most);
        row.iter().map(|logit| f64::from(*logit) - sum).collect()
    }

    /// Against the definition, with logits of every token computed and most of them dropped.
    #[test]
    fn the_loss_is_the_mean_over_chosen_tokens_and_over_pairs() {
        let model = headed();
        let masker = Masker::new(&model.tokenizer, Masking::default()).unwrap();
        let scope = Scope::evaluate(&model.tree);
        for order in [0.0, 1.0, 0.3] {
            let supply = supply(&model, &masker, order > 0.0, 90);
            let objective = Masked::new(&model, &supply, masker.clone(), order, 11);
            for step in 0..4 {
                let asked = objective.asked(step).unwrap();
                let hidden = model.network.hidden(&scope, &asked.batch).unwrap();
                let all: Vec<u32> = (0..asked.batch.tokens() as u32).collect();
                let logits = model.masked_logits(&scope, &hidden, &all).unwrap();
                let width = logits.value().width();
                let told = |place: &u32, id: &u32| {
                    let at = *place as usize * width;
                    log_shares(&logits.value().data()[at..at + width])[*id as usize]
                };
                let sum: f64 =
                    asked.places.iter().zip(&asked.wanted).map(|(place, id)| -told(place, id)).sum();
                let mut expected = sum / asked.wanted.len() as f64;
                if order > 0.0 {
                    let orders = model.order_logits(&scope, &hidden, &asked.batch).unwrap();
                    let rows: Vec<&[f32]> = orders.value().data().chunks_exact(2).collect();
                    let pairs = asked.pairs.iter().zip(&asked.swapped);
                    let sum: f64 =
                        pairs.map(|(at, swapped)| -log_shares(rows[*at as usize])[*swapped as usize]).sum();
                    expected += order * sum / asked.pairs.len() as f64;
                    assert!(asked.batch.types.contains(&1));
                }
                let whole = objective.loss(&scope, step, Share::WHOLE).unwrap().whole().unwrap();
                let got = f64::from(whole.value().item());
                assert!((got - expected).abs() < 1e-5 * expected, "{order} {step}: {got} {expected}");
                // Shares are the parts of what is asked, each token and pair once.
                let parts =
                    (0..3).filter_map(|rank| objective.asked(step).unwrap().share(Share::new(rank, 3)));
                let parts: Vec<Asked> = parts.collect();
                let joined =
                    |of: fn(&Asked) -> &[u32]| parts.iter().flat_map(of).copied().collect::<Vec<_>>();
                assert_eq!(joined(|one| &one.batch.ids), asked.batch.ids);
                assert_eq!(joined(|one| &one.wanted), asked.wanted);
                assert_eq!(joined(|one| &one.swapped), asked.swapped);
                let hidden = |batch: &Batch, places: &[u32]| -> Vec<u32> {
                    places.iter().map(|place| batch.ids[*place as usize]).collect()
                };
                let read: Vec<u32> = parts.iter().flat_map(|one| hidden(&one.batch, &one.places)).collect();
                assert_eq!(read, hidden(&asked.batch, &asked.places));
            }
        }
    }

    #[test]
    fn what_is_asked_depends_on_seed_and_step_alone() {
        let model = headed();
        let masker = Masker::new(&model.tokenizer, Masking::default()).unwrap();
        let supply = supply(&model, &masker, true, 60);
        let objective = |seed| Masked::new(&model, &supply, masker.clone(), 1.0, seed);
        let first: Vec<Asked> = (0..30).map(|step| objective(4).asked(step).unwrap()).collect();
        let again = objective(4);
        assert!([29, 3, 17, 0].iter().all(|step| again.asked(*step).unwrap() == first[*step as usize]));
        assert!((0..30).any(|step| objective(5).asked(step).unwrap() != first[step as usize]));
        // A text seen again is hidden otherwise.
        assert!(first.iter().map(|asked| &asked.places).collect::<BTreeSet<_>>().len() > 25);
        let hidden = first.iter().map(|asked| asked.wanted.len()).sum::<usize>() as f64;
        let tokens: usize = first.iter().map(|asked| asked.batch.tokens()).sum();
        assert!((0.08..0.2).contains(&(hidden / tokens as f64)), "{hidden} of {tokens}");
    }

    #[test]
    fn a_batch_has_something_to_guess() {
        let model = headed();
        let rule = Masking { chosen: 1e-9, ..Masking::default() };
        let masker = Masker::new(&model.tokenizer, rule).unwrap();
        let supply = supply(&model, &masker, false, 60);
        let objective = Masked::new(&model, &supply, masker, 0.0, 4);
        for step in 0..20 {
            let asked = objective.asked(step).unwrap();
            assert_eq!((asked.places.len(), asked.wanted.len()), (1, 1));
            let seen = asked.batch.ids[asked.places[0] as usize];
            assert!(
                !asked.batch.offsets.ranges().any(|range| range.start == asked.places[0] as usize),
                "{seen}"
            );
        }
    }

    /// Gradients of the heads and of what they share with the encoder, against central differences.
    #[test]
    fn gradients_pass_through_the_heads() {
        let model = headed();
        let masker = Masker::new(&model.tokenizer, Masking { chosen: 0.4, ..Masking::default() }).unwrap();
        let supply = supply(&model, &masker, true, 60);
        let objective = Masked::new(&model, &supply, masker, 0.7, 8);
        let paths = [
            "cls.predictions.transform.dense.weight",
            "cls.predictions.transform.LayerNorm.weight",
            "cls.predictions.transform.LayerNorm.bias",
            "cls.predictions.decoder.bias",
            "cls.seq_relationship.weight",
            "cls.seq_relationship.bias",
            "pooler.dense.weight",
            "embeddings.word_embeddings.weight",
            "embeddings.token_type_embeddings.weight",
        ];
        let leaf = |path: &str| {
            let leaves = model.tree.leaves();
            leaves.iter().find(|leaf| leaf.id.path.as_str() == path).unwrap().id.clone()
        };
        let leaves: BTreeSet<LeafId> = paths.iter().map(|path| leaf(path)).collect();
        let options = TrainOptions::new(1, Schedule::constant(1.0));
        let mut found = std::collections::BTreeMap::new();
        gradients(&model.tree, &leaves, &options, &objective, 1, &mut |_, seen| {
            found = seen.clone();
            tenfold_train::Flow::Continue
        })
        .unwrap();
        let loss = |tree: &Tree| {
            let loss = objective.loss(&Scope::evaluate(tree), 0, Share::WHOLE).unwrap().whole().unwrap();
            f64::from(loss.value().item())
        };
        for path in paths {
            let gradient = &found[&leaf(path)];
            // Along the gradient itself, where rounding of the loss matters least.
            let norm = gradient.data().iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            assert!(norm > 1e-5, "{path}: {norm}");
            let moved = |by: f64| {
                let mut tree = model.tree.clone();
                let mut array = tree.get(&Path::new(path)).unwrap().as_array().unwrap().clone();
                for (value, slope) in array.data_mut().iter_mut().zip(gradient.data()) {
                    *value = (f64::from(*value) + by * f64::from(*slope) / norm) as f32;
                }
                tree.insert(Path::new(path), Form::dense(array));
                loss(&tree)
            };
            // A change of the loss of a hundredth: far above its rounding, far below where it bends.
            let step = (1e-2 / norm).min(1e-2);
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((slope / norm - 1.0).abs() < 2e-2, "{path}: {slope} {norm}");
        }
    }
}
