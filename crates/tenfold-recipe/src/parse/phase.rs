//! A phase: an objective, what trains, and how.

use super::pretrain;
use super::reader::Reader;
use super::section::text_source;
use crate::default;
use crate::fault::Problem;
use crate::place::Located;
use crate::recipe::{
    Calibrate, Component, Group, Grow, Importance, Objective, Optimizer, OptimizerKind, Phase, Schedule,
    Selection, Squeeze,
};
use tenfold_eval::task;
use tenfold_tensor::Precision;
use tenfold_train::{Decay, ExpertOptions};
use tenfold_weight::Selector;

/// The objectives by name.
const OBJECTIVES: [(&str, Kind); 4] = [
    ("distill", Kind::Distill),
    ("language", Kind::Language),
    ("masked", Kind::Masked),
    ("task", Kind::Task),
];
/// The optimizers by name.
const OPTIMIZERS: [(&str, bool); 2] = [("adamw", false), ("lamb", true)];

#[derive(Clone, Copy)]
enum Kind {
    Distill,
    Language,
    Masked,
    Task,
}

/// One `[[phase]]`; nothing when a fault leaves no phase.
pub(super) fn phase(table: &Reader<'_>) -> Option<Phase> {
    let kind = table
        .need("objective", "what is minimized, \"distill\", \"language\", \"masked\" or \"task\"")
        .and_then(|entry| table.word("objective", "objective", entry, &OBJECTIVES));
    let objective = match kind {
        Some(Kind::Task) => labeled(table),
        Some(Kind::Distill) => Some(distill(table)),
        Some(Kind::Language) => Some(pretrain::language(table)),
        Some(Kind::Masked) => Some(pretrain::masked(table)),
        None => {
            // The keys of either are known, so that only the objective is reported.
            distill(table);
            pretrain::masked(table);
            let _ = table.get("task").and_then(|_| labeled(table));
            None
        }
    };
    let steps = table
        .need("steps", "the number of optimizer steps")
        .and_then(|entry| table.count_of("steps", entry, 1..=default::STEPS_LIMIT));
    let train = match table.get("train") {
        Some(entry) => table.selectors("train", entry),
        None => Selector::parse(default::TRAIN).ok().map(|all| vec![Located::from(all)]),
    };
    let optimizer = optimizer(table);
    let schedule = schedule(table, steps.unwrap_or(default::STEPS_LIMIT));
    let usual = match kind {
        Some(Kind::Task) => default::TASK_DROPOUT,
        _ => default::DISTILL_DROPOUT,
    };
    let dropout = table.number("dropout", "a number from 0 to below 1", |x| (0.0..1.0).contains(&x), usual);
    let words = Precision::ALL.map(|one| (one.word(), one));
    let precision =
        table.get("precision").and_then(|entry| table.word("precision", "precision", entry, &words));
    let gradient_checkpointing = table.flag("gradient-checkpointing", default::GRADIENT_CHECKPOINTING);
    // Only a task has a score to watch.
    let texts = matches!(kind, Some(Kind::Distill | Kind::Language | Kind::Masked));
    let watch = match kind {
        Some(Kind::Language | Kind::Masked) => pretrain::watch(table),
        // Where the objective is not known, neither is whether there is something to watch.
        None => {
            table.get("watch");
            None
        }
        _ => None,
    };
    let squeeze = if texts { None } else { squeeze(table) };
    let grow = if texts { None } else { grow(table) };
    if let (Some(_), Some(_), Some(entry)) = (&squeeze, &grow, table.get("grow")) {
        table.fault(entry.place, Problem::Exclusive { first: "squeeze", second: "grow" });
    }
    let calibrate = calibrate(table);
    let changing = if squeeze.is_some() { Some("squeeze") } else { grow.map(|_| "grow") };
    if let (Some(both), Some(first)) = (&calibrate, changing) {
        table.fault(both.place, Problem::Exclusive { first, second: "calibrate" });
    }
    let experts = experts(table);
    let gauge = table.count("gauge", 0..=default::GAUGE_LIMIT, default::GAUGE);
    let clip = table.number("clip", "a number of at least 0 (0: no clipping)", |x| x >= 0.0, default::CLIP);
    let checkpoint_every =
        table.count("checkpoint-every", 1..=default::STEPS_LIMIT, default::CHECKPOINT_EVERY);
    let groups: Vec<_> = table
        .tables("group", "[[phase.group]]")
        .iter()
        .map(|one| group(one, optimizer.weight_decay))
        .collect();
    table.finish();
    Some(Phase {
        objective: objective?,
        steps: steps?,
        watch,
        dropout,
        precision: precision.unwrap_or(default::PRECISION),
        gradient_checkpointing,
        squeeze,
        grow,
        calibrate,
        train: train?,
        optimizer,
        schedule,
        experts,
        gauge,
        clip: (clip > 0.0).then_some(clip),
        checkpoint_every,
        groups: groups.into_iter().collect::<Option<_>>()?,
    })
}

