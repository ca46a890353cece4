//! The model of a recipe: the first source that answers, or one that begins from nothing.

mod new;

use super::event::{Event, Flow, Reporter, Stage};
use crate::error::Error;
use crate::recipe::{NewModel, Recipe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tenfold_format::manifest;
use tenfold_format::source::{FetchOptions, Fetched, Source, SourceError};
use tenfold_model::{Model, Waiting};
use tenfold_weight::Tree;

/// What a recipe's model is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Files on this machine.
    Files(Fetched),
    /// A seed.
    New {
        /// Sizes and vocabulary.
        model: NewModel,
        /// Of the weights.
        seed: u64,
    },
}

impl Found {
    /// Where the weights come from, in a word.
    pub fn origin(&self) -> String {
        match self {
            Self::Files(fetched) => fetched.origin.clone(),
            Self::New { model, seed } => format!("new:{}, seed {seed}", model.architecture.word()),
        }
    }

    /// Brings the model into memory as a recipe asks for it: whole, or without the weights of its layers.
    ///
    /// # Errors
    /// As [`Found::load`] and [`Model::open`]; [`Error::NothingWaits`] for a new model.
    pub fn open(&self, recipe: &Recipe) -> Result<Opened, Error> {
        if !recipe.calibration.streamed {
            return recipe.deepened(self.load()?).map(Opened::from);
        }
        let Self::Files(fetched) = self else { return Err(Error::NothingWaits) };
        if recipe.depth.is_some() {
            let (dir, why) = (fetched.dir.clone(), "the recipe gives the model another depth");
            return Err(tenfold_model::Error::NoWaiting { dir, why }.into());
        }
        let (mut model, waiting) = Model::open(fetched.model())?;
        model.origin.clone_from(&fetched.origin);
        Ok(Opened { model, waiting: Some(waiting) })
    }

    /// Reads and checks the model, or draws its weights.
    ///
    /// # Errors
    /// Faults of the files; sizes that no model can have.
    pub fn load(&self) -> Result<Model, Error> {
        match self {
            Self::Files(fetched) => load_model(fetched),
            Self::New { model, seed } => {
                let mut fresh = new::fresh(model, *seed)?;
                fresh.origin = self.origin();
                Ok(fresh)
            }
        }
    }
}

/// A model in memory, as far as it is there.
pub struct Opened {
    /// The model.
    pub model: Model,
    /// The weights of its layers, where they wait in their file.
    pub waiting: Option<Waiting>,
}

impl Opened {
    /// The whole tree, of which the weights that wait are zeros: enough for plans, sizes and costs.
    pub fn outline(&self) -> Tree {
        match &self.waiting {
            Some(waiting) => waiting.outline(&self.model.tree),
            None => self.model.tree.clone(),
        }
    }
}

impl From<Model> for Opened {
    fn from(model: Model) -> Self {
        Self { model, waiting: None }
    }
}

/// Brings a recipe's model to this machine: the first of its sources that answers, or what a new one begins with.
///
/// # Errors
/// [`Error::NoSource`] when none does, [`Error::Interrupted`].
pub fn fetch_model(
    recipe: &Recipe,
    options: &FetchOptions,
    events: &mut dyn FnMut(Event) -> Flow,
) -> Result<Found, Error> {
    Reporter::new(events).stage(Stage::Fetch, |on| find(recipe, options, on))
}

/// Finds what a recipe's model is made of.
pub(super) fn find(
    recipe: &Recipe,
    options: &FetchOptions,
    reporter: &mut Reporter<'_>,
) -> Result<Found, Error> {
    match &recipe.new {
        Some(model) => Ok(Found::New { model: model.clone(), seed: recipe.seed }),
        None => Ok(Found::Files(fetch(&recipe.from, options, reporter)?)),
    }
}

/// Brings the first source that answers to this machine.
fn fetch(sources: &[Source], options: &FetchOptions, reporter: &mut Reporter<'_>) -> Result<Fetched, Error> {
    let interrupt = options.interrupt.clone().unwrap_or_else(|| Arc::new(AtomicBool::new(false)));
    let options = FetchOptions { interrupt: Some(Arc::clone(&interrupt)), ..options.clone() };
    let mut tried = Vec::new();
    for source in sources {
        let mut progress = |at: tenfold_format::source::FetchProgress| {
            let event =
                Event::Progress { stage: Stage::Fetch, item: at.file, done: at.done, total: at.total };
            if reporter.ask(event) == Flow::Stop {
                interrupt.store(true, Ordering::Relaxed);
            }
        };
        match source.fetch(&options, &mut progress) {
            Ok(fetched) => return Ok(fetched),
            Err(tenfold_format::Error::Source(SourceError::Interrupted { .. })) => {
                return Err(Error::Interrupted { stage: Stage::Fetch });
            }
            Err(error) => tried.push((source.to_string(), error)),
        }
    }
    Err(Error::NoSource { tried })
}

/// Reads and checks a fetched model. What another tool wrote is known by its source; a saved folder says itself where
/// its weights came from.
///
/// # Errors
/// Faults of the folder's files.
pub fn load_model(fetched: &Fetched) -> Result<Model, Error> {
    let mut model = Model::load(fetched.model())?;
    if !fetched.dir.join(manifest::FILE).is_file() {
        model.origin.clone_from(&fetched.origin);
    }
    Ok(model)
}
