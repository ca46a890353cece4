//! A recipe as text, every default spelled out.

use super::{
    Calibrate, Depth, Group, Grow, Learned, NewArchitecture, NewModel, Objective, OptimizerKind, Phase,
    Reading, Recipe, Squeeze, Step, Vocabulary, Watch,
};
use crate::place::Located;
use crate::text::TextSource;
use std::fmt::Write;
use tenfold_method::Value;
use tenfold_train::ExpertOptions;
use tenfold_weight::Selector;
use toml::Value as Toml;

/// The whole recipe.
pub(super) fn recipe(recipe: &Recipe) -> String {
    let mut out = Text::default();
    out.key("name", recipe.name.as_str());
    out.key("seed", integer(recipe.seed));
    out.head("[model]");
    if !recipe.from.is_empty() {
        out.key("from", texts(recipe.from.iter().map(ToString::to_string)));
    }
    if let Some(Depth { layers, copies }) = recipe.depth {
        out.key("layers", integer(layers));
        out.key("copies", copies.word());
    }
    if let Some(one) = &recipe.new {
        new(&mut out, one);
    }
    out.head("[calibration]");
    out.key("text", recipe.calibration.text.to_string());
    out.key("tokens", integer(recipe.calibration.tokens));
    out.key("order", recipe.calibration.order.word());
    out.key("streamed", recipe.calibration.streamed);
    for one in &recipe.steps {
        step(&mut out, "", one);
    }
    for one in &recipe.phases {
        phase(&mut out, "", one);
    }
    for one in &recipe.variants {
        out.head("[[variant]]");
        out.key("name", one.name.as_str());
        out.key("series", one.series.as_str());
        one.steps.iter().for_each(|one| step(&mut out, "variant.", one));
        one.phases.iter().for_each(|one| phase(&mut out, "variant.", one));
    }
    out.head("[eval]");
    out.key("tasks", texts(recipe.eval.tasks.iter().map(|task| task.name().to_owned())));
    out.key("text", recipe.eval.text.to_string());
    out.key("questions", integer(recipe.eval.questions));
    if let Some(shots) = recipe.eval.shots {
        out.key("shots", integer(shots));
    }
    if let Some(windows) = recipe.eval.windows {
        out.key("windows", integer(windows));
    }
    if let Some(share) = recipe.budget {
        out.head("[budget]");
        out.key("parameters", share);
    }
    out.0
}

fn new(out: &mut Text, model: &NewModel) {
    out.head("[model.new]");
    out.key("architecture", model.architecture.word());
    let mut learn = |kind: &str, from: &Learned| {
        out.key("vocabulary", kind);
        out.key("text", from.text.to_string());
        out.key("tokens", integer(from.tokens));
        out.key("lower-case", from.lower);
    };
    match &model.vocabulary {
        Vocabulary::WordPieces(from) => learn("wordpiece", from),
        Vocabulary::BytePairs(from) => learn("bpe", from),
        Vocabulary::Bytes => out.key("vocabulary", "bytes"),
        Vocabulary::Characters(text) => {
            out.key("vocabulary", "characters");
            out.key("text", text.to_string());
        }
        Vocabulary::Folder(folder) => out.key("vocabulary", format!("path:{}", folder.display())),
    }
    let sizes = [
        ("width", model.width),
        ("hidden", model.hidden),
        ("layers", model.layers),
        ("heads", model.heads),
        ("positions", model.positions),
    ];
    for (key, size) in sizes {
        out.key(key, integer(size));
    }
    match model.architecture {
        NewArchitecture::Bert => {}
        NewArchitecture::Gpt2 { tied } => out.key("tied", tied),
        NewArchitecture::Llama { key_heads, tied } => {
            out.key("key-heads", integer(key_heads));
            out.key("tied", tied);
        }
        NewArchitecture::T5 { decoder_layers, gated, tied } => {
            out.key("decoder-layers", integer(decoder_layers));
            out.key("gated", gated);
            out.key("tied", tied);
        }
    }
}

/// Steps and phases stand at the top, or in the list that `within` names with a dot.
fn step(out: &mut Text, within: &str, step: &Step) {
    out.head(&format!("[[{within}step]]"));
    out.key("method", step.method.name);
    out.key("select", selectors(&step.select));
    if !step.except.is_empty() {
        out.key("except", selectors(&step.except));
    }
    for (key, value) in &step.options.0 {
        out.key(key, option(value));
    }
}

