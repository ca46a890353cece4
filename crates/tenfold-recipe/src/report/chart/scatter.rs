//! Scatter charts: size against quality, a point per model.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, TYPE, text_width};
use super::label::spread;
use super::{Heading, Tone, WIDTH, figure};
use crate::report::markup::Markup;
use crate::report::path::ending;

/// Height of the chart.
const HEIGHT: f64 = 290.0;

/// Letters of a point's label.
const LABEL: usize = 24;

/// Points on two axes; the x axis starts at zero.
pub(crate) struct Scatter<'a> {
    /// What the x axis measures.
    pub(crate) x_label: &'a str,
    /// What the y axis measures.
    pub(crate) y_label: &'a str,
    /// The points.
    pub(crate) points: Vec<Point<'a>>,
}

/// One model.
pub(crate) struct Point<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its color and shape.
    pub(crate) tone: Tone,
    /// Its place on the x axis.
    pub(crate) x: f64,
    /// Its place on the y axis.
    pub(crate) y: f64,
}

/// The chart as a figure; nothing when no point has a place.
pub(crate) fn draw(heading: &Heading<'_>, chart: &Scatter<'_>) -> Option<Markup> {
    let points: Vec<&Point<'_>> =
        chart.points.iter().filter(|one| one.x.is_finite() && one.y.is_finite()).collect();
    let x_axis = Axis::from_zero(points.iter().map(|one| one.x), 5)?;
    let y_axis = Axis::linear(points.iter().map(|one| one.y), 5)?;
    let left = y_axis.ticks().map(|(_, word)| text_width(&word)).fold(0.0, f64::max) + 10.0;
    let (right, top, bottom) = (WIDTH - 12.0, TYPE + 14.0, HEIGHT - 2.0 * TYPE - 14.0);
    let column = |x: f64| x_axis.share(x).map(|share| left + share * (right - left));
    let row = |y: f64| y_axis.share(y).map(|share| bottom - share * (bottom - top));

    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    for (share, word) in y_axis.ticks() {
        let y = bottom - share * (bottom - top);
        canvas.line("grid", (left, y), (right, y));
        canvas.text("tick", Anchor::End, (left - 5.0, y + 4.0), &word);
    }
    for (share, word) in x_axis.ticks() {
        let x = left + share * (right - left);
        canvas.line("axis", (x, bottom), (x, bottom + 4.0));
        canvas.text("tick", Anchor::Middle, (x, bottom + TYPE + 6.0), &word);
    }
    canvas.line("axis", (left, bottom), (right, bottom));
    canvas.text("unit", Anchor::Start, (0.0, TYPE), chart.y_label);
    canvas.text("unit", Anchor::End, (right, HEIGHT - 3.0), chart.x_label);

    let mut placed = Vec::new();
    for point in points {
        let (Some(x), Some(y)) = (column(point.x), row(point.y)) else { continue };
        canvas.mark(point.tone, (x, y));
        placed.push((point, x, y));
    }
    // Labels go where there is more room, and each side keeps its own apart.
    let middle = f64::midpoint(left, right);
    for side in [Anchor::Start, Anchor::End] {
        let here: Vec<_> =
            placed.iter().filter(|(_, x, _)| (*x <= middle) == (side == Anchor::Start)).collect();
        let wanted: Vec<f64> = here.iter().map(|(_, _, y)| *y).collect();
        let heights = spread(&wanted, TYPE + 3.0, top, bottom - TYPE);
        let (away, gap) = if side == Anchor::Start { (1.0, 24.0) } else { (-1.0, 12.0) };
        for ((point, x, y), label) in here.into_iter().zip(heights) {
            canvas.line("leader t0", (x + away * 8.0, *y), (x + away * (gap - 2.0), label));
            canvas.text("name ground", side, (x + away * gap, label + 4.0), &ending(point.name, LABEL));
        }
    }
    (!placed.is_empty()).then(|| figure(heading, &canvas.finish(heading)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(places: &[(f64, f64)]) -> Option<String> {
        let point = |(at, &(x, y)): (usize, &(f64, f64))| Point { name: "n", tone: Tone::Variant(at), x, y };
        let points = places.iter().enumerate().map(point).collect();
        let heading = Heading { id: "x", title: "t", lead: "l", words: "w" };
        draw(&heading, &Scatter { x_label: "MB", y_label: "cosine", points }).map(Markup::into_string)
    }

    #[test]
    fn every_point_has_a_mark_and_a_name() {
        let svg = chart(&[(45.0, 0.98), (45.0, 0.97), (90.0, 1.0)]).unwrap();
        assert_eq!((svg.matches("class=\"point").count(), svg.matches(">n</text>").count()), (3, 3));
    }

    #[test]
    fn one_point_and_broken_points() {
        assert_eq!(chart(&[(45.0, 0.98), (45.0, f64::NAN)]).unwrap().matches("class=\"point").count(), 1);
        assert_eq!(chart(&[(f64::NAN, 0.98)]), None);
        assert_eq!(chart(&[]), None);
    }
}
