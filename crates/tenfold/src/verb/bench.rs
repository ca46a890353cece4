//! `tenfold bench`: what a model costs to run and to train here.

use super::{Verdict, print_json};
use crate::cli;
use crate::table::{self, Table};
use crate::{model, screen};
use anyhow::Result;
use serde_json::json;
use tenfold_recipe::bench::{self, Bench, BenchOptions, Measured};
use tenfold_recipe::receipt::{Machine, peak_memory};
use tenfold_recipe::run;
use tenfold_weight::Selector;

/// Times a model.
///
/// # Errors
/// Faults of the source, the model and the selectors.
pub(crate) fn run(args: &cli::Bench) -> Result<Verdict> {
    let train = args.train.iter().map(|text| Selector::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let loaded = run::load_model(&model::fetch(&args.source, &args.fetching)?)?;
    let options = BenchOptions {
        batch: args.batch.into(),
        tokens: args.tokens,
        repetitions: args.repeat.into(),
        precision: args.precision,
        train,
    };
    let mut shown = |stage| {
        if !args.output.json {
            screen::line(&format!("timing {stage} ..."));
        }
    };
    let found = bench::measure(&loaded, &options, &mut shown)?;
    let peak = peak_memory();
    if args.output.json {
        let machine = Machine::here();
        print_json(
            &json!({ "model": loaded.origin, "machine": machine, "bench": found, "peak_bytes": peak }),
        )?;
    } else {
        screen::print(&text(&found, peak))?;
    }
    Ok(Verdict::Done)
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
        lines += &format!("; {trained} train, {moments} numbers of the optimizer");
    }
    if let Some(peak) = peak {
        lines += &format!("; {} of memory at most", table::bytes(peak as usize));
    }
    lines + "\n"
}
