//! One row per matrix with two measures side by side: a bar from zero for what was kept, a dot for the error.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, TYPE, text_width};
use super::{Heading, WIDTH, figure};
use crate::report::markup::Markup;
use crate::report::number;
use crate::report::path::tail;

/// Height of a row.
const ROW: f64 = 15.0;

/// Letters of a row's label.
const LABEL: usize = 27;

/// Rows on two common scales.
pub(crate) struct Matrices<'a> {
    /// The rows of all charts that share the scales.
    pub(crate) all: &'a [MatrixRow<'a>],
    /// Which of them this chart shows.
    pub(crate) shown: std::ops::Range<usize>,
}

/// One matrix.
pub(crate) struct MatrixRow<'a> {
    /// Its short name.
    pub(crate) name: &'a str,
    /// Stored parameters after, as a share of those before.
    pub(crate) kept: f64,
    /// Relative error of its output.
    pub(crate) error: Option<f64>,
}

/// The chart as a figure; nothing when no row has a number.
pub(crate) fn draw(heading: &Heading<'_>, chart: &Matrices<'_>) -> Option<Markup> {
    let rows = chart.all.get(chart.shown.clone())?;
    let kept = Axis::from_zero(chart.all.iter().map(|row| row.kept).chain([1.0]), 2)?.in_percent();
    let errors = Axis::from_zero(chart.all.iter().filter_map(|row| row.error), 2).map(Axis::in_percent);
    if rows.is_empty() {
        return None;
    }
    let names = chart.all.iter().map(|row| text_width(&tail(row.name, LABEL)));
    let left = names.fold(0.0, f64::max) + 8.0;
    let (top, room) = (2.0 * TYPE + 12.0, WIDTH - left);
    let bottom = top + rows.len() as f64 * ROW;
    // Two panels of equal width; the first leaves space for its percentages.
    let first = (left, left + room * 0.5 - 46.0);
    let second = (left + room * 0.5 + 6.0, WIDTH - 16.0);

    let mut canvas = Canvas::new(WIDTH, bottom + 4.0);
    let heads = [(first.0, "bytes kept"), (second.0, "output error")];
    for (x, head) in &heads[..if errors.is_some() { 2 } else { 1 }] {
        canvas.text("unit", Anchor::Start, (*x, TYPE), head);
    }
    scale(&mut canvas, &kept, first, (top, bottom));
    if let Some(errors) = &errors {
        scale(&mut canvas, errors, second, (top, bottom));
    }
    for (at, row) in rows.iter().enumerate() {
        let y = top + at as f64 * ROW;
        let text = y + ROW / 2.0 + 4.0;
        canvas.text("tick", Anchor::End, (left - 6.0, text), &tail(row.name, LABEL));
        let length = kept.share(row.kept).map_or(0.0, |share| share * (first.1 - first.0));
        canvas.rectangle("bar t1 full", (first.0, y + 2.5), (length, ROW - 5.0));
        canvas.text(
            "value ground",
            Anchor::Start,
            (first.0 + length + 4.0, text),
            &number::percent(row.kept),
        );
        if let Some(share) = errors.as_ref().and_then(|axis| axis.share(row.error?)) {
            let x = second.0 + share * (second.1 - second.0);
            canvas.line("stem", (second.0, y + ROW / 2.0), (x, y + ROW / 2.0));
            canvas.dot((x, y + ROW / 2.0));
        }
    }
    Some(figure(heading, &canvas.finish(heading)))
}

fn scale(canvas: &mut Canvas, axis: &Axis, (left, right): (f64, f64), (top, bottom): (f64, f64)) {
    for (share, word) in axis.ticks() {
        let x = left + share * (right - left);
        canvas.line("grid", (x, top), (x, bottom));
        canvas.text("tick", Anchor::Middle, (x, top - 5.0), &word);
    }
    canvas.line("axis", (left, top), (left, bottom));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(rows: &[(f64, Option<f64>)], shown: std::ops::Range<usize>) -> Option<String> {
        let all: Vec<MatrixRow<'_>> =
            rows.iter().map(|&(kept, error)| MatrixRow { name: "0.query", kept, error }).collect();
        let heading = Heading { id: "x", title: "t", lead: "l", words: "w" };
        draw(&heading, &Matrices { all: &all, shown }).map(Markup::into_string)
    }

    #[test]
    fn rows_have_a_bar_and_a_dot() {
        let svg = chart(&[(0.5, Some(0.1)), (1.0, Some(0.2)), (0.2, None)], 1..3).unwrap();
        assert_eq!((svg.matches("<rect").count(), svg.matches("class=\"dot").count()), (2, 1));
        assert!(svg.contains("100\u{a0}%") && svg.contains("output error"), "{svg}");
    }

    #[test]
    fn broken_numbers_are_said_and_not_drawn() {
        let svg = chart(&[(f64::NAN, Some(f64::NAN))], 0..1).unwrap();
        assert!(svg.contains("not finite") && !svg.contains("output error"), "{svg}");
        assert_eq!(chart(&[], 0..0), None);
        assert_eq!(chart(&[(0.5, None)], 1..1), None);
    }
}
