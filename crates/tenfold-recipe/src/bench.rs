//! What a model costs to run and to train on this machine: times of forward passes, of writing, and of training steps.

mod recipe;

pub use recipe::{PhaseBench, RecipeBench, measure_recipe};

use crate::error::Error;
use serde::Serialize;
use std::ops::ControlFlow;
use std::time::Instant;
use tenfold_eval::{LatencyOptions, median, passes, sentence};
use tenfold_model::{Batch, Choice, GenerateOptions, Model};
use tenfold_tensor::{Array, Precision, op, pool};
use tenfold_train::{
    Decay, Event, Flow as TrainFlow, Loss, Objective, Schedule, Share, TrainOptions, Trainer,
};
use tenfold_weight::{LeafInfo, Scope, Selector};

/// Passes and steps before the clock runs: they rebuild matrices, pack weights and fill caches.
const WARM_UP: usize = 3;
/// The learning rate of timed steps, so small that what is computed stays what it was.
const RATE: f64 = 1e-9;

/// What is measured.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// Texts of the larger batch.
    pub batch: usize,
    /// Tokens of a text, cut to the model's longest.
    pub tokens: usize,
    /// Timed passes and steps.
    pub repetitions: usize,
    /// The precision of the products of linear maps.
    pub precision: Precision,
    /// What trains in a training step; none is taken where nothing is selected.
    pub train: Vec<Selector>,
    /// Whether layers are computed again in the backward pass of a training step.
    pub gradient_checkpointing: bool,
}

/// Times of one kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Texts at once.
    pub batch: usize,
    /// Tokens of each.
    pub tokens: usize,
    /// Median, in milliseconds.
    pub ms: f64,
    /// The fastest, in milliseconds.
    pub least_ms: f64,
    /// The slowest, in milliseconds.
    pub most_ms: f64,
    /// Tokens a second at the median.
    pub tokens_per_second: f64,
}

impl Measured {
    fn of(batch: usize, tokens: usize, times: &[f64]) -> Self {
        let ms = median(times);
        let edge = |time: Option<&f64>| time.copied().unwrap_or_default();
        Self {
            batch,
            tokens,
            ms,
            least_ms: edge(times.first()),
            most_ms: edge(times.last()),
            tokens_per_second: 1e3 * (batch * tokens) as f64 / ms.max(f64::MIN_POSITIVE),
        }
    }
}

/// The cost of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Forward pass, backward pass and AdamW.
    pub time: Measured,
    /// Numbers that train.
    pub trained: usize,
    /// Numbers that the optimizer keeps.
    pub moments: usize,
    /// Bytes of arrays at most: weights, gradients, moments, activations.
    pub peak_bytes: usize,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bench {
    /// Stored parameters.
    pub parameters: usize,
    /// Stored bytes.
    pub bytes: usize,
    /// The precision of the products of linear maps.
    pub precision: &'static str,
    /// A forward pass over one text, without gradients.
    pub single: Measured,
    /// A forward pass over a batch.
    pub many: Measured,
    /// Writing one token after the other: one text, `tokens` tokens, of decoders alone.
    pub writing: Option<Measured>,
    /// A training step over the batch.
    pub step: Option<Step>,
}

