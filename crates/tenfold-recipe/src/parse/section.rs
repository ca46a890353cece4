//! The tables that a recipe has once: the top level, model, calibration, eval, budget.

use super::reader::Reader;
use super::{RECEIPT, new, phase, step, variant};
use crate::default;
use crate::fault::Problem;
use crate::recipe::{Calibration, Depth, Eval, NewModel, Order, Recipe, Task};
use crate::text::TextSource;
use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;
use tenfold_format::config::LAYERS_LIMIT;
use tenfold_format::source::Source;
use tenfold_model::Copies;

/// The largest seed: TOML integers are signed.
const SEED_LIMIT: u64 = i64::MAX as u64;

/// The whole recipe; nothing when a fault was noted that leaves no recipe.
pub(super) fn recipe(path: &Path, root: &Reader<'_>) -> Option<Recipe> {
    let name = name(root);
    let seed = root.count("seed", 0..=SEED_LIMIT, default::SEED);
    let model = match root.table("model", "[model]") {
        Some(table) => model(&table),
        None => {
            // A value of another type under this key has been reported already.
            if root.get("model").is_none() {
                root.need("model", "a table [model] with from = \"hf:owner/name\", or [model.new]");
            }
            None
        }
    };
    let (from, new, depth) = match model {
        Some((from, new, depth)) => (Some(from), Some(new), depth),
        None => (None, None, None),
    };
    let calibration = calibration(root);
    let steps: Vec<_> = root.tables("step", "[[step]]").iter().map(step::step).collect();
    let phases: Vec<_> = root.tables("phase", "[[phase]]").iter().map(phase::phase).collect();
    let variants = variant::variants(root);
    let eval = eval(root);
    let budget = budget(root);
    let hashes = hashes(root);
    root.finish();
    Some(Recipe {
        path: path.to_owned(),
        name: name?,
        seed,
        from: from?,
        new: new?,
        depth,
        calibration,
        steps: steps.into_iter().collect::<Option<_>>()?,
        phases: phases.into_iter().collect::<Option<_>>()?,
        variants: variants?,
        eval,
        budget,
        hashes,
    })
}

fn name(root: &Reader<'_>) -> Option<String> {
    let name = root.text("name", root.need("name", "a text, the name of its runs")?)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = (1..=default::NAME_LIMIT).contains(&name.value.len())
        && name.value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.value.chars().all(plain);
    if !fits {
        let expected = format!(
            "1 to {} letters, digits, '-', '_' and '.', beginning with a letter or digit: runs are kept in a folder \
             of that name",
            default::NAME_LIMIT
        );
        let (key, got) = ("name".to_owned(), format!("{:?}", name.value));
        root.fault(name.place, Problem::OutOfRange { key, expected, got });
    }
    fits.then(|| name.value.to_owned())
}

/// The sources of a model and the depth that it is given, or how a new one begins.
fn model(table: &Reader<'_>) -> Option<(Vec<Source>, Option<NewModel>, Option<Depth>)> {
    if let Some(inner) = table.table("new", "[model.new]") {
        if let Some(entry) = table.get("from") {
            table.fault(entry.place, Problem::TwoModels);
        }
        table.finish();
        return Some((Vec::new(), Some(new::new(&inner)?), None));
    }
    // A value of another type under this key has been reported already.
    if table.get("new").is_some() {
        return None;
    }
    let depth = depth(table);
    Some((sources(table)?, None, depth))
}

fn depth(table: &Reader<'_>) -> Option<Depth> {
    let words = Copies::ALL.map(|one| (one.word(), one));
    let copies = table.get("copies").map(|entry| table.word("copies", "order of copies", entry, &words));
    let entry = match copies {
        Some(_) => table.need("layers", "the number of layers that copies are for")?,
        None => table.get("layers")?,
    };
    let layers = table.count_of("layers", entry, 1..=LAYERS_LIMIT as u64)?;
    Some(Depth { layers: layers as usize, copies: copies.flatten().unwrap_or(default::COPIES) })
}

fn sources(table: &Reader<'_>) -> Option<Vec<Source>> {
    let from = table.need("from", "a source or a list of them, such as \"hf:owner/name\" or \"path:FOLDER\"");
    let texts = from.and_then(|entry| table.texts("from", entry));
    table.finish();
    let parse = |text: crate::place::Located<&str>| match Source::from_str(text.value) {
        Ok(source) => Some(source),
        Err(error) => {
            table.fault(text.place, Problem::Source(Box::new(error)));
            None
        }
    };
    Some(texts?.into_iter().filter_map(parse).collect())
}

