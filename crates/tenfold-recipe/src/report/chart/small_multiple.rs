//! Small multiples: the spectrum of every matrix before and after, on one logarithmic scale.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, TYPE};
use super::{Heading, Tone};
use crate::report::markup::Markup;
use crate::report::path::tail;
use std::ops::Range;

/// Size of a panel in its own units: a quarter of a wide screen, half of a narrow one.
const SIZE: (f64, f64) = (218.0, 150.0);

/// Points per line; longer spectra are thinned, ends kept.
const POINTS: usize = 80;

/// Letters of a panel's name.
const LABEL: usize = 30;

/// Decades below the largest value that are shown: the rest is rounding.
const DECADES: f64 = 1e-6;

/// One panel.
pub(crate) struct Panel<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Singular values before, falling.
    pub(crate) before: &'a [f64],
    /// Singular values after, falling.
    pub(crate) after: &'a [f64],
    /// How many were kept.
    pub(crate) cut: Option<u64>,
}

/// The panels `shown` on the scale of `all`. Each is a drawing of its own, so that as many stand side by side
/// as there is room for. Nothing when there is none, or no value can be drawn.
pub(crate) fn draw(all: &[Panel<'_>], shown: Range<usize>) -> Option<Markup> {
    let panels = all.get(shown.clone()).filter(|panels| !panels.is_empty())?;
    let values = || all.iter().flat_map(|panel| panel.before.iter().chain(panel.after)).copied();
    let largest = values().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let scale = Axis::log(values().filter(|value| *value >= largest * DECADES), 3)?;
    let mut page = Markup::new();
    page.inside("div", &[("class", "panels")], |page| {
        for (at, panel) in shown.zip(panels) {
            page.put(&one(&format!("spectrum-{at}"), panel, &scale));
        }
    });
    Some(page)
}

fn one(id: &str, panel: &Panel<'_>, scale: &Axis) -> Markup {
    let (left, right, top, bottom) = (36.0, SIZE.0 - 8.0, TYPE + 10.0, SIZE.1 - TYPE - 8.0);
    let most = panel.before.len().max(panel.after.len());
    let column = |at: usize| left + at as f64 / (most.max(2) - 1) as f64 * (right - left);
    let mut canvas = Canvas::new(SIZE.0, SIZE.1);
    canvas.text("name", Anchor::Start, (0.0, TYPE), &tail(panel.name, LABEL));
    for (share, word) in scale.ticks() {
        let y = bottom - share * (bottom - top);
        canvas.line("grid", (left, y), (right, y));
        canvas.text("tick", Anchor::End, (left - 4.0, y + 4.0), &word);
    }
    let cut = panel.cut.and_then(|cut| usize::try_from(cut).ok()).filter(|cut| (1..most).contains(cut));
    if let Some(cut) = cut {
        let x = f64::midpoint(column(cut - 1), column(cut));
        canvas.line("cut", (x, top), (x, bottom));
        canvas.text(
            "tick",
            Anchor::Middle,
            (x.clamp(left + 12.0, right - 12.0), bottom + TYPE + 3.0),
            &cut.to_string(),
        );
    }
    for (tone, values) in [(Tone::Original, panel.before), (Tone::Variant(0), panel.after)] {
        let place = |at: usize| {
            let share = scale.share(*values.get(at)?)?;
            Some((column(at), bottom - share * (bottom - top)))
        };
        let placed: Vec<(f64, f64)> = thinned(values.len(), POINTS).into_iter().filter_map(place).collect();
        match placed.as_slice() {
            [] => {}
            [point] => canvas.mark(tone, *point),
            points => canvas.path(&format!("curve {}", tone.class()), points),
        }
    }
    canvas.line("axis", (left, bottom), (right, bottom));
    canvas.text("tick", Anchor::Start, (left, bottom + TYPE + 3.0), "1");
    if cut.is_none_or(|cut| column(cut) < right - 40.0) {
        canvas.text("tick", Anchor::End, (right, bottom + TYPE + 3.0), &most.to_string());
    }
    let kept = cut.map_or_else(String::new, |cut| format!(", cut after {cut}"));
    let words = format!("{} singular values before, {} after{kept}", panel.before.len(), panel.after.len());
    canvas.finish(&Heading { id, title: panel.name, lead: "", words: &words })
}

/// At most `most` positions of `len`, evenly spread, first and last included.
fn thinned(len: usize, most: usize) -> Vec<usize> {
    if len <= most {
        return (0..len).collect();
    }
    (0..most).map(|at| at * (len - 1) / (most - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panels(spectra: &[(&[f64], &[f64], Option<u64>)]) -> Option<String> {
        let panel = |&(before, after, cut)| Panel { name: "m", before, after, cut };
        let all: Vec<Panel<'_>> = spectra.iter().map(panel).collect();
        draw(&all, 0..all.len()).map(Markup::into_string)
    }

    #[test]
    fn the_cut_is_marked() {
        let svg = panels(&[(&[3.0, 2.0, 1.0, 0.5], &[3.0, 2.0], Some(2))]).unwrap();
        assert!(svg.contains("class=\"cut\"") && svg.contains("cut after 2"), "{svg}");
        assert_eq!(svg.matches("class=\"curve").count(), 2);
        let whole = panels(&[(&[3.0, 2.0], &[3.0, 2.0], Some(2))]).unwrap();
        assert!(!whole.contains("class=\"cut\""), "{whole}");
    }

    #[test]
    fn single_values_and_empty_spectra() {
        let svg = panels(&[(&[3.0], &[], None), (&[], &[], Some(1))]).unwrap();
        assert!(svg.contains("<circle") && !svg.contains("class=\"curve"), "{svg}");
        assert_eq!(panels(&[(&[], &[], None)]), None);
        assert_eq!(panels(&[(&[0.0, f64::NAN], &[], None)]), None);
    }

    #[test]
    fn thinning_keeps_the_ends() {
        let kept = thinned(384, 80);
        assert_eq!((kept.len(), kept[0], kept[79]), (80, 0, 383));
        assert_eq!(thinned(3, 80), [0, 1, 2]);
    }
}
