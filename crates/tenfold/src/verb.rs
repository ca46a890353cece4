//! The verbs, one file each.

mod bench;
mod convert;
mod doctor;
mod eval;
mod explain;
mod generate;
mod inspect;
mod plan;
mod quickstart;
mod run;

use crate::cli::{Command, Verb};
use crate::company::Company;
use crate::screen;
use anyhow::Result;
use serde::Serialize;

/// How a verb that met no error ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Done,
    /// The work was done and a check failed.
    CheckFailed,
    /// It was not done, and why has been told.
    Told,
}

/// Carries out a command.
///
/// # Errors
/// Whatever the verb meets.
pub(crate) fn run(command: &Command, company: &Company) -> Result<Verdict> {
    match &command.verb {
        Verb::Quickstart(args) => quickstart::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Plan(args) => plan::run(args),
        Verb::Run(args) => run::run(args, company),
        Verb::Eval(args) => eval::run(args),
        Verb::Bench(args) => bench::run(args),
        Verb::Generate(args) => generate::run(args),
        Verb::Convert(args) => convert::run(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Doctor(args) => doctor::run(args),
    }
}

/// One JSON object on stdout.
fn print_json(value: &impl Serialize) -> Result<()> {
    Ok(screen::print(&(serde_json::to_string_pretty(value)? + "\n"))?)
}
