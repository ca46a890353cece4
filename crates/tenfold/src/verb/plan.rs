//! `tenfold plan`: what a recipe would do, weight by weight.

use super::{Verdict, print_json};
use crate::cli;
use crate::table::{Table, bytes, count, percent};
use crate::{model, screen};
use anyhow::Result;
use serde::Serialize;
use tenfold_recipe::memory::{self, PhaseMemory, RewriteMemory};
use tenfold_recipe::run::Opened;
use tenfold_recipe::{Plan, Recipe, Row};

/// Matches a recipe against its model and prints the plan.
///
/// # Errors
/// Faults of the recipe and of its model.
pub(crate) fn run(args: &cli::Plan) -> Result<Verdict> {
    let recipe = Recipe::read(&args.recipe)?;
    let Opened { model, waiting } = model::fetch_first(&recipe, &args.fetching)?.open(&recipe)?;
    let opened = Opened { model: recipe.headed(model)?, waiting };
    let plan = Plan::of(&recipe, &opened.outline())?;
    let memory = memory::phases(&recipe, &plan, &opened.model);
    let rewriting = memory::rewriting(&recipe, &plan, &opened.model)?;
    if args.output.json {
        print_json(&Planned { plan: &plan, rewriting, memory })?;
    } else {
        screen::print(&(text(&plan) + &rewriting_text(rewriting) + &memory_text(&memory)))?;
    }
    Ok(if plan.within_budget() == Some(false) { Verdict::CheckFailed } else { Verdict::Done })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Planned<'p> {
    #[serde(flatten)]
    plan: &'p Plan,
    #[serde(skip_serializing_if = "Option::is_none")]
    rewriting: Option<RewriteMemory>,
    memory: Vec<PhaseMemory>,
}

/// A line for rewriting layer by layer.
fn rewriting_text(memory: Option<RewriteMemory>) -> String {
    let Some(memory) = memory else { return String::new() };
    let RewriteMemory { standing, states, layer, moments, working, rewritten, peak, tokens } = memory;
    let [standing, states, layer, moments, working, rewritten, peak] =
        [standing, states, layer, moments, working, rewritten, peak].map(bytes);
    format!(
        "rewriting: about {peak} of memory at most (weights that stand {standing}, a layer {layer}, rewritten layers {rewritten}, hidden \
         states of {tokens} tokens {states}, moments {moments}, solving {working})\n"
    )
}

/// A line per phase.
fn memory_text(phases: &[PhaseMemory]) -> String {
    let line = |(at, phase): (usize, &PhaseMemory)| {
        let (held, parts) = (bytes(phase.peak), [phase.weights, phase.moments, phase.activations].map(bytes));
        format!(
            "phase {}: about {held} of memory at most (weights {}, optimizer {}, activations of {} tokens {})\n",
            at + 1,
            parts[0],
            parts[1],
            phase.tokens,
            parts[2]
        )
    };
    phases.iter().enumerate().map(line).collect()
}

/// The plan as a table: weights that change alike in every layer in one row, what stays in one row, totals.
pub(crate) fn text(plan: &Plan) -> String {
    let mut table = Table::new(&[
        "path",
        ">number",
        "shape",
        "from",
        "to",
        ">parameters",
        ">after",
        ">bytes kept",
        "trains",
    ]);
    let at_most = |exact: bool| if exact { "" } else { "≤ " };
    for group in groups(plan.rows.iter().filter(|row| !row.steps.is_empty())) {
        let (before, after) = group.parameters;
        table.row([
            group.pattern,
            group.number.to_string(),
            group.row.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
            group.row.from.clone(),
            group.row.to.clone(),
            count(before),
            format!("{}{}", at_most(group.row.exact), count(after)),
            percent(group.bytes.1, group.bytes.0),
            group.row.trains.clone(),
        ]);
    }
    let kept: Vec<&Row> = plan.rows.iter().filter(|row| row.steps.is_empty()).collect();
    if let Some(first) = kept.first() {
        let parameters = count(kept.iter().map(|row| row.parameters_before).sum());
        let trains =
            if kept.iter().all(|row| row.trains == first.trains) { first.trains.as_str() } else { "some" };
        let number = kept.len().to_string();
        table.row([
            "all others",
            &number,
            "",
            "as stored",
            "as stored",
            &parameters,
            &parameters,
            "100.0 %",
            trains,
        ]);
    }
    table.rule();
    let totals = &plan.totals;
    let after = format!("{}{}", at_most(totals.exact), count(totals.parameters_after));
    let share = percent(totals.bytes_after, totals.bytes_before);
    let number = totals.weights.to_string();
    table.row(["all weights", &number, "", "", "", &count(totals.parameters_before), &after, &share]);
    let size =
        format!("{} -> {}{}", bytes(totals.bytes_before), at_most(totals.exact), bytes(totals.bytes_after));
    let budget = plan.budget.map(|most| format!("; budget {} parameters", count(most))).unwrap_or_default();
    let change = format!("{} of {} weights change", totals.rewritten, totals.weights);
    let trained = match totals.trainable {
        0 => String::new(),
        trainable => format!("; {}{} parameters train", at_most(totals.exact), count(trainable)),
    };
    let notes: String = plan.notes.iter().map(|note| format!("note: {note}\n")).collect();
    format!("{}\nplan {}: {change}, {size}{budget}{trained}\n{notes}", table.render(), plan.name)
}

/// Weights that differ in nothing but numbers of their paths.
struct Group<'p> {
    pattern: String,
    number: usize,
    row: &'p Row,
    parameters: (usize, usize),
    bytes: (usize, usize),
}

fn groups<'p>(rows: impl Iterator<Item = &'p Row>) -> Vec<Group<'p>> {
    let mut groups: Vec<Group<'p>> = Vec::new();
    let alike = |a: &Row, b: &Row| {
        a.shape == b.shape && a.from == b.from && a.to == b.to && a.trains == b.trains && a.exact == b.exact
    };
    for row in rows {
        let pattern = numberless(&row.path);
        match groups.iter_mut().find(|group| group.pattern == pattern && alike(group.row, row)) {
            Some(group) => {
                group.number += 1;
                group.parameters.0 += row.parameters_before;
                group.parameters.1 += row.parameters_after;
                group.bytes.0 += row.bytes_before;
                group.bytes.1 += row.bytes_after;
            }
            None => {
                let parameters = (row.parameters_before, row.parameters_after);
                let bytes = (row.bytes_before, row.bytes_after);
                groups.push(Group { pattern, number: 1, row, parameters, bytes });
            }
        }
    }
    // A pattern that covers a single weight says less than the weight's own path.
    for group in groups.iter_mut().filter(|group| group.number == 1) {
        group.pattern.clone_from(&group.row.path);
    }
    groups
}

/// A path with `*` for every segment that is a number.
fn numberless(path: &str) -> String {
    let segment =
        |segment: &str| if segment.parse::<u64>().is_ok() { "*".to_owned() } else { segment.to_owned() };
    path.split('.').map(segment).collect::<Vec<_>>().join(".")
}
