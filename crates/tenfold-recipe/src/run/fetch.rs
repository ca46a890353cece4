//! The model of a recipe: the first source that answers.

use super::event::{Event, Flow, Reporter, Stage};
use crate::error::Error;
use crate::recipe::Recipe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tenfold_format::manifest;
use tenfold_format::source::{FetchOptions, Fetched, Source, SourceError};
use tenfold_model::Model;

/// Brings a recipe's model to this machine: the first of its sources that answers.
///
/// # Errors
/// [`Error::NoSource`] when none does, [`Error::Interrupted`].
pub fn fetch_model(
    recipe: &Recipe,
    options: &FetchOptions,
    events: &mut dyn FnMut(Event) -> Flow,
) -> Result<Fetched, Error> {
    Reporter::new(events).stage(Stage::Fetch, |on| fetch(&recipe.from, options, on))
}

/// Brings the first source that answers to this machine.
pub(super) fn fetch(
    sources: &[Source],
    options: &FetchOptions,
    reporter: &mut Reporter<'_>,
) -> Result<Fetched, Error> {
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