fn distill(table: &Reader<'_>) -> Objective {
    Objective::Distill {
        text: text_source(table),
        hidden: table.number("hidden", "a number of at least 0", |x| x >= 0.0, default::HIDDEN),
        tokens: tokens(table),
    }
}

pub(super) fn tokens(table: &Reader<'_>) -> usize {
    table.count("tokens", 1..=default::TOKENS_LIMIT, default::BATCH_TOKENS as u64) as usize
}

fn labeled(table: &Reader<'_>) -> Option<Objective> {
    let known: Vec<_> = task::ALL.iter().map(|task| (task.name, task)).collect();
    let task = table
        .need("task", "a task, such as \"mrpc@1\"")
        .and_then(|entry| table.word("task", "task", entry, &known));
    let batch = table.count("batch", 1..=default::EXAMPLES_LIMIT, default::BATCH_EXAMPLES as u64) as usize;
    let rows = table.get("rows").and_then(|entry| table.count_of("rows", entry, 1..=default::EXAMPLES_LIMIT));
    Some(Objective::Task { task: task?, batch, rows: rows.map(|rows| rows as usize) })
}

fn squeeze(table: &Reader<'_>) -> Option<Squeeze> {
    let table = table.table("squeeze", "squeeze")?;
    let share =
        |key, default| table.number(key, "a number above 0 and at most 1", |x| x > 0.0 && x <= 1.0, default);
    let (to, round) = (share("to", default::SQUEEZE_TO), share("round", default::SQUEEZE_ROUND));
    let gap = table.number("gap", "a number of at least 0", |x| x >= 0.0, default::SQUEEZE_GAP);
    let held_out = "a number above 0 and below 1";
    let held_out = table.number("held-out", held_out, |x| x > 0.0 && x < 1.0, default::HELD_OUT);
    table.finish();
    Some(Squeeze { to, round, gap, held_out })
}

fn grow(table: &Reader<'_>) -> Option<Grow> {
    let table = table.table("grow", "grow")?;
    let selections = Selection::ALL.map(|one| (one.word(), one));
    let select = table
        .need("select", "when weights are selected, \"static\" or \"dynamic\"")
        .and_then(|entry| table.word("select", "selection", entry, &selections));
    let usual = if select == Some(Selection::Static) { Importance::Zero } else { Importance::Taylor };
    let scores = Importance::ALL.map(|one| (one.word(), one));
    let score = table.get("score").and_then(|entry| table.word("score", "score", entry, &scores));
    let each = table.count("each", 1..=1000, default::GROW_EACH) as usize;
    let most = table
        .need("most", "how many weights of each kind become larger")
        .and_then(|entry| table.count_of("most", entry, 1..=1000));
    let share = "a number above 0 and at most 1";
    let until = table.number("until", share, |x| x > 0.0 && x <= 1.0, default::GROW_UNTIL);
    let rows = table.count("rows", 1..=default::EXAMPLES_LIMIT, default::GROW_ROWS) as usize;
    table.finish();
    Some(Grow { select: select?, score: score.unwrap_or(usual), each, most: most? as usize, until, rows })
}