/// Measures a model; `progress` hears what is being measured.
///
/// # Errors
/// Faults of the model; selectors that match no leaf.
pub fn measure(
    model: &Model,
    options: &BenchOptions,
    progress: &mut dyn FnMut(&'static str),
) -> Result<Bench, Error> {
    let text = sentence(model, options.tokens)?;
    let latency =
        LatencyOptions { tokens: options.tokens, warm_up: WARM_UP, repetitions: options.repetitions };
    let scope = Scope::evaluate(&model.tree).computing(options.precision);
    let pass = |size| Ok::<_, Error>(Measured::of(size, text.len(), &passes(model, &scope, size, &latency)?));
    progress("one text");
    let single = pass(1)?;
    progress("a batch");
    let many = pass(options.batch)?;
    drop(scope);
    let writing = if model.network.is_decoder() {
        progress("writing");
        Some(writing(model, &text, options.repetitions, options.precision)?)
    } else {
        None
    };
    let step = if options.train.is_empty() {
        None
    } else {
        progress("training steps");
        Some(step(model, &text, options)?)
    };
    let (parameters, bytes) = (model.tree.parameters(), model.tree.bytes());
    Ok(Bench { parameters, bytes, precision: options.precision.word(), single, many, writing, step })
}

/// Greedy writing after the first token of a text, as far as texts are long.
fn writing(model: &Model, text: &[u32], repetitions: usize, precision: Precision) -> Result<Measured, Error> {
    let options = GenerateOptions { choice: Choice::Greedy, max_tokens: text.len(), precision };
    let mut times = Vec::new();
    let mut written = 0;
    for _ in 0..=repetitions.max(1) {
        let start = Instant::now();
        let done = model.generate(&text[..1], &options, &mut |_| ControlFlow::Continue(()))?;
        tenfold_tensor::device::wait();
        times.push(1e3 * start.elapsed().as_secs_f64());
        written = done.tokens.len().max(1);
    }
    // The first one warmed up.
    times.remove(0);
    times.sort_unstable_by(f64::total_cmp);
    Ok(Measured::of(1, written, &times))
}

fn step(model: &Model, text: &[u32], options: &BenchOptions) -> Result<Step, Error> {
    let steps = (WARM_UP + options.repetitions.max(1)) as u64;
    let schedule = Schedule { peak: RATE, warmup: 0, decay: Decay::Constant, floor: 0.0 };
    let &BenchOptions { precision, gradient_checkpointing, .. } = options;
    let train = TrainOptions { precision, gradient_checkpointing, ..TrainOptions::new(steps, schedule) };
    let selected = model.tree.select_leaves(&options.train);
    let mut trainer = Trainer::new(model.tree.clone(), train)?
        .scheduled(move |_, leaf: &LeafInfo| selected.contains(&leaf.id).then_some(1.0));
    let objective = Work { model, batch: Batch::from_sequences(&vec![text; options.batch]) };
    let (mut times, mut trained) = (Vec::new(), 0);
    pool::reset_peak();
    trainer.run(&objective, &mut |event| {
        match event {
            Event::Started { parameters, .. } => trained = parameters,
            Event::Step { step, seconds, .. } if step >= WARM_UP as u64 => times.push(1e3 * seconds),
            _ => {}
        }
        TrainFlow::Continue
    })?;
    times.sort_unstable_by(f64::total_cmp);
    let time = Measured::of(options.batch, text.len(), &times);
    Ok(Step { time, trained, moments: trainer.moments(), peak_bytes: pool::peak_bytes() })
}

/// A loss that uses all of a model: of the next token in decoders, of a head where there is one, of sentence vectors otherwise.
struct Work<'m> {
    model: &'m Model,
    batch: Batch,
}

impl Objective for Work<'_> {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, _step: u64, share: Share) -> Result<Loss, Error> {
        // One process is timed.
        if !share.is_first() {
            return Ok(Loss::empty());
        }
        let (network, batch) = (&self.model.network, &self.batch);
        if network.is_decoder() {
            // Which token is asked for changes nothing in the work.
            let loss = op::cross_entropy(&network.logits(scope, batch)?, &batch.ids)?;
            return Ok(Loss::mean(loss, batch.tokens() as f64).reading(batch.tokens()));
        }
        let found = match self.model.head {
            Some(_) => self.model.logits(scope, batch)?,
            None => network.embed(scope, batch)?,
        };
        let loss = op::mse(&found, &Array::zeros(found.shape()));
        Ok(Loss::mean(loss, batch.tokens() as f64).reading(batch.tokens()))
    }
}
