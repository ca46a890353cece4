//! Calibration: stable ranks, largest singular values and switches over training.

use super::lead;
use crate::report::chart::line::{self, Curve, Lines};
use crate::report::chart::{Heading, Tone};
use crate::report::markup::Markup;
use crate::report::number::significant;
use crate::report::{Calibrated, Calibration, Report};

/// The charts of every phase that calibrated.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    for (phase, one) in report.calibrations.iter().enumerate() {
        page.put(&lead(&one.words));
        page.inside("div", &[("class", "charts")], |page| {
            for (at, component) in one.components.iter().enumerate() {
                for chart in
                    [sums(phase, at, component), difference(phase, at, component)].into_iter().flatten()
                {
                    page.put(&chart);
                }
            }
            if let Some(chart) = tops(phase, one) {
                page.put(&chart);
            }
        });
    }
    page
}

fn points(component: &Calibrated, values: &[f64]) -> Vec<(f64, f64)> {
    component.steps.iter().map(|step| *step as f64).zip(values.iter().copied()).collect()
}

fn marks(component: &Calibrated) -> Vec<(f64, String)> {
    component.switched.iter().map(|step| (*step as f64, "switch".to_owned())).collect()
}

/// Both sums over the steps.
fn sums(phase: usize, at: usize, component: &Calibrated) -> Option<Markup> {
    let first_last = |values: &[f64]| {
        let (first, last) = values.first().zip(values.last())?;
        Some(format!("from {} to {}", significant(*first), significant(*last)))
    };
    let words = first_last(&component.full)?;
    let title = format!("Total stable rank of {}.", component.name);
    let heading = Heading {
        id: &format!("stable-rank-{phase}-{at}"),
        title: &title,
        lead: "Sum over the matrices at every probe, with the light part of the update alone and with all of it. \
               After the switch they are one.",
        words: &words,
    };
    let curves = vec![
        Curve { name: "full", tone: Tone::Variant(0), points: points(component, &component.full) },
        Curve { name: "light", tone: Tone::Variant(1), points: points(component, &component.light) },
    ];
    let (x_label, y_label) = ("step", "total stable rank");
    line::draw(&heading, &Lines { x_label, y_label, log_y: false, curves, marks: marks(component) })
}

/// What the votes look at: the sums lie too close to be told apart in one chart.
fn difference(phase: usize, at: usize, component: &Calibrated) -> Option<Markup> {
    let pairs = component.full.iter().zip(&component.light);
    let differences: Vec<f64> = pairs.map(|(full, light)| full - light).collect();
    let votes: Vec<String> = component
        .votes
        .iter()
        .map(|(step, share)| format!("{} at step {step}", significant(*share)))
        .collect();
    let title = format!("Full less light, {}.", component.name);
    let heading = Heading {
        id: &format!("votes-{phase}-{at}"),
        title: &title,
        lead: "Above 0 a probe votes for going light. The rest of the step is what raised the stable rank then.",
        words: &format!("votes: {}", votes.join(", ")),
    };
    let curves = vec![Curve {
        name: "full \u{2212} light",
        tone: Tone::Variant(2),
        points: points(component, &differences),
    }];
    let (x_label, y_label) = ("step", "difference of the sums");
    line::draw(&heading, &Lines { x_label, y_label, log_y: false, curves, marks: marks(component) })
}

/// The largest singular values, one curve for each component.
fn tops(phase: usize, one: &Calibration) -> Option<Markup> {
    let words: Vec<String> = one
        .components
        .iter()
        .filter_map(|component| {
            let (first, last) = component.mean_top.first().zip(component.mean_top.last())?;
            Some(format!("{}: from {} to {}", component.name, significant(*first), significant(*last)))
        })
        .collect();
    let heading = Heading {
        id: &format!("top-{phase}"),
        title: "Largest singular value.",
        lead: "Mean over the matrices of each component, after every probe, as a multiple of that at the first one.",
        words: &words.join("; "),
    };
    let curve = |(at, component): (usize, &Calibrated)| Curve {
        name: "",
        tone: Tone::Variant(at),
        points: points(component, &relative(&component.mean_top)),
    };
    let mut curves: Vec<Curve<'_>> = one.components.iter().enumerate().map(curve).collect();
    curves.iter_mut().zip(&one.components).for_each(|(curve, component)| curve.name = &component.name);
    let marks = one.components.iter().flat_map(marks).collect();
    let (x_label, y_label) = ("step", "multiple of the first");
    line::draw(&heading, &Lines { x_label, y_label, log_y: false, curves, marks })
}

/// Components differ in size far more than training changes any of them.
fn relative(values: &[f64]) -> Vec<f64> {
    let first = values.first().copied().unwrap_or(0.0);
    if first == 0.0 { Vec::new() } else { values.iter().map(|value| value / first).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, switched: Option<u64>) -> Calibrated {
        Calibrated {
            name: name.to_owned(),
            switched,
            steps: vec![24, 49, 74],
            light: vec![30.0, 29.5, 29.0],
            full: vec![30.1, 29.4, 29.2],
            mean_top: vec![4.0, 4.1, 4.3],
            votes: vec![(74, 2.0 / 3.0)],
        }
    }

    #[test]
    fn sums_votes_and_switches_are_drawn() {
        let calibration = Calibration {
            words: "Two components.".to_owned(),
            components: vec![component("attention", Some(74)), component("ffn", None)],
        };
        let html = draw(&Report { calibrations: vec![calibration], ..Report::default() }).into_string();
        assert_eq!(html.matches("<svg").count(), 5);
        // In both charts of the one that switched, and in that of all.
        assert_eq!(html.matches(">switch</text>").count(), 3);
        for shown in [
            "Two components.",
            "Total stable rank of attention.",
            "Largest singular value.",
            "0.667 at step 74",
        ] {
            assert!(html.contains(shown), "{shown}: {html}");
        }
    }

    #[test]
    fn nothing_to_show_leaves_nothing() {
        assert!(draw(&Report::default()).is_empty());
        let empty = Calibrated {
            steps: vec![],
            light: vec![],
            full: vec![],
            mean_top: vec![],
            ..component("a", None)
        };
        let calibration = Calibration { words: "None.".to_owned(), components: vec![empty] };
        let html = draw(&Report { calibrations: vec![calibration], ..Report::default() }).into_string();
        assert!(!html.contains("<svg"));
    }
}
