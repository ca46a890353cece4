//! Text to recipe: strict, and telling everything that is wrong at once, with lines and columns.

mod new;
mod phase;
mod pretrain;
mod reader;
mod section;
mod step;
mod variant;

use crate::error::Error;
use crate::fault::{Fault, Problem};
use crate::recipe::Recipe;
use reader::{Reader, Report};
use std::path::Path;
use toml::de::DeTable;

/// The table that a receipt adds to the recipe it repeats.
pub(crate) const RECEIPT: &str = "receipt";

/// Parses the text of a recipe or a receipt.
pub(crate) fn recipe(path: &Path, text: &str) -> Result<Recipe, Error> {
    let report = Report::of(text);
    let (table, broken) = DeTable::parse_recoverable(text);
    for error in &broken {
        let place = report.place(error.span().map_or(0, |span| span.start));
        report.add(Fault::at(place, Problem::Syntax { message: error.message().to_owned() }));
    }
    // What stands in the half-read tables of a broken text would be reported as missing: only the syntax counts.
    let recipe =
        if broken.is_empty() { section::recipe(path, &Reader::root(&report, table.get_ref())) } else { None };
    let mut faults = report.into_faults();
    faults.sort_by_key(|fault| (fault.line, fault.column));
    match recipe {
        Some(recipe) if faults.is_empty() => Ok(recipe),
        _ => Err(Error::Recipe { path: path.to_owned(), faults }),
    }
}
