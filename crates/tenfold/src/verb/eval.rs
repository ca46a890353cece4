//! `tenfold eval`: what a model scores in tasks.

mod labeled;
mod prompted;

use super::{Verdict, print_json};
use crate::cli;
use crate::screen::{self, Screen};
use crate::{interrupt, model};
use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use tenfold_eval::{prompt, task};
use tenfold_method::nearest;
use tenfold_recipe::{Event, Flow, Stage, run};

/// A task of either kind.
enum Asked {
    Labeled(&'static task::Task),
    Prompt(&'static prompt::PromptTask),
}

/// Scores a model in every task asked for: an encoder by its head, or by the cosine of sentence vectors where STS-B is asked of
/// a model without one; a decoder by likelihood and by generation.
///
/// # Errors
/// Unknown tasks, a model that cannot answer a task, faults of the model and of data files.
pub(crate) fn run(args: &cli::Eval) -> Result<Verdict> {
    let tasks = args.tasks.iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?;
    let loaded = run::load_model(&model::fetch(&args.source, &args.fetching)?)?;
    let mut screen = Screen::new(interrupt::flag()?);
    let (mut labeled, mut prompted) = (Vec::new(), Vec::new());
    for task in tasks {
        let mut stopped = false;
        let name = task.name();
        let mut progress = |done, total| {
            let (done, total) = (done as u64, Some(total as u64));
            let event = Event::Progress { stage: Stage::Original, item: name.to_owned(), done, total };
            stopped |= screen.show(&event) == Flow::Stop;
        };
        match task {
            Asked::Labeled(task) => labeled.push((task, labeled::score(&loaded, task, args, &mut progress)?)),
            Asked::Prompt(task) => {
                prompted.push((task, prompted::score(&loaded, task, args, &mut progress)?));
            }
        }
        if stopped {
            bail!("stopped while scoring {name}");
        }
    }
    drop(screen);
    if args.output.json {
        let scores: Map<String, Value> = labeled::json(&labeled).chain(prompted::json(&prompted)).collect();
        print_json(
            &json!({ "model": loaded.origin, "parameters": loaded.tree.parameters(), "precision": args.precision.word(), "tasks": scores }),
        )?;
    } else {
        let tables = [labeled::text(&labeled), prompted::text(&prompted)];
        screen::print(&tables.into_iter().flatten().collect::<Vec<_>>().join("\n"))?;
    }
    Ok(Verdict::Done)
}

impl Asked {
    fn name(&self) -> &'static str {
        match self {
            Self::Labeled(task) => task.name,
            Self::Prompt(task) => task.name,
        }
    }
}

fn find(name: &str) -> Result<Asked> {
    if let Some(task) = task::find(name) {
        return Ok(Asked::Labeled(task));
    }
    if let Some(task) = prompt::find(name) {
        return Ok(Asked::Prompt(task));
    }
    let labeled = task::ALL.iter().map(|task| task.name);
    let known: Vec<&str> = labeled.chain(prompt::ALL.iter().map(|task| task.name)).collect();
    let hint = nearest(name, known.iter().copied()).map(|near| format!("; did you mean {near}?"));
    bail!("unknown task {name:?}{}; known are {}", hint.unwrap_or_default(), known.join(", "));
}
