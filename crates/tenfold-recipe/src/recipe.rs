//! What a recipe says, with every default filled in.

mod write;

use crate::default;
use crate::error::Error;
use crate::file;
use crate::parse;
use crate::place::{Located, Place};
use crate::text::TextSource;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tenfold_eval::prompt::{self, PromptTask};
use tenfold_eval::task::{self as labeled, Task as LabeledTask};
use tenfold_format::source::Source;
use tenfold_method::{Info, Options};
use tenfold_model::Model;
use tenfold_tensor::Precision;
use tenfold_train::Decay;
use tenfold_weight::Selector;

/// A recipe: a model, rewrites in order, training phases in order, evaluation, a budget.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Where it was read.
    pub path: PathBuf,
    /// The name of its runs.
    pub name: String,
    /// Seeds batches and the choice of calibration text.
    pub seed: u64,
    /// Where the model comes from: the first that answers; none where `new` makes one.
    pub from: Vec<Source>,
    /// A model that begins with random weights.
    pub new: Option<NewModel>,
    /// Text for evidence.
    pub calibration: Calibration,
    /// Rewrites.
    pub steps: Vec<Step>,
    /// Training.
    pub phases: Vec<Phase>,
    /// What else is made of the untouched model and measured.
    pub variants: Vec<VariantSteps>,
    /// What is measured.
    pub eval: Eval,
    /// The most that the result may store, as a share of the parameters of the whole untouched tree.
    pub budget: Option<f64>,
    /// When the recipe is a receipt: the hashes of what the first run read, which a repetition must find again.
    pub hashes: BTreeMap<String, String>,
}

/// A LLaMA decoder that begins with random weights, drawn by the recipe's seed.
#[derive(Clone, Debug, PartialEq)]
pub struct NewModel {
    /// What its tokens are.
    pub vocabulary: Vocabulary,
    /// D.
    pub width: usize,
    /// F.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// H, heads of queries; divides the width.
    pub heads: usize,
    /// Heads of keys and values; divides the heads.
    pub key_heads: usize,
    /// The longest text, in tokens.
    pub positions: usize,
    /// Whether the output matrix is the table of tokens.
    pub tied: bool,
}

/// The tokens of a new model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// One for every byte.
    Bytes,
    /// One for every character of a text.
    Characters(TextSource),
    /// Those of a tokenizer, by the folder of its files.
    Folder(PathBuf),
}

/// Text over which evidence is collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Where the texts come from.
    pub text: TextSource,
    /// Tokens to read, about.
    pub tokens: usize,
}

/// One rewrite of the weights that selectors match.
#[derive(Clone, Debug)]
pub struct Step {
    /// The method.
    pub method: &'static Info,
    /// The weights.
    pub select: Vec<Located<Selector>>,
    /// Weights left out again.
    pub except: Vec<Located<Selector>>,
    /// The method's options.
    pub options: Options,
    /// Where the method is named.
    pub place: Place,
}

/// Steps and phases that make something of the untouched model, to be measured beside others and not saved.
#[derive(Clone, Debug)]
pub struct VariantSteps {
    /// Its name, unique in the recipe.
    pub name: String,
    /// The curve that it belongs to on charts.
    pub series: String,
    /// Rewrites.
    pub steps: Vec<Step>,
    /// Training.
    pub phases: Vec<Phase>,
    /// Where it is named.
    pub place: Place,
}

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

/// One stretch of training.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What is minimized.
    pub objective: Objective,
    /// Optimizer steps.
    pub steps: u64,
    /// Which leaves train, as far as their method lets them.
    pub train: Vec<Located<Selector>>,
    /// The optimizer, AdamW.
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

/// Settings of AdamW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
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

/// What is measured before training and after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Eval {
    /// Tasks.
    pub tasks: Vec<Task>,
    /// Texts for fidelity; the shipped held-out text when nothing else is said.
    pub text: TextSource,
    /// The most questions of a prompt task, spread over all of them.
    pub questions: usize,
    /// The most demonstrations before a question; nothing: as many as the task says.
    pub shots: Option<usize>,
}

/// Something to be measured, with its version.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Task {
    /// How close sentence vectors stay to the untouched model's.
    Fidelity,
    /// Labeled texts in a data folder, answered by the model's head. STS-B is scored by the cosine of sentence vectors
    /// where the model has no head for it.
    Labeled(&'static LabeledTask),
    /// Questions that a decoder answers in words.
    Prompt(&'static PromptTask),
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Task {}

impl Recipe {
    /// Reads a recipe, or a receipt, from a file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooLarge`], [`Error::NotUtf8`]; [`Error::Recipe`] with every fault of the text.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(path, &file::read_text(path, default::RECIPE_LIMIT)?)
    }

    /// Parses the text of a recipe or a receipt; `path` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Recipe`] with every fault, in the order of the text.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        parse::recipe(path, text)
    }

    /// The task that the model's head is for: that of the first phase that trains one.
    pub fn head(&self) -> Option<&'static LabeledTask> {
        self.phases.iter().find_map(|phase| match &phase.objective {
            Objective::Task { task, .. } => Some(*task),
            _ => None,
        })
    }

    /// The model with the head that the recipe trains: its own where that has the right size, else a fresh one drawn by
    /// the recipe's seed.
    ///
    /// # Errors
    /// A head on a model that takes none.
    pub fn headed(&self, model: Model) -> Result<Model, Error> {
        match self.head() {
            Some(task) => Ok(model.with_head(task.outputs(), self.seed)?),
            None => Ok(model),
        }
    }

    /// The first task, in evaluation or training, that reads a data folder.
    pub fn needs_data(&self) -> Option<&'static str> {
        let measured = self.eval.tasks.iter().find(|task| task.needs_data()).map(|task| task.name());
        measured.or_else(|| self.head().map(|task| task.name))
    }

    /// The recipe that makes one of the variants, and nothing else.
    pub fn variant(&self, variant: &VariantSteps) -> Self {
        Self {
            steps: variant.steps.clone(),
            phases: variant.phases.clone(),
            variants: Vec::new(),
            budget: None,
            ..self.clone()
        }
    }

    /// Whether nothing is made but variants.
    pub fn only_studies(&self) -> bool {
        self.steps.is_empty() && self.phases.is_empty() && !self.variants.is_empty()
    }

    /// The recipe as text, defaults included. [`Recipe::parse`] reads it back to the same text.
    pub fn to_toml(&self) -> String {
        write::recipe(self)
    }
}

impl Task {
    /// Every task.
    pub fn all() -> Vec<Self> {
        let labeled = labeled::ALL.iter().map(Self::Labeled);
        std::iter::once(Self::Fidelity).chain(labeled).chain(prompt::ALL.iter().map(Self::Prompt)).collect()
    }

    /// Name and version, as recipes write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fidelity => "fidelity@1",
            Self::Labeled(task) => task.name,
            Self::Prompt(task) => task.name,
        }
    }

    /// The task of a name with version.
    pub fn parse(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|task| task.name() == name)
    }

    /// Whether it reads files from a data folder.
    pub fn needs_data(self) -> bool {
        match self {
            Self::Fidelity => false,
            Self::Labeled(_) => true,
            Self::Prompt(task) => task.needs_data(),
        }
    }
}
