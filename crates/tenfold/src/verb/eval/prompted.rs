//! Prompt tasks: answered by likelihood and by generation.

use crate::cli;
use crate::table::Table;
use anyhow::{Result, bail};
use serde_json::{Value, json};
use tenfold_eval::EmbedOptions;
use tenfold_eval::prompt::{self, AnswerOptions, PromptScore, PromptTask};
use tenfold_model::Model;

pub(super) fn score(
    model: &Model,
    task: &'static PromptTask,
    args: &cli::Eval,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<PromptScore> {
    if task.needs_data() && args.data.is_none() {
        bail!("{} reads a data folder; give one with --data", task.name);
    }
    let usual = AnswerOptions::default();
    let embed = EmbedOptions { precision: args.precision, ..usual.embed };
    let options = AnswerOptions { embed, shots: args.shots };
    let groups = prompt::sample(prompt::read(task, args.data.as_deref())?, args.questions);
    let answers = prompt::answer(model, &model.tree, task, &groups, &options, progress)?;
    Ok(prompt::score(task, &groups, &answers, None)?)
}

pub(super) fn json<'f>(
    found: &'f [(&PromptTask, PromptScore)],
) -> impl Iterator<Item = (String, Value)> + 'f {
    found.iter().map(|(task, score)| (task.name.to_owned(), json!(score)))
}

/// A table; nothing without scores.
pub(super) fn text(found: &[(&PromptTask, PromptScore)]) -> Option<String> {
    let mut table = Table::new(&[
        "task",
        "what it asks",
        ">questions",
        ">shots",
        ">by likelihood",
        ">per byte",
        ">chance",
        ">by generation",
        ">ended",
    ]);
    let share = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.1}"));
    let erring = |value: f64, error: Option<f64>| format!("{value:.1} ± {:.1}", error.unwrap_or_default());
    for (task, score) in found {
        table.row([
            task.name,
            task.title,
            &score.questions.to_string(),
            &format!("{:.1}", score.shots),
            &score.likelihood.map_or_else(String::new, |value| erring(value, score.likelihood_error)),
            &share(score.likelihood_per_byte),
            &share(score.chance),
            &erring(score.generation, Some(score.generation_error)),
            &share(Some(score.ended)),
        ]);
    }
    let cut: usize = found.iter().map(|(_, score)| score.cut).sum();
    let note = match cut {
        0 => String::new(),
        cut => {
            format!("note: {cut} questions were longer than the model's positions and lost their beginning\n")
        }
    };
    (!found.is_empty()).then(|| table.render() + "\n" + &note)
}
