//! Charts as inline SVG. Colors, dashes and marks come from the page's style sheet, so that they follow the
//! reader's light or dark scheme; every series differs in shape as well as in color.

pub(crate) mod axis;
pub(crate) mod bar;
mod canvas;
mod label;
pub(crate) mod line;
pub(crate) mod matrix;
pub(crate) mod scatter;
pub(crate) mod small_multiple;

use super::markup::Markup;

/// Width of a chart in its own units. Half a wide screen or a whole narrow one, so that text stays readable
/// on both.
const WIDTH: f64 = 440.0;

/// Who a mark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// The untouched model.
    Original,
    /// The variants in order; the first is the chosen one.
    Variant(usize),
}

/// Class names of the variants' tones; more variants than that repeat them.
const TONES: [&str; 5] = ["t1", "t2", "t3", "t4", "t5"];

impl Tone {
    /// The class that the style sheet knows.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Original => "t0",
            Self::Variant(at) => TONES[at % TONES.len()],
        }
    }

    /// A number for the shape of marks.
    fn shape(self) -> usize {
        match self {
            Self::Original => 0,
            Self::Variant(at) => 1 + at % TONES.len(),
        }
    }
}

/// What a chart is called and what it says in words.
pub(crate) struct Heading<'a> {
    /// Unique in the page.
    pub(crate) id: &'a str,
    /// The title.
    pub(crate) title: &'a str,
    /// How to read it, in a sentence or two, shown above the chart.
    pub(crate) lead: &'a str,
    /// What it shows, for readers who do not see it.
    pub(crate) words: &'a str,
}

/// A chart with its title and lead.
pub(crate) fn figure(heading: &Heading<'_>, chart: &Markup) -> Markup {
    let mut page = Markup::new();
    page.inside("figure", &[], |page| {
        page.inside("figcaption", &[], |page| {
            page.element("b", &[], heading.title).text(" ").element("span", &[], heading.lead);
        });
        page.put(chart);
    });
    page
}
