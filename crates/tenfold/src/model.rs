//! Bringing a model here: fetch options from the command line, and one source or the first that answers.

use crate::cli::Fetching;
use crate::interrupt;
use crate::screen::Screen;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tenfold_format::source::{FetchOptions, FetchProgress, Fetched, Source};
use tenfold_recipe::run::{self, Found};
use tenfold_recipe::{Event, Recipe, Stage};

/// Fetch options as the command line asks for.
pub(crate) fn options(fetching: &Fetching, interrupt: &Arc<AtomicBool>) -> FetchOptions {
    let defaults = FetchOptions::default();
    FetchOptions {
        cache: fetching.cache.clone().unwrap_or(defaults.cache),
        offline: fetching.offline,
        interrupt: Some(Arc::clone(interrupt)),
        ..defaults
    }
}

/// Finds the model of a recipe, the first that answers, with a progress bar.
///
/// # Errors
/// Recipes none of whose sources can be read or reached.
pub(crate) fn fetch_first(recipe: &Recipe, fetching: &Fetching) -> Result<Found> {
    let flag = interrupt::flag()?;
    let mut screen = Screen::new(Arc::clone(&flag));
    Ok(run::fetch_model(recipe, &options(fetching, &flag), &mut |event| screen.show(&event))?)
}

/// Fetches the model that a source names, with a progress bar.
///
/// # Errors
/// A source that cannot be read or reached.
pub(crate) fn fetch(source: &str, fetching: &Fetching) -> Result<Fetched> {
    let flag = interrupt::flag()?;
    let mut screen = Screen::new(Arc::clone(&flag));
    let source: Source = source.parse().map_err(tenfold_format::Error::from)?;
    let mut show = |progress: FetchProgress| {
        let FetchProgress { file, done, total } = progress;
        screen.show(&Event::Progress { stage: Stage::Fetch, item: file, done, total });
    };
    Ok(source.fetch(&options(fetching, &flag), &mut show)?)
}
