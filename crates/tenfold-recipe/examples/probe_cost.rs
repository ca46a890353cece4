//! What the probes of calibration cost: runs recipes and compares the steps with a probe with those without. One JSON line per run.
//!
//! `cargo run --release -p tenfold-recipe --example probe_cost -- DATA OUT RECIPE...`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example is a small program")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tenfold_recipe::{Event, Flow, Outcome, Recipe, RunOptions, Runner};

/// Steps at the beginning that are left out: buffers are made there.
const FIRST: usize = 5;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(PathBuf::from);
    let (Some(data), Some(out)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: probe_cost DATA OUT RECIPE...");
        return ExitCode::from(2);
    };
    for recipe in arguments {
        match measure(&recipe, &data, &out) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}

fn measure(path: &Path, data: &Path, out: &Path) -> Result<serde_json::Value, Box<dyn Error>> {
    let recipe = Recipe::read(path)?;
    let options =
        RunOptions { data: Some(data.to_owned()), resume: false, ..RunOptions::new(out.join(&recipe.name)) };
    let mut steps = Vec::new();
    let outcome = Runner::new(&recipe, options).run(&mut |event| {
        if let Event::Training { event: tenfold_train::Event::Step { seconds, .. }, .. } = event {
            steps.push(seconds);
        }
        Flow::Continue
    })?;
    let Outcome::Finished(done) = outcome else { return Ok(serde_json::Value::Null) };
    let seen = done.receipt.record.phases.iter().find_map(|phase| phase.calibrate.clone());
    let components = seen.map(|seen| seen.components).unwrap_or_default();
    let probes: Vec<usize> =
        components.first().map_or(Vec::new(), |one| one.steps.iter().map(|at| *at as usize).collect());
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (at, seconds) in steps.iter().enumerate().skip(FIRST) {
        if probes.contains(&at) { with.push(*seconds) } else { without.push(*seconds) }
    }
    let plain = median(&mut without.clone());
    // Steps differ in their tokens: the mean of all stands for the one that a probe is added to.
    let mean = without.iter().sum::<f64>() / without.len().max(1) as f64;
    let added: Vec<f64> = with.iter().map(|seconds| seconds - mean).collect();
    let probe = added.iter().sum::<f64>() / added.len().max(1) as f64;
    let interval = probes.get(1).zip(probes.first()).map_or(0, |(second, first)| second - first);
    Ok(serde_json::json!({
        "recipe": recipe.name,
        "steps": steps.len(),
        "probes": probes.len(),
        "interval": interval,
        "median-step-seconds": plain,
        "mean-step-seconds": mean,
        "probe-step-seconds": with,
        "seconds-a-probe-adds": probe,
        "share-of-training-time": probe / (interval.max(1) as f64 * mean + probe),
        "switched": components.iter().map(|one| one.switched).collect::<Vec<_>>(),
    }))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
