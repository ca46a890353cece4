//! Phases that learn from plain text: how it is read, what is hidden in it, what is watched.

use super::phase::tokens;
use super::reader::{Reader, number_of};
use super::section::text_source;
use crate::default;
use crate::fault::Problem;
use crate::recipe::{Objective, Reading, Watch};
use crate::text::Broken;
use tenfold_eval::Masking;

/// The objective `language`.
pub(super) fn language(table: &Reader<'_>) -> Objective {
    Objective::Language { text: text_source(table), reading: reading(table), tokens: tokens(table) }
}

/// The objective `masked`.
pub(super) fn masked(table: &Reader<'_>) -> Objective {
    let (text, reading, tokens) = (text_source(table), reading(table), tokens(table));
    let share = |key, usual| table.number(key, "a number from 0 to 1", |x| (0.0..=1.0).contains(&x), usual);
    let usual = Masking::default();
    let chosen =
        table.number("chosen", "a number above 0 and at most 1", |x| x > 0.0 && x <= 1.0, usual.chosen);
    let (masked, random) = (share("masked", usual.masked), share("random", usual.random));
    if masked + random > 1.0
        && let Some(entry) = table.get("random").or_else(|| table.get("masked"))
    {
        let (key, got) = ("masked + random".to_owned(), format!("{}", masked + random));
        let expected = "at most 1: what is left of the chosen tokens stays as it is".to_owned();
        table.fault(entry.place, Problem::OutOfRange { key, expected, got });
    }
    let whole = table.flag("whole-words", usual.whole);
    let order = order(table);
    if order > 0.0
        && reading.packed
        && let Some(entry) = table.get("order")
    {
        table.fault(entry.place, Problem::Exclusive { first: "packed", second: "order" });
    }
    Objective::Masked { text, reading, masking: Masking { chosen, masked, random, whole }, order, tokens }
}

/// `true`, `false` or the weight of the term.
fn order(table: &Reader<'_>) -> f64 {
    let Some(entry) = table.get("order") else { return default::ORDER_WEIGHT };
    if number_of(entry.value).is_none() {
        return if table.flag("order", false) { 1.0 } else { 0.0 };
    }
    table.number("order", "true, false or a number of at least 0", |x| x >= 0.0, default::ORDER_WEIGHT)
}

fn reading(table: &Reader<'_>) -> Reading {
    let words = Broken::ALL.map(|one| (one.word(), one));
    let broken = table.get("broken").and_then(|entry| table.word("broken", "treatment", entry, &words));
    Reading {
        packed: table.flag("packed", default::PACKED),
        shuffle: table.count("shuffle", 1..=default::SHUFFLE_LIMIT, default::SHUFFLE) as usize,
        broken: broken.unwrap_or_default(),
    }
}

/// `watch`, of a phase that learns from plain text.
pub(super) fn watch(table: &Reader<'_>) -> Option<Watch> {
    let table = table.table("watch", "watch")?;
    let text = text_source(&table);
    let every = table
        .need("every", "the number of steps between two measurements")
        .and_then(|entry| table.count_of("every", entry, 1..=default::STEPS_LIMIT));
    let tokens = table.count("tokens", 1..=default::TOKENS_LIMIT, default::WATCH_TOKENS as u64) as usize;
    table.finish();
    Some(Watch { text, every: every?, tokens })
}
