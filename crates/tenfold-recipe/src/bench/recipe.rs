//! What a recipe costs: its rewriting whole, of each phase some steps, and the rewritten model's forward passes.

use super::{Bench, BenchOptions, Measured, WARM_UP, measure};
use crate::error::Error;
use crate::recipe::{Objective, Recipe};
use crate::run::{Event, Flow, Session, SessionOptions, Stage};
use serde::Serialize;
use std::path::PathBuf;
use tenfold_model::Model;
use tenfold_tensor::pool;
use tenfold_train::Event as Training;

/// What a recipe costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecipeBench {
    /// Seconds for evidence from calibration text.
    pub evidence_seconds: f64,
    /// Seconds for the rewriting.
    pub rewrite_seconds: f64,
    /// Each phase.
    pub phases: Vec<PhaseBench>,
    /// The rewritten model.
    pub model: Bench,
}

/// The cost of a phase's training step: batch, teacher's answers, forward pass, backward pass and AdamW.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseBench {
    /// What is minimized.
    pub objective: &'static str,
    /// Steps that the recipe asks for; of a phase that squeezes, those of a round.
    pub steps: u64,
    /// Median of the timed ones, in milliseconds.
    pub ms: f64,
    /// The fastest, in milliseconds.
    pub least_ms: f64,
    /// The slowest, in milliseconds.
    pub most_ms: f64,
    /// Numbers that train.
    pub trained: usize,
    /// Bytes of arrays at most, the untouched model's included.
    pub peak_bytes: usize,
}

/// Measures a recipe on its model; `progress` hears what is being measured. Nothing is evaluated, and phases that squeeze
/// only train.
///
/// # Errors
/// Faults of the recipe against the model, its texts and its data.
pub fn measure_recipe(
    model: Model,
    recipe: &Recipe,
    data: Option<PathBuf>,
    options: &BenchOptions,
    progress: &mut dyn FnMut(&'static str),
) -> Result<RecipeBench, Error> {
    let mut short = recipe.clone();
    short.eval.tasks.clear();
    for phase in &mut short.phases {
        phase.steps = (WARM_UP + options.repetitions.max(1)) as u64;
        phase.schedule.warmup = 0;
        phase.squeeze = None;
        phase.watch = None;
    }
    let session = Session::open(model, &short, &SessionOptions { data, ..SessionOptions::default() })?;
    let mut found = Heard::default();
    let mut hear = |event: Event| {
        found.hear(&event, progress);
        Flow::Continue
    };
    let variant = session.variant(&short, &mut hear)?;
    let phases = recipe.phases.iter().zip(found.phases).map(|(phase, heard)| PhaseBench {
        objective: match phase.objective {
            Objective::Distill { .. } => "distill",
            Objective::Language { .. } => "language",
            Objective::Masked { .. } => "masked",
            Objective::Task { .. } => "task",
        },
        steps: phase.steps,
        ..heard
    });
    let phases = phases.collect();
    let rewritten = session.model().with_tree(variant.tree);
    let forward = BenchOptions { train: Vec::new(), ..options.clone() };
    let model = measure(&rewritten, &forward, progress)?;
    Ok(RecipeBench { evidence_seconds: found.evidence, rewrite_seconds: found.rewrite, phases, model })
}

/// What events tell.
#[derive(Default)]
struct Heard {
    evidence: f64,
    rewrite: f64,
    phases: Vec<PhaseBench>,
    times: Vec<f64>,
    trained: usize,
}

impl Heard {
    fn hear(&mut self, event: &Event, progress: &mut dyn FnMut(&'static str)) {
        match event {
            Event::Started { stage: Stage::Evidence } => progress("evidence"),
            Event::Started { stage: Stage::Rewrite } => progress("rewriting"),
            Event::Started { stage: Stage::Phase(_) } => {
                progress("a phase's steps");
                pool::reset_peak();
                self.times.clear();
            }
            Event::Training { event: Training::Started { parameters, .. }, .. } => self.trained = *parameters,
            Event::Training { event: Training::Step { step, seconds, .. }, .. }
                if *step >= WARM_UP as u64 =>
            {
                self.times.push(1e3 * seconds);
            }
            Event::Finished { stage: Stage::Evidence, seconds, .. } => self.evidence = *seconds,
            Event::Finished { stage: Stage::Rewrite, seconds, .. } => self.rewrite = *seconds,
            Event::Finished { stage: Stage::Phase(_), .. } => {
                self.times.sort_unstable_by(f64::total_cmp);
                let Measured { ms, least_ms, most_ms, .. } = Measured::of(1, 1, &self.times);
                let (trained, peak_bytes) = (self.trained, pool::peak_bytes());
                self.phases.push(PhaseBench {
                    objective: "",
                    steps: 0,
                    ms,
                    least_ms,
                    most_ms,
                    trained,
                    peak_bytes,
                });
            }
            _ => {}
        }
    }
}
