//! Healing and other training: the loss of every variant over its steps.

use super::lead;
use crate::report::chart::line::{self, Curve, Lines, POINTS};
use crate::report::chart::{Heading, Tone};
use crate::report::markup::Markup;
use crate::report::number::{grouped, significant};
use crate::report::{Lesson, Loss, Report};

/// The curves of a lone model.
const TRAINED: &str = "training";
const HELD_OUT: &str = "held out";

/// A loss that falls below this share of its start is drawn on a logarithmic scale.
const LOGARITHMIC: f64 = 0.3;

/// The curves, and where they began and ended.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    let trained = report.variants.iter().enumerate().filter(|(_, one)| !one.losses.is_empty());
    let placed = |losses: &[Loss]| losses.iter().map(|point| (point.step as f64, point.loss)).collect();
    let several = report.variants.len() > 1;
    let own = trained.clone().map(|(at, one)| Curve {
        name: if several { &one.name } else { TRAINED },
        tone: Tone::Variant(at),
        points: placed(&one.losses),
    });
    let mut curves: Vec<Curve<'_>> = own.collect();
    let watched = || trained.clone().filter(|(_, one)| !one.watched.is_empty());
    curves.extend(watched().map(|(at, one)| Curve {
        name: HELD_OUT,
        tone: Tone::Variant(report.variants.len() + at),
        points: placed(&one.watched),
    }));
    let words: Vec<String> = trained
        .clone()
        .filter_map(|(_, one)| {
            let (first, last) = (one.losses.first()?, one.losses.last()?);
            let (steps, from, to) = (grouped(last.step), significant(first.loss), significant(last.loss));
            Some(format!("{}: from {from} to {to} at step {steps}", one.name))
        })
        .chain(watched().filter_map(|(_, one)| {
            let (first, last) = (one.watched.first()?, one.watched.last()?);
            let (from, to) = (significant(first.loss), significant(last.loss));
            Some(format!("{HELD_OUT}: from {from} to {to}, measured {} times", one.watched.len()))
        }))
        .collect();
    let longest = trained.map(|(_, one)| one.losses.len()).max().unwrap_or(0);
    let mean = match longest.div_ceil(POINTS) {
        0 | 1 => String::new(),
        each => format!(" Each point is the mean of {each} recorded steps."),
    };
    let title = "Training loss.";
    let lower = match report.lesson {
        Lesson::Original => "Lower is closer to the original; the horizontal axis is the same for all forms.",
        Lesson::Text => "In nats a token; the held-out loss is that of text which no step learned from.",
        Lesson::Task => {
            "The task\u{2019}s own: cross-entropy of classes in nats, squared error of numbers; mean over a batch."
        }
    };
    let lead_text = format!("{lower}{mean}");
    let heading = Heading { id: "loss", title, lead: &lead_text, words: &words.join("; ") };
    let values = || curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.1));
    let least = values().fold(f64::INFINITY, f64::min);
    let log_y = least > 0.0 && least < LOGARITHMIC * values().fold(0.0, f64::max);
    let lines = Lines { x_label: "step", y_label: "loss", log_y, curves, marks: Vec::new() };
    if let Some(chart) = line::draw(&heading, &lines) {
        if report.heals() {
            page.put(&lead(
                "Healing is a short training in which the smaller model learns to give the original\u{2019}s \
                 answers again.",
            ));
        }
        page.inside("div", &[("class", "charts")], |page| {
            page.put(&chart);
            page.inside("div", &[("class", "aside")], |page| {
                page.element("p", &[], "First and last recorded loss:");
                page.inside("ul", &[], |page| {
                    for sentence in &words {
                        page.element("li", &[], sentence);
                    }
                });
            });
        });
    }
    page
}
