//! The surface that charts are drawn on: SVG elements at rounded positions.

use super::{Heading, Tone};
use crate::report::markup::Markup;

/// Width of an average letter relative to the size of the type; measured on common sans-serif faces.
const LETTER: f64 = 0.58;

/// Size of the type in charts.
pub(crate) const TYPE: f64 = 12.0;

/// Where a text stands relative to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// It starts there.
    Start,
    /// It is centered there.
    Middle,
    /// It ends there.
    End,
}

/// An SVG under construction. Positions are in units of the view box, from the top left.
pub(crate) struct Canvas {
    width: f64,
    height: f64,
    body: Markup,
}

impl Canvas {
    /// An empty surface.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: Markup::new() }
    }

    /// A straight line.
    pub(crate) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let [x1, y1, x2, y2] = [from.0, from.1, to.0, to.1].map(round);
        self.body.void("line", &[("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)]);
    }

    /// A line through all points.
    pub(crate) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let mut way = String::with_capacity(points.len() * 12);
        for (at, (x, y)) in points.iter().enumerate() {
            way.push(if at == 0 { 'M' } else { 'L' });
            way.push_str(&round(*x));
            way.push(' ');
            way.push_str(&round(*y));
        }
        self.body.void("path", &[("class", class), ("d", &way)]);
    }

    /// A rectangle.
    pub(crate) fn rectangle(&mut self, class: &str, corner: (f64, f64), size: (f64, f64)) {
        let [x, y, width, height] = [corner.0, corner.1, size.0.max(0.0), size.1.max(0.0)].map(round);
        self.body
            .void("rect", &[("class", class), ("x", &x), ("y", &y), ("width", &width), ("height", &height)]);
    }

    /// A mark whose shape and color tell whom it stands for: circle, square, diamond, triangle, cross.
    pub(crate) fn mark(&mut self, tone: Tone, at: (f64, f64)) {
        const SIZE: f64 = 5.0;
        let class = format!("point {}", tone.class());
        let (x, y) = at;
        let offsets: &[(f64, f64)] = match tone.shape() % 5 {
            1 => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            2 => &[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)],
            3 => &[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
            4 => &[(0.0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
            _ => {
                let [x, y, r] = [x, y, SIZE].map(round);
                self.body.void("circle", &[("class", &class), ("cx", &x), ("cy", &y), ("r", &r)]);
                return;
            }
        };
        let corner = |(dx, dy): &(f64, f64)| format!("{},{}", round(x + SIZE * dx), round(y + SIZE * dy));
        let corners: Vec<String> = offsets.iter().map(corner).collect();
        self.body.void("polygon", &[("class", &class), ("points", &corners.join(" "))]);
    }

    /// A small round dot that stands for nobody in particular.
    pub(crate) fn dot(&mut self, at: (f64, f64)) {
        let [x, y, r] = [at.0, at.1, 3.2].map(round);
        self.body.void("circle", &[("class", "dot"), ("cx", &x), ("cy", &y), ("r", &r)]);
    }

    /// A text on the baseline at `y`.
    pub(crate) fn text(&mut self, class: &str, anchor: Anchor, at: (f64, f64), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let [x, y] = [at.0, at.1].map(round);
        self.body.element("text", &[("class", class), ("text-anchor", anchor), ("x", &x), ("y", &y)], text);
    }

    /// The finished drawing, named and described for readers who do not see it.
    pub(crate) fn finish(self, heading: &Heading<'_>) -> Markup {
        let (title, words) = (format!("{}-title", heading.id), format!("{}-words", heading.id));
        let frame = format!("0 0 {} {}", round(self.width), round(self.height));
        let labels = format!("{title} {words}");
        let mut svg = Markup::new();
        svg.inside("svg", &[("viewBox", &frame), ("role", "img"), ("aria-labelledby", &labels)], |svg| {
            svg.element("title", &[("id", &title)], heading.title);
            svg.element("desc", &[("id", &words)], heading.words);
            svg.put(&self.body);
        });
        svg
    }
}

/// About how wide a text is, in units of the view box.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * TYPE * LETTER
}

/// A position to a tenth of a unit; what is not finite never gets here, and would be 0.
fn round(value: f64) -> String {
    let tenths = if value.is_finite() { (value * 10.0).round() / 10.0 } else { 0.0 };
    // Adding 0 turns -0 into 0.
    (tenths + 0.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_has_a_name_and_a_description() {
        let mut canvas = Canvas::new(10.0, 5.0);
        canvas.text("note", Anchor::End, (1.23, f64::NAN), "a < b");
        let heading = Heading { id: "one", title: "One", lead: "", words: "a & b" };
        let svg = canvas.finish(&heading).into_string();
        assert!(
            svg.starts_with(
                "<svg viewBox=\"0 0 10 5\" role=\"img\" aria-labelledby=\"one-title one-words\">"
            )
        );
        assert!(svg.contains("<title id=\"one-title\">One</title><desc id=\"one-words\">a &amp; b</desc>"));
        assert!(svg.contains("x=\"1.2\" y=\"0\">a &lt; b</text>"), "{svg}");
    }

    #[test]
    fn positions_are_short() {
        assert_eq!([round(1.0), round(-0.04), round(2.349), round(f64::INFINITY)], ["1", "0", "2.3", "0"]);
    }
}