fn calibration(root: &Reader<'_>) -> Calibration {
    let mut found = Calibration {
        text: TextSource::Shipped,
        tokens: default::CALIBRATION_TOKENS,
        order: default::ORDER,
        streamed: default::STREAMED,
    };
    if let Some(table) = root.table("calibration", "[calibration]") {
        found.text = text_source(&table);
        found.tokens = table.count("tokens", 1..=default::TOKENS_LIMIT, found.tokens as u64) as usize;
        let orders = Order::ALL.map(|one| (one.word(), one));
        let order = table.get("order").and_then(|entry| table.word("order", "order", entry, &orders));
        found.order = order.unwrap_or(found.order);
        found.streamed = table.flag("streamed", found.streamed);
        if let Some(entry) = table.get("streamed").filter(|_| found.streamed) {
            let others = ["phase", "variant"].into_iter().filter(|key| root.get(key).is_some());
            for problem in streaming(found.order, others) {
                table.fault(entry.place, problem);
            }
        }
        table.finish();
    }
    found
}

/// What weights that wait in their file exclude.
fn streaming(order: Order, others: impl Iterator<Item = &'static str>) -> Vec<Problem> {
    let whole = (order == Order::AtOnce).then_some(Problem::StreamedAtOnce);
    whole.into_iter().chain(others.map(|key| Problem::Streamed { key })).collect()
}

fn eval(root: &Reader<'_>) -> Eval {
    let table = root.table("eval", "[eval]");
    let known: Vec<_> = Task::all().into_iter().map(|task| (task.name(), task)).collect();
    let listed = table.as_ref().and_then(|table| Some((table, table.get("tasks")?)));
    let tasks = match listed {
        Some((table, entry)) => {
            let texts = table.texts("tasks", entry).unwrap_or_default();
            texts.into_iter().filter_map(|text| table.word_at("task", text, &known)).collect()
        }
        None => default::TASKS.iter().filter_map(|name| Task::parse(name)).collect(),
    };
    let text = table.as_ref().map(text_source).unwrap_or_default();
    let mut found = Eval { tasks, text, questions: default::QUESTIONS, shots: None, windows: None };
    if let Some(table) = table {
        let usual = default::QUESTIONS as u64;
        found.questions = table.count("questions", 1..=default::EXAMPLES_LIMIT, usual) as usize;
        let shots = table.get("shots").and_then(|entry| table.count_of("shots", entry, 0..=1000));
        found.shots = shots.map(|shots| shots as usize);
        let limit = 2..=default::TOKENS_LIMIT;
        let windows = table.get("windows").and_then(|entry| table.count_of("windows", entry, limit));
        found.windows = windows.map(|windows| windows as usize);
        table.finish();
    }
    found
}

fn budget(root: &Reader<'_>) -> Option<f64> {
    let table = root.table("budget", "[budget]")?;
    let expected =
        format!("a share of the tree's stored parameters, above 0 and at most {}", default::BUDGET_LIMIT);
    if table.need("parameters", &expected).is_none() {
        table.finish();
        return None;
    }
    let share = table.number("parameters", &expected, |x| x > 0.0 && x <= default::BUDGET_LIMIT, 1.0);
    table.finish();
    Some(share)
}

/// The key `text` of a table.
pub(super) fn text_source(table: &Reader<'_>) -> TextSource {
    let Some(text) = table.get("text").and_then(|entry| table.text("text", entry)) else {
        return TextSource::Shipped;
    };
    TextSource::parse(text.value).unwrap_or_else(|| {
        let (key, got) = ("text".to_owned(), format!("{:?}", text.value));
        let expected = "\"shipped\", \"path:FILE\" or \"lab:LINES\"".to_owned();
        table.fault(text.place, Problem::OutOfRange { key, expected, got });
        TextSource::Shipped
    })
}

/// The hashes of a receipt. The rest of that table is no part of the recipe and is not looked at.
fn hashes(root: &Reader<'_>) -> BTreeMap<String, String> {
    let receipt = root.get(RECEIPT).and_then(|entry| entry.value.as_table());
    let hashes = receipt.and_then(|table| table.get("hashes")).and_then(|value| value.get_ref().as_table());
    let text = |(key, value): (&toml::Spanned<_>, &toml::Spanned<toml::de::DeValue<'_>>)| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        Some((key.to_string(), value.get_ref().as_str()?.to_owned()))
    };
    hashes.into_iter().flat_map(|table| table.iter().filter_map(text)).collect()
}
