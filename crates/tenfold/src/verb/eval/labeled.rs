//! Labeled tasks: answered by a head, or by the cosine of sentence vectors.

use crate::cli;
use crate::table::Table;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use tenfold_eval::EmbedOptions;
use tenfold_eval::task::{self, Split, Task, TaskScore, stsb};
use tenfold_model::Model;

/// A score and what answered: `head` or `cosine`.
type Scored = (TaskScore, &'static str);

pub(super) fn score(
    model: &Model,
    task: &'static Task,
    args: &cli::Eval,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Scored> {
    let options = &EmbedOptions { precision: args.precision, ..EmbedOptions::default() };
    let Some(data) = args.data.as_deref() else {
        bail!("{} reads a data folder; give one with --data", task.name);
    };
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

pub(super) fn json<'f>(found: &'f [(&Task, Scored)]) -> impl Iterator<Item = (String, Value)> + 'f {
    found.iter().map(|(task, (score, by))| {
        let all = &score.all;
        let one = json!({ "main": score.main, "metric": score.metric, "all": all, "examples": score.examples, "by": by });
        (task.name.to_owned(), one)
    })
}

/// A table; nothing without scores.
pub(super) fn text(found: &[(&Task, Scored)]) -> Option<String> {
    let mut table = Table::new(&["task", "what it asks", ">examples", "answered by", "scores"]);
    for (task, (score, by)) in found {
        let main = format!("{} {:.1}", score.metric, score.main);
        let others = score.all.iter().filter(|(name, _)| **name != score.metric);
        let others: String = others.map(|(name, value)| format!(", {name} {value:.1}")).collect();
        table.row([task.name, task.title, &score.examples.to_string(), by, &format!("{main}{others}")]);
    }
    (!found.is_empty()).then(|| table.render())
}
