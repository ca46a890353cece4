//! Line charts: curves over steps, each labeled at its end.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, TYPE, text_width};
use super::label::spread;
use super::{Heading, Tone, WIDTH, figure};
use crate::report::markup::Markup;
use crate::report::path::ending;

/// Height of the chart.
const HEIGHT: f64 = 270.0;

/// Points per curve; longer ones are averaged down to this.
pub(crate) const POINTS: usize = 150;

/// Letters of a curve's label.
const LABEL: usize = 20;

/// Curves over a common x.
pub(crate) struct Lines<'a> {
    /// What the x axis counts.
    pub(crate) x_label: &'a str,
    /// What the y axis measures.
    pub(crate) y_label: &'a str,
    /// Whether y is logarithmic.
    pub(crate) log_y: bool,
    /// The curves.
    pub(crate) curves: Vec<Curve<'a>>,
    /// Upright lines at values of x, each with a word; those outside the axis are left out.
    pub(crate) marks: Vec<(f64, String)>,
}

/// One curve.
pub(crate) struct Curve<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Its color and dash.
    pub(crate) tone: Tone,
    /// Its points by rising x. Values without a place on the axes are left out.
    pub(crate) points: Vec<(f64, f64)>,
}

/// The chart as a figure; nothing when no curve has a point that can be drawn.
pub(crate) fn draw(heading: &Heading<'_>, lines: &Lines<'_>) -> Option<Markup> {
    let curves: Vec<(&Curve<'_>, Vec<(f64, f64)>)> =
        lines.curves.iter().map(|curve| (curve, averaged(&curve.points, POINTS))).collect();
    let points = || curves.iter().flat_map(|(_, points)| points.iter().copied());
    let x_axis = Axis::linear(points().map(|(x, _)| x), 6)?;
    let heights = points().map(|(_, y)| y);
    let y_axis = if lines.log_y { Axis::log(heights, 6) } else { Axis::linear(heights, 5) }?;
    let names: Vec<String> = curves.iter().map(|(curve, _)| ending(curve.name, LABEL)).collect();
    let tick_width = y_axis.ticks().map(|(_, word)| text_width(&word)).fold(0.0, f64::max);
    let name_width = names.iter().map(|name| text_width(name)).fold(0.0, f64::max);
    let plot = Plot {
        left: tick_width + 10.0,
        right: WIDTH - name_width - 14.0,
        top: TYPE + 12.0,
        bottom: HEIGHT - 2.0 * TYPE - 14.0,
        x_axis,
        y_axis,
    };
    let mut canvas = Canvas::new(WIDTH, HEIGHT);
    plot.frame(&mut canvas, lines);
    let mut ends = Vec::new();
    for ((curve, points), name) in curves.iter().zip(&names) {
        let placed: Vec<(f64, f64)> = points.iter().filter_map(|point| plot.place(*point)).collect();
        let Some(&end) = placed.last() else { continue };
        if placed.len() > 1 {
            canvas.path(&format!("curve {}", curve.tone.class()), &placed);
        } else {
            canvas.mark(curve.tone, end);
        }
        ends.push((curve.tone, name, end));
    }
    let wanted: Vec<f64> = ends.iter().map(|(_, _, end)| end.1).collect();
    let heights = spread(&wanted, TYPE + 2.0, plot.top, plot.bottom);
    for ((tone, name, end), y) in ends.iter().zip(heights) {
        canvas.line(&format!("leader {}", tone.class()), *end, (plot.right + 8.0, y));
        canvas.text("name", Anchor::Start, (plot.right + 11.0, y + 4.0), name);
    }
    (!ends.is_empty()).then(|| figure(heading, &canvas.finish(heading)))
}

/// Where the axes are.
struct Plot {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x_axis: Axis,
    y_axis: Axis,
}

impl Plot {
    fn place(&self, (x, y): (f64, f64)) -> Option<(f64, f64)> {
        let (x, y) = (self.x_axis.share(x)?, self.y_axis.share(y)?);
        Some((self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top)))
    }

    fn frame(&self, canvas: &mut Canvas, lines: &Lines<'_>) {
        for (share, word) in self.y_axis.ticks() {
            let y = self.bottom - share * (self.bottom - self.top);
            canvas.line("grid", (self.left, y), (self.right, y));
            canvas.text("tick", Anchor::End, (self.left - 5.0, y + 4.0), &word);
        }
        for (share, word) in self.x_axis.ticks() {
            let x = self.left + share * (self.right - self.left);
            canvas.line("axis", (x, self.bottom), (x, self.bottom + 4.0));
            canvas.text("tick", Anchor::Middle, (x, self.bottom + TYPE + 6.0), &word);
        }
        canvas.line("axis", (self.left, self.bottom), (self.right, self.bottom));
        for (x, word) in &lines.marks {
            let Some(share) = self.x_axis.share(*x) else { continue };
            let x = self.left + share * (self.right - self.left);
            canvas.line("cut", (x, self.top), (x, self.bottom));
            // On the side where there is room.
            let anchor = if share < 0.5 { Anchor::Start } else { Anchor::End };
            let aside = if share < 0.5 { 4.0 } else { -4.0 };
            canvas.text("tick", anchor, (x + aside, self.top + TYPE), word);
        }
        let scale = if lines.log_y { ", logarithmic" } else { "" };
        canvas.text("unit", Anchor::Start, (0.0, TYPE), &format!("{}{scale}", lines.y_label));
        canvas.text("unit", Anchor::End, (self.right, HEIGHT - 3.0), lines.x_label);
    }
}

