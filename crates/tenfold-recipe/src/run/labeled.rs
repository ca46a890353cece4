//! The objective `task`: a task's training rows, answered by the model's head.

use super::batch::shuffled;
use crate::error::Error;
use tenfold_eval::task::{Example, MAX_TOKENS, Target};
use tenfold_model::{Batch, Model};
use tenfold_tensor::{Array, op};
use tenfold_train::{Loss, Objective, Share};
use tenfold_weight::Scope;

/// The stream of random numbers that tells training rows from held-out ones.
const SPLIT: u64 = u64::MAX;

/// Cross-entropy of the right class, or squared error of the right number, mean over the batch.
///
/// Source: Devlin et al. 2019, section 4.1; GLUE's regression by squared error as in Hugging Face's BERT.
pub(super) struct Labeled<'s> {
    model: &'s Model,
    rows: Vec<(Vec<u32>, Vec<u32>)>,
    targets: Vec<Target>,
    members: Vec<Vec<u32>>,
}

impl<'s> Labeled<'s> {
    /// Decides the batches of the first `steps` steps: `batch` examples each, every example once before any is used
    /// again, the last batch of an epoch perhaps smaller.
    ///
    /// # Errors
    /// Faults of the tokenizer.
    pub(super) fn new(
        model: &'s Model,
        examples: &[&Example],
        seed: u64,
        batch: usize,
        steps: u64,
    ) -> Result<Self, Error> {
        let tokenize = |example: &&Example| {
            Ok(model.tokenize_pair(&example.first, example.second.as_deref(), MAX_TOKENS)?)
        };
        let rows = examples.iter().map(tokenize).collect::<Result<Vec<_>, Error>>()?;
        let mut members: Vec<Vec<u32>> = Vec::new();
        let mut epoch = 0;
        while (members.len() as u64) < steps && !rows.is_empty() {
            members.extend(shuffled(rows.len(), seed, epoch).chunks(batch.max(1)).map(<[u32]>::to_vec));
            epoch += 1;
        }
        members.truncate(usize::try_from(steps).unwrap_or(usize::MAX));
        Ok(Self { model, rows, targets: examples.iter().map(|example| example.target).collect(), members })
    }
}

impl Objective for Labeled<'_> {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Error> {
        let members = &self.members[step as usize];
        let length = |at: &u32| self.rows[*at as usize].0.len();
        let members = &members[share.range(members.iter().map(length))];
        if members.is_empty() {
            return Ok(Loss::empty());
        }
        let packed: Vec<_> = members.iter().map(|at| &self.rows[*at as usize]).collect();
        let batch = Batch::from_pairs(&packed);
        let outputs = self.model.logits(scope, &batch)?; // B x C
        let targets: Vec<Target> = members.iter().map(|at| self.targets[*at as usize]).collect();
        let (mut classes, mut values) = (Vec::new(), Vec::new());
        for target in targets {
            match target {
                Target::Class(class) => classes.push(class),
                Target::Value(value) => values.push(value as f32),
            }
        }
        let loss = if values.is_empty() {
            op::cross_entropy(&outputs, &classes)?
        } else {
            let shape = [values.len(), 1];
            op::mse(&outputs, &Array::from_vec(values, &shape))
        };
        Ok(Loss::mean(loss, members.len() as f64).reading(batch.tokens()))
    }
}

/// Which of `count` rows are trained on, at most `most` of them, and which are held out, a share of those.
pub(super) fn split(count: usize, most: Option<usize>, held_out: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let order: Vec<usize> = shuffled(count, seed, SPLIT).into_iter().map(|at| at as usize).collect();
    let used = &order[..most.map_or(count, |most| most.min(count))];
    let held =
        if held_out > 0.0 { ((held_out * used.len() as f64).ceil() as usize).min(used.len()) } else { 0 };
    let (held, trained) = used.split_at(held);
    let sorted = |part: &[usize]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part
    };
    (sorted(trained), sorted(held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_trained_on_or_held_out_but_never_both() {
        let (trained, held) = split(100, Some(50), 0.1, 7);
        assert_eq!((trained.len(), held.len()), (45, 5));
        assert!(held.iter().all(|row| !trained.contains(row)));
        assert_eq!(split(100, Some(50), 0.1, 7), (trained, held));
        assert_eq!(split(10, None, 0.0, 7), ((0..10).collect(), vec![]));
        assert_eq!(split(3, Some(9), 0.01, 7).1.len(), 1);
    }
}
