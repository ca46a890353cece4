//! Sums and summaries over the rows of a plan.

use crate::report::number::{ABSENT, percent};
use crate::report::{Plan, PlanRow};
use std::collections::BTreeSet;

/// Sums over rows.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) bytes_before: u64,
    pub(super) bytes_after: u64,
}

impl Sums {
    pub(super) fn of<'a>(rows: impl IntoIterator<Item = &'a PlanRow>) -> Self {
        rows.into_iter().fold(Self::default(), |sum, row| Self {
            before: sum.before.saturating_add(row.parameters_before),
            after: sum.after.saturating_add(row.parameters_after),
            bytes_before: sum.bytes_before.saturating_add(row.bytes_before),
            bytes_after: sum.bytes_after.saturating_add(row.bytes_after),
        })
    }

    /// What is left of the bytes, as a percentage.
    pub(super) fn share(self) -> String {
        let (before, after) = (self.bytes_before, self.bytes_after);
        if before == 0 { ABSENT.to_owned() } else { percent(after as f64 / before as f64) }
    }
}

/// What was left as it is, and the whole model.
pub(super) fn totals(plan: &Plan) -> [Sums; 2] {
    let (kept, bytes) = (plan.kept_parameters, plan.kept_bytes);
    let kept = Sums { before: kept, after: kept, bytes_before: bytes, bytes_after: bytes };
    let rewritten = Sums::of(&plan.rows);
    let all = Sums {
        before: rewritten.before.saturating_add(kept.before),
        after: rewritten.after.saturating_add(kept.after),
        bytes_before: rewritten.bytes_before.saturating_add(kept.bytes_before),
        bytes_after: rewritten.bytes_after.saturating_add(kept.bytes_after),
    };
    [kept, all]
}

/// The different texts in order of appearance. Texts that differ only from their first number on are one kind
/// and are counted.
pub(super) fn kinds<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut found: Vec<(&str, BTreeSet<&str>)> = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        let kind = text.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or(text).trim();
        match found.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, all)) => _ = all.insert(text),
            None => found.push((kind, BTreeSet::from([text]))),
        }
    }
    let words = |(kind, all): &(&str, BTreeSet<&str>)| match all.first() {
        Some(only) if all.len() == 1 => (*only).to_owned(),
        _ => format!("{kind} ({} sizes)", all.len()),
    };
    found.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// Least and greatest as percentages.
pub(super) fn span(values: impl Iterator<Item = f64>) -> String {
    let finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let least = finite.iter().copied().fold(f64::INFINITY, f64::min);
    let most = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (least, most) =
        if finite.is_empty() { return ABSENT.to_owned() } else { (percent(least), percent(most)) };
    if least == most { most } else { format!("{least} to {most}") }
}
