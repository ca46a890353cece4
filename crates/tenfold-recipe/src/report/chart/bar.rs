//! Bar charts: horizontal bars in groups, each labeled with its value. Lengths start at zero.

use super::axis::Axis;
use super::canvas::{Anchor, Canvas, TYPE, text_width};
use super::{Heading, Tone, WIDTH, figure};
use crate::report::markup::Markup;
use crate::report::path::ending;

/// Height of a bar and of the space that belongs to it.
const BAR: (f64, f64) = (13.0, 18.0);

/// Space between groups.
const GAP: f64 = 12.0;

/// Letters of a group's name.
const LABEL: usize = 60;

/// Groups of bars on one scale.
pub(crate) struct Bars<'a> {
    /// What the lengths measure.
    pub(crate) unit: &'a str,
    /// The groups, from the top.
    pub(crate) groups: Vec<Group<'a>>,
}

/// Bars that belong together.
pub(crate) struct Group<'a> {
    /// Whom they stand for.
    pub(crate) name: &'a str,
    /// Their color.
    pub(crate) tone: Tone,
    /// The bars, from the top.
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
pub(crate) struct Bar {
    /// What it is.
    pub(crate) label: &'static str,
    /// Its length; one that is negative or not finite has a label only.
    pub(crate) value: f64,
    /// The value in words.
    pub(crate) words: String,
    /// Whether it is drawn faint: a stage passed through, not a result.
    pub(crate) faint: bool,
}

/// The chart as a figure; nothing when there is no bar of finite length.
pub(crate) fn draw(heading: &Heading<'_>, chart: &Bars<'_>) -> Option<Markup> {
    let bars = || chart.groups.iter().flat_map(|group| &group.bars);
    let axis = Axis::from_zero(bars().map(|bar| bar.value), 4)?;
    let left = bars().map(|bar| text_width(bar.label)).fold(0.0, f64::max) + 8.0;
    let right = WIDTH - bars().map(|bar| text_width(&bar.words)).fold(0.0, f64::max) - 8.0;
    let top = TYPE + 10.0;
    let group_height = |group: &Group<'_>| TYPE + 8.0 + group.bars.len() as f64 * BAR.1 + GAP;
    let bottom = top + chart.groups.iter().map(group_height).sum::<f64>() - GAP;
    let height = bottom + TYPE + 10.0;

    let mut canvas = Canvas::new(WIDTH, height);
    canvas.text("unit", Anchor::Start, (0.0, TYPE), chart.unit);
    for (share, word) in axis.ticks() {
        let x = left + share * (right - left);
        canvas.line("grid", (x, top), (x, bottom));
        canvas.text("tick", Anchor::Middle, (x, bottom + TYPE + 4.0), &word);
    }
    canvas.line("axis", (left, top), (left, bottom));
    let mut y = top;
    for group in &chart.groups {
        canvas.text("name ground", Anchor::Start, (0.0, y + TYPE), &ending(group.name, LABEL));
        y += TYPE + 8.0;
        for bar in &group.bars {
            let length = axis.share(bar.value).map_or(0.0, |share| share * (right - left));
            let class = format!("bar {} {}", group.tone.class(), if bar.faint { "faint" } else { "full" });
            let middle = y + BAR.0 / 2.0 + 4.0;
            canvas.text("tick", Anchor::End, (left - 6.0, middle), bar.label);
            canvas.rectangle(&class, (left, y), (length, BAR.0));
            canvas.text("value ground", Anchor::Start, (left + length + 5.0, middle), &bar.words);
            y += BAR.1;
        }
        y += GAP;
    }
    Some(figure(heading, &canvas.finish(heading)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[f64]) -> Option<String> {
        let bar = |&value: &f64| Bar { label: "after", value, words: format!("<{value}>"), faint: false };
        let groups =
            vec![Group { name: "one", tone: Tone::Variant(0), bars: values.iter().map(bar).collect() }];
        let heading = Heading { id: "x", title: "t", lead: "l", words: "w" };
        draw(&heading, &Bars { unit: "lost", groups }).map(Markup::into_string)
    }

    #[test]
    fn lengths_are_proportional() {
        let svg = chart(&[1.0, 2.0]).unwrap();
        let width = |at: usize| {
            let rest = svg.split("<rect").nth(at).unwrap().split("width=\"").nth(1).unwrap();
            rest.split('"').next().unwrap().parse::<f64>().unwrap()
        };
        assert!((2.0 * width(1) - width(2)).abs() < 0.2, "{svg}");
        assert!(svg.contains("&lt;1&gt;"), "{svg}");
    }

    #[test]
    fn bars_without_a_length_keep_their_words() {
        let svg = chart(&[f64::NAN, -1.0, 0.5]).unwrap();
        assert!(svg.contains("&lt;NaN&gt;") && svg.matches("width=\"0\"").count() == 2, "{svg}");
    }

    #[test]
    fn nothing_to_draw_is_no_chart() {
        assert_eq!(chart(&[]), None);
        assert_eq!(chart(&[f64::NAN]), None);
    }
}
