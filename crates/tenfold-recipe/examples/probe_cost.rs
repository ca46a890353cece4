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
    let interval = probes.get(1).zip(probes.first()).map_or(0, |(second, first)| second - first);
    let plain: Vec<usize> = (FIRST..steps.len()).filter(|at| !probes.contains(at)).collect();
    // Steps differ in their tokens, and by what trains: a probe is compared with the steps around it.
    let around = |probe: usize| {
        let near = plain.iter().filter(|at| at.abs_diff(probe) <= interval.div_ceil(2));
        mean(near.map(|at| steps[*at]))
    };
    let probes: Vec<usize> = probes.into_iter().filter(|at| *at >= FIRST).collect();
    let added: Vec<f64> = probes.iter().map(|at| steps[*at] - around(*at)).collect();
    let (step, probe) = (mean(plain.iter().map(|at| steps[*at])), mean(added.iter().copied()));
    Ok(serde_json::json!({
        "recipe": recipe.name,
        "steps": steps.len(),
        "probes": probes.len(),
        "interval": interval,
        "mean-step-seconds": step,
        "seconds-each-probe-adds": added,
        "mean-seconds-a-probe-adds": probe,
        "share-of-training-time": probe / (interval.max(1) as f64 * step + probe),
        "switched": components.iter().map(|one| one.switched).collect::<Vec<_>>(),
    }))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count.max(1))
}
