//! What was seen of routers and layers over training.

use super::{folded, lead};
use crate::report::Report;
use crate::report::chart::line::{self, Curve, Lines};
use crate::report::chart::{Heading, Tone};
use crate::report::markup::Markup;
use crate::report::number::significant;
use crate::result::{GaugeResult, RouterResult, UpdateResult};

/// Routers that are shown at once; the others are folded.
const SHOWN: usize = 4;

/// The charts of every phase that had something to see.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    for (phase, GaugeResult { routers, updates }) in report.gauges.iter().enumerate() {
        if !routers.is_empty() {
            page.put(&lead(
                "Where routers sent the tokens: the share of all choices that fell on every expert. Even use would be one over their \
                 number.",
            ));
            let (first, rest) = routers.split_at(routers.len().min(SHOWN));
            page.put(&charts(phase, first, 0));
            if !rest.is_empty() {
                page.put(&folded(&format!("{} more routers", rest.len()), &charts(phase, rest, SHOWN)));
            }
            if let Some(chart) = balances(phase, routers) {
                page.inside("div", &[("class", "charts")], |page| _ = page.put(&chart));
            }
        }
        if let Some(chart) = depths(phase, updates) {
            page.put(&lead(
                "How far one step moved the matrices of every layer, multiplied out, relative to their size.",
            ));
            page.inside("div", &[("class", "charts")], |page| _ = page.put(&chart));
        }
    }
    page
}

fn points(steps: &[u64], values: impl Iterator<Item = f64>) -> Vec<(f64, f64)> {
    steps.iter().map(|step| *step as f64).zip(values).collect()
}

fn charts(phase: usize, routers: &[RouterResult], before: usize) -> Markup {
    let mut page = Markup::new();
    page.inside("div", &[("class", "charts")], |page| {
        for (at, router) in routers.iter().enumerate() {
            if let Some(chart) = shares(phase, before + at, router) {
                page.put(&chart);
            }
        }
    });
    page
}

/// The share of every expert.
fn shares(phase: usize, at: usize, router: &RouterResult) -> Option<Markup> {
    let last = router.shares.last()?;
    let most = last.iter().copied().fold(0.0, f64::max);
    let least = last.iter().copied().fold(1.0, f64::min);
    let dropped = router.dropped.iter().sum::<f64>() / router.dropped.len().max(1) as f64;
    let gone = if dropped > 0.0 {
        format!("; {} of all choices found their expert full", significant(dropped))
    } else {
        String::new()
    };
    let words = format!("at the end from {} to {}{gone}", significant(least), significant(most));
    let heading =
        Heading { id: &format!("router-{phase}-{at}"), title: &router.path, lead: "", words: &words };
    let names: Vec<String> = (0..last.len()).map(|expert| format!("expert {expert}")).collect();
    let curves = names.iter().enumerate().map(|(expert, name)| Curve {
        name,
        tone: Tone::Variant(expert),
        points: points(
            &router.steps,
            router.shares.iter().map(|all| all.get(expert).copied().unwrap_or(0.0)),
        ),
    });
    let (x_label, y_label) = ("step", "share of choices");
    line::draw(
        &heading,
        &Lines { x_label, y_label, log_y: false, curves: curves.collect(), marks: Vec::new() },
    )
}

/// The first, the middle and the last of several.
fn some<T>(all: &[T]) -> Vec<&T> {
    let mut places = vec![0, all.len() / 2, all.len().saturating_sub(1)];
    places.dedup();
    places.into_iter().filter_map(|at| all.get(at)).collect()
}

fn balances(phase: usize, routers: &[RouterResult]) -> Option<Markup> {
    let mean = |router: &RouterResult| router.balance.last().copied().unwrap_or(0.0);
    let last = routers.iter().map(mean).fold(0.0, f64::max);
    let heading = Heading {
        id: &format!("balance-{phase}"),
        title: "Balance of routers.",
        lead: "1 where experts are used evenly, their number where one is used alone.",
        words: &format!("at the end at most {}", significant(last)),
    };
    let curves = some(routers).into_iter().enumerate().map(|(at, router)| Curve {
        name: &router.path,
        tone: Tone::Variant(at),
        points: points(&router.steps, router.balance.iter().copied()),
    });
    let (x_label, y_label) = ("step", "balance");
    line::draw(
        &heading,
        &Lines { x_label, y_label, log_y: false, curves: curves.collect(), marks: Vec::new() },
    )
}

/// Updates over depth.
fn depths(phase: usize, updates: &[UpdateResult]) -> Option<Markup> {
    let last = updates.last()?;
    let (first, deepest) = last.layers.first().zip(last.layers.last())?;
    let words = format!(
        "at step {}: {} in the first layer, {} in the last",
        last.step,
        significant(*first),
        significant(*deepest)
    );
    let heading =
        Heading { id: &format!("updates-{phase}"), title: "Updates over depth.", lead: "", words: &words };
    let names: Vec<(String, &UpdateResult)> =
        some(updates).into_iter().map(|one| (format!("step {}", one.step), one)).collect();
    let curves = names.iter().enumerate().map(|(at, (name, one))| Curve {
        name,
        tone: Tone::Variant(at),
        points: one.layers.iter().enumerate().map(|(layer, moved)| (layer as f64, *moved)).collect(),
    });
    let (x_label, y_label) = ("layer", "relative change in a step");
    line::draw(
        &heading,
        &Lines { x_label, y_label, log_y: true, curves: curves.collect(), marks: Vec::new() },
    )
}
