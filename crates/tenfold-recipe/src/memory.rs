//! How much memory rewriting and the phases of a recipe need, from shapes alone: before anything runs.

mod rewrite;

pub use rewrite::{RewriteMemory, rewriting};

use crate::default::TEACHER_BYTES;
use crate::plan::Plan;
use crate::recipe::{Objective, Recipe};
use serde::Serialize;
use tenfold_model::Model;
use tenfold_weight::Path;

/// Bytes of a number in memory.
const BYTES: usize = 4;
/// Arrays lie in blocks of a few sizes, so that steps reuse them: at most a quarter more than asked for, about a tenth on
/// average.
const BLOCKS: f64 = 1.1;

/// What the arrays of a phase take at most, in bytes; code, tokenizer and texts come on top.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PhaseMemory {
    /// Tokens of a batch: as the recipe says, or as many as its examples can have.
    pub tokens: usize,
    /// The longest text that is counted with.
    pub longest: usize,
    /// Weights of the untouched model and of the rewritten one; what both share is counted once.
    pub weights: usize,
    /// The optimizer's two numbers per parameter that trains.
    pub moments: usize,
    /// Gradients of the leaves.
    pub gradients: usize,
    /// What a step keeps for its backward pass, and what passes through.
    pub activations: usize,
    /// Rewritten matrices multiplied out, with their gradients.
    pub rebuilt: usize,
    /// Answers of the untouched model that are kept.
    pub teacher: usize,
    /// All of it, as far as it is held at the same time.
    pub peak: usize,
}

/// The memory of each phase of a recipe. Lengths of texts are not known before texts are read: those of labeled rows are
/// counted as the longest that the model takes.
pub fn phases(recipe: &Recipe, plan: &Plan, model: &Model) -> Vec<PhaseMemory> {
    let rewritten = || plan.rows.iter().filter(|row| !row.steps.is_empty());
    let kept = plan.rows.iter().filter(|row| row.steps.is_empty());
    // A leaf that both trees share is copied once it is trained.
    let weights = plan.totals.bytes_before
        + rewritten().map(|row| row.bytes_after).sum::<usize>()
        + BYTES * kept.map(|row| row.trainable).sum::<usize>();
    let dense: usize = rewritten().map(|row| row.shape.iter().product::<usize>()).sum();
    let network = &model.network;
    let modules = || rewritten().map(|row| (Path::new(&row.path), row.shape.as_slice()));
    let one = |phase: &crate::recipe::Phase| {
        let longest = network.max_tokens();
        let (tokens, teacher) = match phase.objective {
            Objective::Distill { tokens, .. } => {
                let answers = network.answer_numbers(tokens).saturating_mul(BYTES);
                (tokens, answers.saturating_mul(phase.steps as usize).min(TEACHER_BYTES.max(answers)))
            }
            Objective::Language { tokens, .. } | Objective::Masked { tokens, .. } => (tokens, 0),
            Objective::Task { batch, .. } => (batch * longest, 0),
        };
        let longest = longest.min(tokens);
        let moments = 2 * BYTES * plan.totals.trainable;
        let gradients = BYTES * plan.totals.trainable;
        let guesses = match &phase.objective {
            Objective::Masked { masking, .. } => {
                network.guess_numbers((masking.chosen * tokens as f64).ceil() as usize)
            }
            _ => 0,
        };
        let step = network.step_numbers(tokens, longest, phase.gradient_checkpointing, modules());
        let activations = BYTES * (step + guesses);
        let rebuilt = 2 * BYTES * dense;
        // Activations go as gradients come.
        let held = weights + moments + teacher + rebuilt + activations.max(gradients);
        let peak = (BLOCKS * held as f64) as usize;
        PhaseMemory { tokens, longest, weights, moments, gradients, activations, rebuilt, teacher, peak }
    };
    recipe.phases.iter().map(one).collect()
}