fn phase(out: &mut Text, within: &str, phase: &Phase) {
    out.head(&format!("[[{within}phase]]"));
    match &phase.objective {
        Objective::Distill { text, hidden, tokens } => {
            out.key("objective", "distill");
            out.key("text", text.to_string());
            out.key("hidden", *hidden);
            out.key("tokens", integer(*tokens));
        }
        Objective::Language { text, reading, tokens } => {
            out.key("objective", "language");
            plain(out, text, *reading, *tokens);
        }
        Objective::Masked { text, reading, masking, order, tokens } => {
            out.key("objective", "masked");
            plain(out, text, *reading, *tokens);
            out.key("chosen", masking.chosen);
            out.key("masked", masking.masked);
            out.key("random", masking.random);
            out.key("whole-words", masking.whole);
            out.key("order", *order);
        }
        Objective::Task { task, batch, rows } => {
            out.key("objective", "task");
            out.key("task", task.name);
            out.key("batch", integer(*batch));
            if let Some(rows) = rows {
                out.key("rows", integer(*rows));
            }
        }
    }
    out.key("steps", integer(phase.steps));
    out.key("dropout", phase.dropout);
    out.key("precision", phase.precision.word());
    out.key("gradient-checkpointing", phase.gradient_checkpointing);
    out.key("train", selectors(&phase.train));
    let (optimizer, schedule) = (&phase.optimizer, &phase.schedule);
    let (kind, own): (_, Vec<(&str, Toml)>) = match optimizer.kind {
        OptimizerKind::AdamW => ("adamw", Vec::new()),
        OptimizerKind::Lamb { bias_correction, least_norm, most_norm } => (
            "lamb",
            vec![
                ("bias-correction", bias_correction.into()),
                ("least-norm", least_norm.into()),
                ("most-norm", most_norm.into()),
            ],
        ),
    };
    let all = [
        ("kind", kind.into()),
        ("lr", optimizer.rate.into()),
        ("weight-decay", optimizer.weight_decay.into()),
        ("beta1", optimizer.beta1.into()),
        ("beta2", optimizer.beta2.into()),
        ("eps", optimizer.eps.into()),
    ];
    out.inline("optimizer", &all.into_iter().chain(own).collect::<Vec<_>>());
    out.inline(
        "schedule",
        &[
            ("warmup", integer(schedule.warmup)),
            ("decay", schedule.decay.word().into()),
            ("floor", schedule.floor.into()),
        ],
    );
    let ExpertOptions { balance, capacity } = phase.experts;
    out.inline("experts", &[("balance", balance.into()), ("capacity", capacity.unwrap_or(0.0).into())]);
    out.key("gauge", integer(phase.gauge));
    out.key("clip", phase.clip.unwrap_or(0.0));
    out.key("checkpoint-every", integer(phase.checkpoint_every));
    if let Some(Watch { text, every, tokens }) = &phase.watch {
        let (text, every, tokens) = (text.to_string().into(), integer(*every), integer(*tokens));
        out.inline("watch", &[("text", text), ("every", every), ("tokens", tokens)]);
    }
    if let Some(squeeze) = &phase.squeeze {
        let Squeeze { to, round, gap, held_out } = *squeeze;
        let pairs = [("to", to), ("round", round), ("gap", gap), ("held-out", held_out)];
        out.inline("squeeze", &pairs.map(|(key, value)| (key, value.into())));
    }
    if let Some(grow) = &phase.grow {
        let Grow { select, score, each, most, until, rows } = *grow;
        out.inline(
            "grow",
            &[
                ("select", select.word().into()),
                ("score", score.word().into()),
                ("each", integer(each)),
                ("most", integer(most)),
                ("until", until.into()),
                ("rows", integer(rows)),
            ],
        );
    }
    if let Some(Calibrate { light, components, .. }) = &phase.calibrate {
        let mut table = toml::Table::new();
        let select = |one: &super::Component| (one.name.clone(), selectors(&one.select));
        table.extend(components.iter().map(select));
        out.inline("calibrate", &[("light", selectors(light)), ("components", Toml::Table(table))]);
    }
    for one in &phase.groups {
        group(out, within, one);
    }
}

/// What plain texts become.
fn plain(out: &mut Text, text: &TextSource, reading: Reading, tokens: usize) {
    out.key("text", text.to_string());
    out.key("packed", reading.packed);
    out.key("shuffle", integer(reading.shuffle));
    out.key("broken", reading.broken.word());
    out.key("tokens", integer(tokens));
}

fn group(out: &mut Text, within: &str, group: &Group) {
    out.head(&format!("[[{within}phase.group]]"));
    out.key("select", selectors(&group.select));
    out.key("rate", group.rate);
    out.key("weight-decay", group.weight_decay);
}

fn selectors(list: &[Located<Selector>]) -> Toml {
    texts(list.iter().map(|one| one.value.as_str().to_owned()))
}

fn texts(list: impl Iterator<Item = String>) -> Toml {
    Toml::Array(list.map(Toml::String).collect())
}

/// Counts in recipes are read from TOML integers, so they fit back into one.
fn integer(count: impl TryInto<i64>) -> Toml {
    Toml::Integer(count.try_into().unwrap_or(i64::MAX))
}

fn option(value: &Value) -> Toml {
    match value {
        Value::Integer(value) => Toml::Integer(*value),
        Value::Float(value) => Toml::Float(*value),
        Value::Text(value) => Toml::String(value.clone()),
        Value::Flag(value) => Toml::Boolean(*value),
        Value::Integers(values) => Toml::Array(values.iter().copied().map(Toml::Integer).collect()),
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, head: &str) {
        self.line(format_args!("\n{head}"));
    }

    fn key(&mut self, key: &str, value: impl Into<Toml>) {
        self.line(format_args!("{key} = {}", value.into()));
    }

    fn inline(&mut self, key: &str, pairs: &[(&str, Toml)]) {
        let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        self.line(format_args!("{key} = {{ {} }}", pairs.join(", ")));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}
