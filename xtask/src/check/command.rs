//! The steps that call cargo: format, clippy, docs and tests.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use super::Outcome;
use crate::metadata::cargo;

/// `cargo fmt --all`, only checking.
pub(super) fn format(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = missing_component(root, "fmt", "rustfmt")? {
        return Ok(skipped);
    }
    // Names of files are enough here: the command that shows the differences also mends them.
    outcome(
        cargo(root).args(["fmt", "--all", "--", "--check", "-l"]),
        "the files above differ; run `cargo fmt --all`",
    )
}

/// `cargo clippy` over every target, with warnings denied.
pub(super) fn clippy(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = missing_component(root, "clippy", "clippy")? {
        return Ok(skipped);
    }
    let mut command = cargo(root);
    command.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    outcome(&mut command, "clippy has warnings")
}

/// `cargo doc` with warnings denied, so that a broken link fails.
pub(super) fn docs(root: &Path) -> Result<Outcome> {
    let mut command = cargo(root);
    command.args(["doc", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    outcome(&mut command, "rustdoc has warnings")
}

/// The checks of all ops with buffers beside forbidden pages, so that a read or write outside one ends the program.
pub(super) fn guard(root: &Path) -> Result<Outcome> {
    let mut command = cargo(root);
    command.args(["test", "--locked", "--quiet", "-p", "tenfold-tensor", "--features", "guard"]);
    command.args(["--test", "gradients", "--test", "reference"]);
    outcome(&mut command, "an op left its buffers or read what nobody wrote")
}

/// Clippy and the runs of several ranks with the feature `mpi`, where there is an MPI library.
pub(super) fn ranks(root: &Path) -> Result<Outcome> {
    let here = |program: &str| {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    if let Some(missing) = ["mpicc", "mpirun"].into_iter().find(|program| !here(program)) {
        return Ok(Outcome::Skipped(format!(
            "there is no {missing}; Debian has it in openmpi-bin and libopenmpi-dev, with libclang-dev for its binding"
        )));
    }
    let feature = ["--locked", "--workspace", "--features", "tenfold/mpi"];
    let mut command = cargo(root);
    command.arg("clippy").args(feature).args(["--", "-D", "warnings"]);
    if missing_component(root, "clippy", "clippy")?.is_none()
        && let Outcome::Failed(why) = outcome(&mut command, "clippy has warnings about the feature mpi")?
    {
        return Ok(Outcome::Failed(why));
    }
    let mut command = cargo(root);
    command.arg("test").args(feature).args(["--quiet", "--test", "mpi"]);
    outcome(&mut command, "runs of several ranks went wrong")
}

/// `cargo test` over the workspace; its lines are shown as they come and its summaries are added up.
pub(super) fn tests(root: &Path) -> Result<Outcome> {
    let mut child = cargo(root)
        .args(["test", "--locked", "--workspace", "--no-fail-fast"])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let mut totals = Totals::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.context("cannot read the output of cargo test")?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            totals.add(&line);
        }
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    Ok(match (status.success(), totals.ignored) {
        (true, 0) => Outcome::Passed(totals.to_string()),
        (true, _) => Outcome::Failed(format!("{totals}; a test or example that never runs proves nothing")),
        (false, _) if totals.failed == 0 => {
            Outcome::Failed(format!("a test did not build or was killed ({totals})"))
        }
        (false, _) => Outcome::Failed(totals.to_string()),
    })
}

/// What the summary lines of all test binaries add up to.
#[derive(Default, Debug, PartialEq)]
struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Totals {
    /// Adds one line when it is a summary: `test result: ok. 12 passed; 0 failed; 0 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some(summary) = line.trim_start().strip_prefix("test result: ") else { return };
        let counts = summary.split_once(". ").map_or(summary, |(_, counts)| counts);
        for part in counts.split(';') {
            let mut words = part.split_whitespace();
            let (Some(Ok(count)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.ignored += count,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

/// Skips a step whose part of the toolchain is not installed, and says how to add it.
fn missing_component(root: &Path, subcommand: &str, component: &str) -> Result<Option<Outcome>> {
    let probe = cargo(root).args([subcommand, "--version"]).output().context("cannot start cargo")?;
    let skipped = || {
        Outcome::Skipped(format!(
            "the toolchain lacks {component}; add it with `rustup component add {component}`"
        ))
    };
    Ok((!probe.status.success()).then(skipped))
}

fn outcome(command: &mut Command, advice: &str) -> Result<Outcome> {
    let status = command.status().with_context(|| format!("cannot start {command:?}"))?;
    Ok(if status.success() { Outcome::Passed(String::new()) } else { Outcome::Failed(advice.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_add_up_and_other_lines_do_not_count() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test a::b ... ok",
            "test result: FAILED. 1 passed; 2 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s",
        ] {
            totals.add(line);
        }
        assert_eq!(totals, Totals { passed: 4, failed: 2, ignored: 1 });
        assert_eq!(totals.to_string(), "4 passed, 2 failed, 1 ignored");
    }

    #[test]
    fn unknown_subcommands_count_as_missing_components() {
        let root = crate::repository::root();
        let outcome = missing_component(&root, "no-such-subcommand", "part").unwrap();
        assert!(matches!(outcome, Some(Outcome::Skipped(why)) if why.contains("rustup component add part")));
    }
}
