//! `tenfold run`: a recipe from its model to its receipt.

use super::{Verdict, print_json};
use crate::cli;
use crate::company::Company;
use crate::screen::{self, Screen};
use crate::table::{Table, bytes, count, percent};
use crate::{interrupt, model};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tenfold_eval::task::TaskScore;
use tenfold_eval::{Language, Masked};
use tenfold_recipe::run::Finished;
use tenfold_recipe::{Flow, Outcome, Recipe, RunOptions, Runner, Scores};

/// Runs a recipe, or goes on with it.
///
/// # Errors
/// Faults of the recipe and everything it touches; an interrupted run is an error that says how to go on.
pub(crate) fn run(args: &cli::Run, company: &Company) -> Result<Verdict> {
    let recipe = Recipe::read(&args.recipe)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&recipe.name));
    let flag = interrupt::flag()?;
    let mut options = RunOptions::new(&out);
    options.data.clone_from(&args.data);
    options.fetch = model::options(&args.fetching, &flag);
    options.resume = !args.fresh;
    let mut screen = Screen::new(Arc::clone(&flag));
    let mut show = |event| match company.is_first() {
        true => screen.show(&event),
        false if flag.load(Ordering::Relaxed) => Flow::Stop,
        false => Flow::Continue,
    };
    let finished = match Runner::new(&recipe, options).among(company.ranks()).run(&mut show)? {
        Outcome::Finished(finished) => finished,
        Outcome::Assisted => return Ok(Verdict::Done),
        Outcome::Interrupted { .. } if !company.is_first() => return Ok(Verdict::Told),
        Outcome::Interrupted { stage } => {
            drop(screen);
            let told = anyhow::anyhow!(
                "stopped during: {stage}; the same command goes on from there ({})",
                out.display()
            );
            screen::print_error("", &told);
            return Ok(Verdict::Told);
        }
    };
    drop(screen);
    if args.output.json {
        print_json(&json!({
            "receipt": finished.receipt_path,
            "report": finished.report_path,
            "model": finished.model,
            "record": finished.receipt.record,
        }))?;
    } else {
        screen::print(&text(&finished))?;
    }
    Ok(if finished.within_budget() == Some(false) { Verdict::CheckFailed } else { Verdict::Done })
}

/// The main metric and the others of a task.
fn task_score(score: &TaskScore) -> String {
    let others = score.all.iter().filter(|(name, _)| **name != score.metric);
    let others: String = others.map(|(name, value)| format!(", {name} {value:.1}")).collect();
    format!("{} {:.1}{others}", score.metric, score.main)
}

fn text(finished: &Finished) -> String {
    let record = &finished.receipt.record;
    let all = [Some(&record.original), Some(&record.truncated), record.healed.as_ref()];
    let tasks: BTreeSet<&str> =
        all.into_iter().flatten().flat_map(|scores| scores.tasks.keys().map(String::as_str)).collect();
    let mut heads = vec!["".to_owned(), ">parameters".to_owned(), ">bytes".to_owned()];
    let decodes = record.original.language.is_some();
    let guesses = record.original.masked.is_some();
    let guesses_alone = guesses && record.truncated.fidelity.is_none();
    let compares = !(decodes || guesses_alone);
    let columns: &[&str] = match (decodes, compares) {
        (true, _) => &[">perplexity", ">divergence", ">tokens flipped"],
        (false, true) => &[">mean cosine", ">neighbors kept", ">STS-B by cosine"],
        (false, false) => &[],
    };
    let guessed: &[&str] = if guesses { &[">masked loss", ">guessed right"] } else { &[] };
    heads.extend(guessed.iter().map(|name| (*name).to_owned()));
    heads.extend(columns.iter().map(|name| (*name).to_owned()));
    heads.extend(tasks.iter().map(|task| format!(">{task}")));
    let mut table = Table::new(&heads.iter().map(String::as_str).collect::<Vec<_>>());
    let mut row = |name: &str, parameters: usize, size: usize, scores: &Scores| {
        let share = percent(parameters, record.parameters.before);
        let fidelity = scores.fidelity.as_ref();
        let mut cells = vec![name.to_owned(), format!("{} ({share})", count(parameters)), bytes(size)];
        cells.extend(scores.masked.filter(|_| guesses).map(|found| masked(&found)).into_iter().flatten());
        cells.extend(scores.language.map(|found| language(&found)).into_iter().flatten());
        let encoder = [
            fidelity.map(|found| format!("{:.4}", found.mean_cosine)).unwrap_or_default(),
            fidelity.map(|found| format!("{:.3}", found.neighbor_agreement)).unwrap_or_default(),
            scores.stsb.map(|found| format!("{:.1}", found.spearman)).unwrap_or_default(),
        ];
        cells.extend(encoder.into_iter().filter(|_| compares));
        cells.extend(tasks.iter().map(|task| scores.tasks.get(*task).map(task_score).unwrap_or_default()));
        table.row(cells);
    };
    row("original", record.parameters.before, record.bytes.before, &record.original);
    row("rewritten", record.parameters.after, record.bytes.after, &record.truncated);
    if let Some(healed) = &record.healed {
        row("healed", record.parameters.after, record.bytes.after, healed);
    }
    let paths =
        [("model", &finished.model), ("receipt", &finished.receipt_path), ("report", &finished.report_path)];
    let paths: Vec<String> =
        paths.iter().map(|(word, path)| format!("{word:8} {}", path.display())).collect();
    let budget = match &record.budget {
        Some(budget) if !budget.kept => "the budget was exceeded\n",
        _ => "",
    };
    format!("{}\n{}\n{budget}", table.render(), paths.join("\n"))
}

/// The loss of hidden tokens, and how many are guessed right.
fn masked(found: &Masked) -> [String; 2] {
    [format!("{:.4}", found.loss), format!("{:.1} %", 100.0 * found.right)]
}

/// Perplexity, and the distance from the original where there is one.
fn language(found: &Language) -> [String; 3] {
    [
        format!("{:.3}", found.perplexity),
        found.divergence.map(|nats| format!("{nats:.4}")).unwrap_or_default(),
        found.flipped.map(|share| format!("{:.1} %", 100.0 * share)).unwrap_or_default(),
    ]
}
