//! A phase of a recipe: what it minimizes, what trains, and how.

use crate::place::{Located, Place};
use crate::text::{Broken, TextSource};
use tenfold_eval::Masking;
use tenfold_eval::task::Task as LabeledTask;
use tenfold_tensor::Precision;
use tenfold_train::{Decay, ExpertOptions};
use tenfold_weight::Selector;

/// What a phase minimizes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Objective {
    /// The distance to the untouched model: 1 - cosine of the sentence vectors, plus `hidden` times the squared
    /// distance of the last hidden states relative to their size.
    Distill {
        /// Where the texts come from.
        text: TextSource,
        /// Weight of the token-level term.
        hidden: f64,
        /// Tokens of one step's batch, about.
        tokens: usize,
    },
    /// Of a decoder: the cross-entropy of the next token of plain texts, mean over tokens. A text ends with the token that
    /// ends texts, where the model has one; one that is too long is read in stretches.
    Language {
        /// Where the texts come from.
        text: TextSource,
        /// How they are read.
        reading: Reading,
        /// Tokens of one step's batch, about.
        tokens: usize,
    },
    /// Of an encoder: the cross-entropy of chosen tokens, mean over them, and that of the order of two segments. The model gets
    /// fresh heads where it has none.
    Masked {
        /// Where the texts come from.
        text: TextSource,
        /// How they are read.
        reading: Reading,
        /// Which tokens are chosen, and what is seen in their places.
        masking: Masking,
        /// Weight of the term for the order of segments; 0: a sequence is one segment.
        order: f64,
        /// Tokens of one step's batch, about.
        tokens: usize,
    },
    /// A task's training rows, by the model's head: cross-entropy of classes, squared error of numbers. The model gets a
    /// fresh head where it has none of the right size.
    Task {
        /// The task.
        task: &'static LabeledTask,
        /// Examples of one step's batch.
        batch: usize,
        /// Training rows used, drawn by the recipe's seed; nothing: all.
        rows: Option<usize>,
    },
}

/// How plain texts become sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether texts are joined and cut into sequences of the model's length; otherwise a sequence is of one text.
    pub packed: bool,
    /// MiB of text whose sequences are shuffled together, and held in memory. A text of no more is shuffled as a whole.
    pub shuffle: usize,
    /// What becomes of texts that are not UTF-8.
    pub broken: Broken,
}

/// A held-out loss on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Where the texts come from.
    pub text: TextSource,
    /// Steps between two measurements; there is one before the first and one after the last step, too.
    pub every: u64,
    /// Tokens to read, about, from the beginning.
    pub tokens: usize,
}

/// One stretch of training.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What is minimized.
    pub objective: Objective,
    /// Optimizer steps.
    pub steps: u64,
    /// What is measured on the way.
    pub watch: Option<Watch>,
    /// Which leaves train, as far as their method lets them.
    pub train: Vec<Located<Selector>>,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The rate over the steps.
    pub schedule: Schedule,
    /// Dropout of hidden numbers.
    pub dropout: f64,
    /// The precision of the products of linear maps, forward and backward; everything else is f32.
    pub precision: Precision,
    /// Whether only the inputs of layers are kept for the backward pass, and layers computed again.
    pub gradient_checkpointing: bool,
    /// Makes weights smaller on the way; the steps are then those of one round.
    pub squeeze: Option<Squeeze>,
    /// Puts larger forms in the place of weights whose method has some, the most important ones first.
    pub grow: Option<Grow>,
    /// Trains weights of a method that calibrates in full at first; nothing: their light method trains from the start.
    pub calibrate: Option<Calibrate>,
    /// How routers of experts are trained, where the model has some.
    pub experts: ExpertOptions,
    /// How many times the updates of layers are measured over the steps; 0: never.
    pub gauge: u64,
    /// The largest norm of all gradients together; nothing: no limit.
    pub clip: Option<f64>,
    /// Steps between checkpoints.
    pub checkpoint_every: u64,
    /// Leaves with a rate or decay of their own; the first group that matches counts.
    pub groups: Vec<Group>,
}

/// How far and how fast a phase squeezes the weights whose method can be squeezed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Squeeze {
    /// Stored parameters to stop at, as a share of the dense count of the squeezed weights.
    pub to: f64,
    /// What a round takes away, as a share of the same count; always at least one cut.
    pub round: f64,
    /// Relative fall of the score below that of the phase's beginning at which squeezing stops and the round is undone.
    pub gap: f64,
    /// Share of the training rows on which the score is taken, and which are not trained on.
    pub held_out: f64,
}

/// Which weights a phase replaces by larger forms, and when. Weights of one kind, whose paths differ in numbers only, are
/// ranked among themselves.
///
/// Source: OPF (ACL 2023), section 3.3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grow {
    /// When they are selected.
    pub select: Selection,
    /// What is large for an important weight.
    pub score: Importance,
    /// How many of each kind one selection takes.
    pub each: usize,
    /// How many of each kind there are in the end.
    pub most: usize,
    /// Share of the steps after which the last selection is made, where they are made on the way.
    pub until: f64,
    /// Training rows on which `zero` takes its losses.
    pub rows: usize,
}

/// When weights are selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Once, after a training of all steps as they are; training then begins anew.
    Static,
    /// In rounds while training goes on.
    Dynamic,
}

impl Selection {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Static, Self::Dynamic];

    /// The word of recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
        }
    }
}

/// What makes a weight W important; sums are over the steps since the last selection, g is the gradient of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// abs(L(W) - L(0)): the change of the loss when the matrix is zero, without dropout.
    Zero,
    /// sum abs(<g, W>): the first-order change of the loss when the matrix shrinks.
    Taylor,
    /// sum of the absolute gradients.
    Gradient,
    /// Mean of the squared gradients.
    Fisher,
}

impl Importance {
    /// All.
    pub const ALL: [Self; 4] = [Self::Zero, Self::Taylor, Self::Gradient, Self::Fisher];

    /// The word of recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Zero => "zero",
            Self::Taylor => "taylor",
            Self::Gradient => "gradient",
            Self::Fisher => "fisher",
        }
    }
}

/// How a phase goes from full to light training.
#[derive(Clone, Debug)]
pub struct Calibrate {
    /// Which of the leaves that the phase trains go on after the switch, as far as their light method lets them.
    pub light: Vec<Located<Selector>>,
    /// What switches by itself, in the order of names; nothing: everything switches together.
    pub components: Vec<Component>,
    /// Where it stands.
    pub place: Place,
}

/// What switches together. Beside weights that are calibrated, selectors may name what goes light with them.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its weights; the first component that matches counts.
    pub select: Vec<Located<Selector>>,
}

/// Which optimizer a phase has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerKind {
    /// Adam with decoupled weight decay.
    AdamW,
    /// Its direction, by a share of each leaf's norm.
    Lamb {
        /// Whether moments are corrected for having begun at 0.
        bias_correction: bool,
        /// The least norm of a leaf that counts.
        least_norm: f64,
        /// The largest.
        most_norm: f64,
    },
}

/// An optimizer and its settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// Which one.
    pub kind: OptimizerKind,
    /// Peak rate.
    pub rate: f64,
    /// Decoupled weight decay of matrices.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// The rate over the steps of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Steps over which the rate rises from 0.
    pub warmup: u64,
    /// How it falls afterwards.
    pub decay: Decay,
    /// Share of the peak that is left at the end.
    pub floor: f64,
}

/// Leaves with a rate or decay of their own.
#[derive(Clone, Debug)]
pub struct Group {
    /// The leaves.
    pub select: Vec<Located<Selector>>,
    /// Multiple of the phase's rate.
    pub rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}
