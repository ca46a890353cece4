//! What a recipe says, with every default filled in.

mod new;
mod phase;
mod write;

pub use new::{Learned, NewArchitecture, NewModel, Vocabulary};
pub(crate) use phase::{Calibrate, Component, Grow, Importance, Selection, Squeeze};
pub use phase::{Group, Objective, Optimizer, OptimizerKind, Phase, Reading, Schedule, Watch};

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
use tenfold_model::{Copies, Model, Pretraining};
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
    /// The depth that the model is given; nothing: its own.
    pub depth: Option<Depth>,
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

/// A depth that a model is given before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Layers.
    pub layers: usize,
    /// What they begin as.
    pub copies: Copies,
}

/// Text over which evidence is collected.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Where the texts come from.
    pub text: TextSource,
    /// Tokens to read, about.
    pub tokens: usize,
    /// What a weight's inputs are computed with.
    pub order: Order,
    /// Whether weights of layers wait in their file until their turn comes.
    pub streamed: bool,
}

/// With which of the other weights rewritten a weight's inputs are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// With none: all inputs are those of the untouched model, seen in one pass.
    AtOnce,
    /// With those of the layers before its own.
    Layers,
    /// With those, and with the maps of its own layer that are applied before it (Frantar et al. 2023, "true sequential" in the
    /// published code).
    Maps,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AtOnce, Self::Layers, Self::Maps];

    /// The word of recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::AtOnce => "at-once",
            Self::Layers => "layers",
            Self::Maps => "maps",
        }
    }
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

/// What is measured before training and after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Eval {
    /// Tasks.
    pub tasks: Vec<Task>,
    /// Texts for fidelity and the masked loss; the shipped held-out text when nothing else is said.
    pub text: TextSource,
    /// The most questions of a prompt task, spread over all of them.
    pub questions: usize,
    /// The most demonstrations before a question; nothing: as many as the task says.
    pub shots: Option<usize>,
    /// Tokens of the windows into which the texts are cut where a decoder foretells them; nothing: each text by itself.
    pub windows: Option<usize>,
}

/// Something to be measured, with its version.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Task {
    /// How close sentence vectors stay to the untouched model's.
    Fidelity,
    /// How well an encoder guesses hidden tokens of the texts for fidelity.
    Masked,
    /// Labeled texts in a data folder, answered by the model's head. STS-B is scored by the cosine of sentence vectors
    /// where the model has no head for it.
    Labeled(&'static LabeledTask),
    /// Questions that a decoder answers in words.
    Prompt(&'static PromptTask),
}

impl Eval {
    /// Whether a task measures texts of the recipe.
    pub(crate) fn reads_text(&self) -> bool {
        self.tasks.contains(&Task::Fidelity) || self.tasks.contains(&Task::Masked)
    }
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

    /// Whether a phase trains heads of pre-training, and whether that for the order of segments is among them.
    fn pretrains(&self) -> Option<bool> {
        let order = |phase: &Phase| match phase.objective {
            Objective::Masked { order, .. } => Some(order > 0.0),
            _ => None,
        };
        self.phases.iter().filter_map(order).reduce(|one, other| one || other)
    }

    /// The model with the heads that the recipe trains: its own where they have the right size, else fresh ones drawn by
    /// the recipe's seed. Heads of pre-training that are neither trained nor measured are left out.
    ///
    /// # Errors
    /// A head on a model that takes none.
    pub fn headed(&self, model: Model) -> Result<Model, Error> {
        let model = match self.pretrains() {
            Some(order) => model.with_pretraining(order, self.seed)?,
            None if self.eval.tasks.contains(&Task::Masked) => model,
            None if model.pretraining() == Pretraining::default() => model,
            None => model.without_pretraining(),
        };
        match self.head() {
            Some(task) => Ok(model.with_head(task.outputs(), self.seed)?),
            None => Ok(model),
        }
    }

    /// The model with the depth that the recipe gives it.
    ///
    /// # Errors
    /// A depth that the model cannot have.
    pub fn deepened(&self, model: Model) -> Result<Model, Error> {
        match self.depth {
            Some(Depth { layers, copies }) => Ok(model.with_layers(layers, copies)?),
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
        [Self::Fidelity, Self::Masked]
            .into_iter()
            .chain(labeled)
            .chain(prompt::ALL.iter().map(Self::Prompt))
            .collect()
    }

    /// Name and version, as recipes write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fidelity => "fidelity@1",
            Self::Masked => "masked@1",
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
            Self::Fidelity | Self::Masked => false,
            Self::Labeled(_) => true,
            Self::Prompt(task) => task.needs_data(),
        }
    }
}