fn calibrate(table: &Reader<'_>) -> Option<Calibrate> {
    let table = table.table("calibrate", "calibrate")?;
    let light = match table.get("light") {
        Some(entry) => table.selectors("light", entry),
        None => Selector::parse(default::LIGHT).ok().map(|all| vec![Located::from(all)]),
    };
    let mut found = Vec::new();
    if let Some(components) = table.table("components", "calibrate.components") {
        // Every key is a name.
        for (name, _, entry) in components.rest() {
            let select = components.selectors("components", entry)?;
            found.push(Component { name: name.to_owned(), select });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    table.finish();
    Some(Calibrate { light: light?, components: found, place: table.place() })
}

fn optimizer(table: &Reader<'_>) -> Optimizer {
    let mut found = Optimizer {
        kind: OptimizerKind::AdamW,
        rate: default::RATE,
        weight_decay: default::WEIGHT_DECAY,
        beta1: default::BETA1,
        beta2: default::BETA2,
        eps: default::EPS,
    };
    if let Some(table) = table.table("optimizer", "optimizer") {
        let kind = table.get("kind").and_then(|entry| table.word("kind", "optimizer", entry, &OPTIMIZERS));
        if kind == Some(true) {
            found.eps = default::LAMB_EPS;
            found.kind = lamb(&table);
        }
        let moment = |x: f64| (0.0..1.0).contains(&x);
        found.rate =
            table.number("lr", "a number above 0 and at most 10", |x| x > 0.0 && x <= 10.0, found.rate);
        found.weight_decay = decay(&table, found.weight_decay);
        found.beta1 = table.number("beta1", "a number from 0 to below 1", moment, found.beta1);
        found.beta2 = table.number("beta2", "a number from 0 to below 1", moment, found.beta2);
        found.eps = table.number("eps", "a number above 0 and at most 1", |x| x > 0.0 && x <= 1.0, found.eps);
        table.finish();
    }
    found
}

fn experts(table: &Reader<'_>) -> ExpertOptions {
    let mut found = ExpertOptions::default();
    if let Some(table) = table.table("experts", "experts") {
        let expected = "a number from 0 to 10";
        found.balance = table.number("balance", expected, |x| (0.0..=10.0).contains(&x), found.balance);
        let expected = "a number of at least 0 (0: no limit)";
        let capacity = table.number("capacity", expected, |x| x >= 0.0, 0.0);
        found.capacity = (capacity > 0.0).then_some(capacity);
        table.finish();
    }
    found
}

fn lamb(table: &Reader<'_>) -> OptimizerKind {
    let bias_correction = table.flag("bias-correction", default::BIAS_CORRECTION);
    let least_norm = table.number(
        "least-norm",
        "a number from 0 to 1e6",
        |x| (0.0..=1e6).contains(&x),
        default::LEAST_NORM,
    );
    let most = "a number above 0 and at most 1e6, not below least-norm";
    let most_norm =
        table.number("most-norm", most, |x| x > 0.0 && x >= least_norm && x <= 1e6, default::MOST_NORM);
    OptimizerKind::Lamb { bias_correction, least_norm, most_norm }
}

fn schedule(table: &Reader<'_>, steps: u64) -> Schedule {
    let mut found =
        Schedule { warmup: default::WARMUP.min(steps), decay: default::DECAY, floor: default::FLOOR };
    if let Some(table) = table.table("schedule", "schedule") {
        // The warm-up ends within the phase.
        found.warmup = table.count("warmup", 0..=steps, found.warmup);
        let words = Decay::ALL.map(|decay| (decay.word(), decay));
        let word = table.get("decay").and_then(|entry| table.word("decay", "decay", entry, &words));
        found.decay = word.unwrap_or(found.decay);
        found.floor =
            table.number("floor", "a number from 0 to 1", |x| (0.0..=1.0).contains(&x), found.floor);
        table.finish();
    }
    found
}

fn group(table: &Reader<'_>, inherited: f64) -> Option<Group> {
    let select =
        table.need("select", "a selector or a list of them").and_then(|e| table.selectors("select", e));
    let expected = "a number from 0 to 1000";
    let rate = table.number("rate", expected, |x| (0.0..=1000.0).contains(&x), default::GROUP_RATE);
    let weight_decay = decay(table, inherited);
    table.finish();
    Some(Group { select: select?, rate, weight_decay })
}

fn decay(table: &Reader<'_>, default: f64) -> f64 {
    table.number("weight-decay", "a number from 0 to 10", |x| (0.0..=10.0).contains(&x), default)
}
