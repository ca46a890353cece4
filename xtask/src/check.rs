//! `cargo xtask check`: every step that a change must pass, cheapest first.

mod command;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::metadata::Metadata;
use crate::repository::Repository;
use crate::{golden, level, license, tidy};

/// How much to run.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Extent {
    /// Everything.
    Full,
    /// Only what needs no build of the workspace: seconds instead of minutes.
    Fast,
}

/// How a step ended; the text is shown beside its time.
enum Outcome {
    Passed(String),
    Skipped(String),
    Failed(String),
}

/// One step of the check.
struct Step {
    name: &'static str,
    /// Whether it builds the workspace.
    builds: bool,
    run: fn(&Path) -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "format", builds: false, run: command::format },
    Step { name: "tidy", builds: false, run: check_tidy },
    Step { name: "golden", builds: false, run: check_golden },
    Step { name: "level", builds: false, run: check_level },
    Step { name: "license", builds: false, run: check_license },
    Step { name: "ranks", builds: false, run: command::ranks },
    Step { name: "clippy", builds: true, run: command::clippy },
    Step { name: "docs", builds: true, run: command::docs },
    Step { name: "guard", builds: true, run: command::guard },
    Step { name: "device", builds: true, run: command::device },
    Step { name: "tests", builds: true, run: command::tests },
];

/// Runs the steps in order and stops at the first that fails; `true` when all passed.
pub(crate) fn run(root: &Path, extent: Extent) -> Result<bool> {
    let start = Instant::now();
    let mut skipped = Vec::new();
    for step in STEPS.iter().filter(|step| extent == Extent::Full || !step.builds) {
        println!("== {} ...", step.name);
        let begin = Instant::now();
        let outcome = (step.run)(root).with_context(|| format!("the step {} could not run", step.name))?;
        let seconds = begin.elapsed().as_secs_f64();
        match outcome {
            Outcome::Passed(note) => println!("== {}: ok in {seconds:.1} s{}", step.name, aside(&note)),
            Outcome::Skipped(why) => {
                println!("== {}: SKIPPED: {why}", step.name);
                skipped.push(step.name);
            }
            Outcome::Failed(why) => {
                println!("== {}: FAILED in {seconds:.1} s: {why}", step.name);
                println!("check stopped at {}; later steps did not run", step.name);
                return Ok(false);
            }
        }
    }
    let left_out =
        if skipped.is_empty() { String::new() } else { format!("; skipped: {}", skipped.join(", ")) };
    println!("check passed in {:.0} s{left_out}", start.elapsed().as_secs_f64());
    Ok(true)
}

fn aside(note: &str) -> String {
    if note.is_empty() { String::new() } else { format!(" ({note})") }
}

fn check_tidy(root: &Path) -> Result<Outcome> {
    let repository = Repository::read(root)?;
    let findings = tidy::findings(&repository);
    Ok(if tidy::report(&findings) {
        Outcome::Passed(format!("{} files, {} rules", repository.files.len(), tidy::RULES.len()))
    } else {
        Outcome::Failed(format!("{} findings; each line above says what to change", findings.len()))
    })
}

fn check_golden(root: &Path) -> Result<Outcome> {
    let findings = golden::findings(&Repository::read(root)?);
    Ok(if tidy::report(&findings) {
        Outcome::Passed(String::new())
    } else {
        Outcome::Failed("a golden case is incomplete".to_owned())
    })
}

fn check_level(root: &Path) -> Result<Outcome> {
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    Ok(listed(&level::findings(&Metadata::read(root)?, &manifest), "dependencies must go down in level"))
}

fn check_license(root: &Path) -> Result<Outcome> {
    Ok(listed(&license::findings(&Metadata::read(root)?), "every dependency must have a permissive license"))
}

fn listed(findings: &[String], rule: &str) -> Outcome {
    for finding in findings {
        println!("{finding}");
    }
    if findings.is_empty() { Outcome::Passed(String::new()) } else { Outcome::Failed(rule.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_that_build_come_last() {
        assert!(STEPS.is_sorted_by_key(|step| step.builds));
        assert_eq!(STEPS.last().map(|step| step.name), Some("tests"));
    }

    #[test]
    fn findings_fail_a_listed_step() {
        assert!(matches!(listed(&[], "rule"), Outcome::Passed(_)));
        assert!(matches!(listed(&["x".to_owned()], "rule"), Outcome::Failed(why) if why == "rule"));
    }
}
