//! The variants of a recipe: each made of the untouched model, measured, recorded and let go of.

use super::event::{Event, Reporter, Stage};
use super::runner::Work;
use super::session::Variant;
use crate::error::Error;
use crate::recipe::VariantSteps;
use crate::result::{Scores, VariantResult};
use tenfold_weight::{Tensor, Tree};

/// Bytes of a number that is counted at 16 bits.
const HALF: usize = 2;

impl Work<'_> {
    /// Makes and measures every variant that no earlier attempt has.
    pub(super) fn study(&mut self, reporter: &mut Reporter<'_>) -> Result<(), Error> {
        for (at, steps) in self.recipe.variants.iter().enumerate() {
            let stage = Stage::Variant(at + 1);
            if self.state.variants.len() > at {
                reporter.before(stage, self.state.variants[at].seconds);
                continue;
            }
            reporter.send(stage, Event::Started { stage })?;
            reporter.progress(stage, steps.name.clone(), at, Some(self.recipe.variants.len()))?;
            let made = self.session.made(&self.recipe.variant(steps), reporter)?;
            let result = result(steps, made);
            reporter.send(stage, Event::Finished { stage, seconds: result.seconds, before: false })?;
            self.state.variants.push(result);
            self.record(reporter)?;
        }
        Ok(())
    }
}

fn result(steps: &VariantSteps, made: Variant) -> VariantResult {
    let errors: Vec<f64> = made.weights.iter().map(|one| one.error).collect();
    VariantResult {
        name: steps.name.clone(),
        series: steps.series.clone(),
        parameters: made.parameters,
        bytes: made.bytes,
        half_bytes: half_bytes(&made.tree),
        weights: errors.len(),
        error: errors.iter().sum::<f64>() / errors.len().max(1) as f64,
        seconds: made.seconds,
        scores: made.healed.unwrap_or(made.truncated),
    }
}

/// The untouched model as a row beside its variants.
pub(super) fn untouched(tree: &Tree, scores: &Scores) -> VariantResult {
    VariantResult {
        name: "untouched".to_owned(),
        series: String::new(),
        parameters: tree.parameters(),
        bytes: tree.bytes(),
        half_bytes: half_bytes(tree),
        weights: 0,
        error: 0.0,
        seconds: 0.0,
        scores: scores.clone(),
    }
}

/// Bytes with codes as they are and every other number in 16 bits, as models are passed on.
fn half_bytes(tree: &Tree) -> usize {
    let bytes = |tensor: &Tensor| match tensor {
        Tensor::Numbers(array) => HALF * array.len(),
        Tensor::Codes(codes) => codes.bytes().len(),
    };
    tree.tensors().values().map(bytes).sum()
}
