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

/// The features that are checked: what they need at run time may be missing, what they need to be built must not. With them all
/// crates are built once for clippy and once for tests, instead of once more for each feature.
fn features() -> String {
    let mut names = vec!["tenfold/cuda"];
    names.extend(missing_mpi().is_none().then_some("tenfold/mpi"));
    names.join(",")
}

/// The first program of an MPI library that is not here.
fn missing_mpi() -> Option<&'static str> {
    ["mpicc", "mpirun"].into_iter().find(|program| !answers(program))
}

/// `cargo clippy` over every target, with warnings denied.
pub(super) fn clippy(root: &Path) -> Result<Outcome> {
    if let Some(skipped) = missing_component(root, "clippy", "clippy")? {
        return Ok(skipped);
    }
    let mut command = cargo(root);
    command.args(["clippy", "--locked", "--workspace", "--all-targets", "--features", &features()]);
    outcome(command.args(["--", "-D", "warnings"]), "clippy has warnings")
}

/// `cargo doc` with warnings denied, so that a broken link fails; and the program as it is built without features, of which
/// nothing is left to be looked at then but itself.
pub(super) fn docs(root: &Path) -> Result<Outcome> {
    let mut command = cargo(root);
    command.args(["doc", "--locked", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    let written = outcome(&mut command, "rustdoc has warnings")?;
    if matches!(written, Outcome::Failed(_)) {
        return Ok(written);
    }
    outcome(
        cargo(root).args(["check", "--locked", "-p", "tenfold"]),
        "the program does not build without features",
    )
}

/// The checks of all ops with buffers beside forbidden pages, so that a read or write outside one ends the program.
pub(super) fn guard(root: &Path) -> Result<Outcome> {
    let mut command = cargo(root);
    command.args(["test", "--locked", "--quiet", "-p", "tenfold-tensor", "--features", "guard"]);
    command.args(["--test", "gradients", "--test", "reference"]);
    outcome(&mut command, "an op left its buffers or read what nobody wrote")
}

/// The checks of all ops on an emulated device, where there is a C++ compiler.
pub(super) fn device(root: &Path) -> Result<Outcome> {
    // The system and the names of compilers that the tests know.
    let named = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    if !cfg!(target_os = "linux") || ![named.as_str(), "c++", "g++"].into_iter().any(answers) {
        return Ok(Outcome::Skipped(
            "kernels of devices are emulated on Linux with a C++ compiler; Debian has one in g++".to_owned(),
        ));
    }
    let mut command = cargo(root);
    command.args(["test", "--locked", "--quiet", "-p", "tenfold-tensor", "--features", "cuda"]);
    command.args(["--test", "gradients", "--test", "reference", "--test", "golden", "--test", "device"]);
    command.env("TENFOLD_TEST_DEVICE", "emulated");
    outcome(&mut command, "an op is wrong on a device, or a kernel touched what it must not")
}

/// Whether the tests will run several ranks, which takes an MPI library.
pub(super) fn ranks(_root: &Path) -> Result<Outcome> {
    Ok(match missing_mpi() {
        None => Outcome::Passed("among the tests".to_owned()),
        Some(missing) => Outcome::Skipped(format!(
            "there is no {missing}; Debian has it in openmpi-bin and libopenmpi-dev, with libclang-dev for its binding"
        )),
    })
}

/// Whether a program of this name can be run.
fn answers(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// `cargo test` over the workspace; its lines are shown as they come and its summaries are added up.
pub(super) fn tests(root: &Path) -> Result<Outcome> {
    let mut child = cargo(root)
        .args(["test", "--locked", "--workspace", "--no-fail-fast", "--features", &features()])
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
