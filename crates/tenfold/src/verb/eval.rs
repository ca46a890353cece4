//! `tenfold eval`: what a model scores in labeled tasks.

use super::{Verdict, print_json};
use crate::cli;
use crate::screen::{self, Screen};
use crate::table::Table;
use crate::{interrupt, model};
use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use std::path::Path;
use tenfold_eval::EmbedOptions;
use tenfold_eval::task::{self, Split, Task, TaskScore, stsb};
use tenfold_method::nearest;
use tenfold_model::Model;
use tenfold_recipe::{Event, Flow, Stage, run};

/// Scores a model in every task asked for, by its head, or by the cosine of sentence vectors where STS-B is asked of a
/// model without one.
///
/// # Errors
/// Unknown tasks, a model without a head for a task, faults of the model and of data files.
pub(crate) fn run(args: &cli::Eval) -> Result<Verdict> {
    let tasks = args.tasks.iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?;
    let loaded = run::load_model(&model::fetch(&args.source, &args.fetching)?)?;
    let mut screen = Screen::new(interrupt::flag()?);
    let mut found = Vec::new();
    for task in tasks {
        let mut stopped = false;
        let options = EmbedOptions { precision: args.precision, ..EmbedOptions::default() };
        let score = score(&loaded, task, &args.data, &options, &mut |done, total| {
            let (done, total) = (done as u64, Some(total as u64));
            let event = Event::Progress { stage: Stage::Original, item: task.name.to_owned(), done, total };
            stopped |= screen.show(&event) == Flow::Stop;
        })?;
        if stopped {
            bail!("stopped while scoring {}", task.name);
        }
        found.push((task, score));
    }
    drop(screen);
    if args.output.json {
        let scores: Map<String, Value> = found
            .iter()
            .map(|(task, (score, by))| {
                let all = &score.all;
                let one = json!({ "main": score.main, "metric": score.metric, "all": all, "examples": score.examples, "by": by });
                (task.name.to_owned(), one)
            })
            .collect();
        print_json(
            &json!({ "model": loaded.origin, "parameters": loaded.tree.parameters(), "precision": args.precision.word(), "tasks": scores }),
        )?;
    } else {
        screen::print(&text(&found))?;
    }
    Ok(Verdict::Done)
}

fn find(name: &str) -> Result<&'static Task> {
    if let Some(task) = task::find(name) {
        return Ok(task);
    }
    let known: Vec<&str> = task::ALL.iter().map(|task| task.name).collect();
    let hint = nearest(name, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
    bail!("unknown task {name:?}{}; known are {}", hint.unwrap_or_default(), known.join(", "));
}

/// A score and what answered: `head` or `cosine`.
fn score(
    model: &Model,
    task: &'static Task,
    data: &Path,
    options: &EmbedOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(TaskScore, &'static str)> {
    if model.head.is_some_and(|head| head.outputs == task.outputs()) {
        let rows = task::read(task, data, Split::Dev)?;
        let outputs = task::predict(model, &model.tree, &rows, options, progress)?;
        return Ok((task::score(task, &outputs, &rows)?, "head"));
    }
    if task.name != stsb::NAME {
        let has =
            model.head.map_or("no head".to_owned(), |head| format!("a head of {} outputs", head.outputs));
        bail!(
            "{} needs a head of {} outputs, the model has {has}; train one with a phase whose objective is \"task\"",
            task.name,
            task.outputs()
        );
    }
    let pairs = stsb::read(data)?;
    let found = stsb::score(model, &model.tree, &pairs, options, progress)?;
    let all = [("spearman", found.spearman), ("pearson", found.pearson)];
    let all = all.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok((
        TaskScore { main: found.spearman, metric: "spearman".to_owned(), all, examples: found.pairs },
        "cosine",
    ))
}

fn text(found: &[(&Task, (TaskScore, &str))]) -> String {
    let mut table = Table::new(&["task", "what it asks", ">examples", "answered by", "scores"]);
    for (task, (score, by)) in found {
        let main = format!("{} {:.1}", score.metric, score.main);
        let others = score.all.iter().filter(|(name, _)| **name != score.metric);
        let others: String = others.map(|(name, value)| format!(", {name} {value:.1}")).collect();
        table.row([task.name, task.title, &score.examples.to_string(), by, &format!("{main}{others}")]);
    }
    table.render()
}
