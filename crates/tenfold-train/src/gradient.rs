//! Gradients without training: what a loss would change, and where.

use crate::error::Error;
use crate::event::Flow;
use crate::objective::Objective;
use crate::option::TrainOptions;
use crate::share::Share;
use std::collections::{BTreeMap, BTreeSet};
use tenfold_tensor::Array;
use tenfold_weight::{LeafId, Scope, Tree};

/// Shows the gradients of the leaves at each of `steps` batches in turn, on the tree as it is and without dropout; how
/// many were shown before `see` asked to stop. Precision and checkpointing are those of the options.
///
/// # Errors
/// [`Error::Objective`], [`Error::EmptyBatch`], [`Error::Detached`] and [`Error::NonFiniteGradient`] with the step.
pub fn gradients<O: Objective + ?Sized>(
    tree: &Tree,
    leaves: &BTreeSet<LeafId>,
    options: &TrainOptions,
    objective: &O,
    steps: u64,
    see: &mut dyn FnMut(u64, &BTreeMap<LeafId, Array>) -> Flow,
) -> Result<u64, Error> {
    for step in 0..steps {
        let scope = Scope::train(tree, leaves)
            .computing(options.precision)
            .checkpointing(options.gradient_checkpointing);
        let loss = objective
            .loss(&scope, step, Share::WHOLE)
            .map_err(|source| Error::Objective { step, source: Box::new(source) })?;
        let loss = loss.whole().ok_or(Error::EmptyBatch { step })?;
        if !loss.is_tracked() {
            return Err(Error::Detached { step, leaves: leaves.len() });
        }
        let found = scope.backward(&loss)?;
        if let Some((leaf, _)) = found.iter().find(|(_, gradient)| !gradient.is_finite()) {
            return Err(Error::NonFiniteGradient { step, leaf: leaf.clone() });
        }
        if see(step, &found) == Flow::Stop {
            return Ok(step + 1);
        }
    }
    Ok(steps)
}
