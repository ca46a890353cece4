//! The repository's own commands: `cargo xtask check`, `tidy` and `golden`.
//!
//! `check` runs everything that a change must pass, cheapest step first, and stops at the first step that fails.
//! `tidy` and `golden` run one of its steps alone. Exit code 0 means clean, 1 that a check failed, 2 that a check
//! could not be made.
//!
//! The checks are ordinary code over the repository's files and the output of `cargo metadata`; they know nothing
//! of what the crates do. Start reading at [`check`] for the order of steps and at [`tidy`] for the list of rules.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool reports by printing")]

mod check;
mod golden;
mod level;
mod license;
mod metadata;
mod repository;
mod source;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;

use crate::repository::Repository;

const USAGE: &str = "\
usage: cargo xtask <command>

  check [--fast]      every check, cheapest first; --fast leaves out clippy, docs and tests
  tidy [prefix ...]   the repository rules, optionally only for paths with one of these prefixes
  golden              golden folders: generator, provenance, size
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the command that the arguments name; `true` when its checks passed.
fn run(arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = repository::root();
    match words.as_slice() {
        ["check"] => check::run(&root, check::Extent::Full),
        ["check", "--fast"] => check::run(&root, check::Extent::Fast),
        ["tidy", prefixes @ ..] => {
            let mut findings = tidy::findings(&Repository::read(&root)?);
            findings
                .retain(|found| prefixes.is_empty() || prefixes.iter().any(|p| found.path.starts_with(p)));
            Ok(tidy::report(&findings))
        }
        ["golden"] => Ok(tidy::report(&golden::findings(&Repository::read(&root)?))),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(true)
        }
        _ => anyhow::bail!("unknown arguments {words:?}\n\n{USAGE}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Metadata;

    #[test]
    fn repository_is_tidy() {
        let findings = tidy::findings(&Repository::read(&repository::root()).unwrap());
        assert!(tidy::report(&findings), "run `cargo xtask tidy`: {} findings", findings.len());
    }

    #[test]
    fn goldens_are_complete() {
        let findings = golden::findings(&Repository::read(&repository::root()).unwrap());
        assert!(tidy::report(&findings), "run `cargo xtask golden`: {} findings", findings.len());
    }

    #[test]
    fn crates_depend_downward_and_on_permissive_licenses() {
        let metadata = Metadata::read(&repository::root()).unwrap();
        let manifest = std::fs::read_to_string(repository::root().join("Cargo.toml")).unwrap();
        assert_eq!(level::findings(&metadata, &manifest), Vec::<String>::new());
        assert_eq!(license::findings(&metadata), Vec::<String>::new());
    }

    #[test]
    fn unknown_commands_are_errors_that_show_the_usage() {
        let error = run(&["tidyy".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("tidyy") && error.contains("usage:"), "{error}");
    }
}
