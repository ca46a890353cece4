//! `tenfold bench`: what a model costs to run and to train here.

use super::{Verdict, print_json};
use crate::cli;
use crate::table::{self, Table};
use crate::{model, screen};
use anyhow::Result;
use serde::Serialize;
use serde_json::json;
use std::path::Path;
use tenfold_recipe::Recipe;
use tenfold_recipe::bench::{self, Bench, BenchOptions, Measured, RecipeBench};
use tenfold_recipe::receipt::{Machine, peak_memory};
use tenfold_recipe::run;
use tenfold_weight::Selector;

/// Times a model.
///
/// # Errors
/// Faults of the source, the model and the selectors.
pub(crate) fn run(args: &cli::Bench) -> Result<Verdict> {
    let train = args.train.iter().map(|text| Selector::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let options = BenchOptions {
        batch: args.batch.into(),
        tokens: args.tokens,
        repetitions: args.repeat.into(),
        precision: args.precision,
        train,
        gradient_checkpointing: args.gradient_checkpointing,
    };
    let mut shown = |stage| {
        if !args.output.json {
            screen::line(&format!("timing {stage} ..."));
        }
    };
    // A source names its kind before a colon, so no source ends like a recipe's file.
    if args.source.ends_with(".toml") {
        if !args.train.is_empty() || args.gradient_checkpointing {
            anyhow::bail!(
                "a recipe says itself what its phases train and how; leave --train and --gradient-checkpointing out"
            );
        }
        let recipe = Recipe::read(Path::new(&args.source))?;
        let loaded = recipe.deepened(model::fetch_first(&recipe, &args.fetching)?.load()?)?;
        let origin = loaded.origin.clone();
        let found = bench::measure_recipe(loaded, &recipe, args.data.clone(), &options, &mut shown)?;
        show(args, &origin, &found, recipe_text)?;
    } else {
        let loaded = run::load_model(&model::fetch(&args.source, &args.fetching)?)?;
        let found = bench::measure(&loaded, &options, &mut shown)?;
        show(args, &loaded.origin, &found, text)?;
    }
    Ok(Verdict::Done)
}

fn show<T: Serialize>(
    args: &cli::Bench,
    origin: &str,
    found: &T,
    text: fn(&T, Option<u64>) -> String,
) -> Result<()> {
    let peak = peak_memory();
    if args.output.json {
        let machine = Machine::here();
        return print_json(
            &json!({ "model": origin, "machine": machine, "bench": found, "peak_bytes": peak }),
        );
    }
    Ok(screen::print(&text(found, peak))?)
}

fn recipe_text(found: &RecipeBench, peak: Option<u64>) -> String {
    let mut table =
        Table::new(&["phase", ">steps", ">median ms", ">fastest", ">slowest", ">trained", ">arrays at most"]);
    for phase in &found.phases {
        let ms = |time: f64| format!("{time:.2}");
        table.row([
            phase.objective.to_owned(),
            phase.steps.to_string(),
            ms(phase.ms),
            ms(phase.least_ms),
            ms(phase.most_ms),
            table::count(phase.trained),
            table::bytes(phase.peak_bytes),
        ]);
    }
    let steps = if found.phases.is_empty() { String::new() } else { table.render() + "\n" };
    format!(
        "evidence {:.1} s, rewriting {:.1} s\n{steps}{}",
        found.evidence_seconds,
        found.rewrite_seconds,
        text(&found.model, peak)
    )
}

fn text(found: &Bench, peak: Option<u64>) -> String {
    let columns = ["work", ">texts", ">tokens", ">median ms", ">fastest", ">slowest", ">tokens/s"];
    let mut table = Table::new(&columns);
    let mut row = |work: &str, one: &Measured| {
        let ms = |time: f64| format!("{time:.2}");
        let rate = format!("{:.0}", one.tokens_per_second);
        let sizes = [one.batch, one.tokens].map(|size| size.to_string());
        let [texts, tokens] = sizes;
        table.row([work.to_owned(), texts, tokens, ms(one.ms), ms(one.least_ms), ms(one.most_ms), rate]);
    };
    row("forward", &found.single);
    row("forward", &found.many);
    if let Some(writing) = &found.writing {
        row("writing, greedy", writing);
    }
    if let Some(step) = &found.step {
        row("training step", &step.time);
    }
    let mut lines = format!(
        "{}\n{} parameters in {}, products in {}",
        table.render(),
        table::count(found.parameters),
        table::bytes(found.bytes),
        found.precision
    );
    if let Some(step) = &found.step {
        let (trained, moments) = (table::count(step.trained), table::count(step.moments));
        lines += &format!(
            "; {trained} train, {moments} numbers of the optimizer, arrays take {}",
            table::bytes(step.peak_bytes)
        );
    }
    if let Some(peak) = peak {
        lines += &format!("; {} of memory at most", table::bytes(peak as usize));
    }
    lines + "\n"
}