/// At most `most` points, each the mean of equally many neighbors; what is not finite is left out first.
fn averaged(points: &[(f64, f64)], most: usize) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> =
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let each = finite.len().div_ceil(most.max(1)).max(1);
    let mean = |group: &[(f64, f64)]| {
        let sum = group.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (sum.0 / group.len() as f64, sum.1 / group.len() as f64)
    };
    finite.chunks(each).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(curves: &[Vec<(f64, f64)>]) -> Option<String> {
        let curve = |(at, points): (usize, &Vec<(f64, f64)>)| Curve {
            name: "a & b",
            tone: Tone::Variant(at),
            points: points.clone(),
        };
        let curves = curves.iter().enumerate().map(curve).collect();
        let heading = Heading { id: "x", title: "t", lead: "l", words: "w" };
        draw(
            &heading,
            &Lines {
                x_label: "step",
                y_label: "loss",
                log_y: true,
                curves,
                marks: vec![(1.0, "now".to_owned())],
            },
        )
        .map(Markup::into_string)
    }

    #[test]
    fn curves_are_drawn_and_named() {
        let svg =
            chart(&[vec![(0.0, 0.1), (1.0, 0.01)], vec![(0.0, 0.2), (1.0, f64::NAN), (2.0, 0.02)]]).unwrap();
        assert_eq!(svg.matches("class=\"curve").count(), 2);
        assert_eq!(svg.matches(">a &amp; b</text>").count(), 2);
        assert_eq!(svg.matches(">now</text>").count(), 1);
        assert!(svg.contains("loss, logarithmic") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn one_point_is_a_mark() {
        let svg = chart(&[vec![(3.0, 0.5)]]).unwrap();
        assert!(svg.contains("<polygon") && !svg.contains("<path"), "{svg}");
    }

    #[test]
    fn nothing_to_draw_is_no_chart() {
        assert_eq!(chart(&[]), None);
        assert_eq!(chart(&[vec![], vec![(0.0, f64::NAN)], vec![(1.0, -1.0)]]), None);
    }

    #[test]
    fn long_curves_are_averaged() {
        let points: Vec<(f64, f64)> = (0..1000).map(|at| (f64::from(at), 2.0)).collect();
        let short = averaged(&points, 150);
        assert!(short.len() <= 150 && short.iter().all(|point| point.1 == 2.0), "{}", short.len());
        assert_eq!(short[0].0, 3.0);
    }
}
