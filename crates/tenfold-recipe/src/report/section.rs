//! The sections of the page, one file each. A section that has nothing to show is empty and left out.

pub(crate) mod calibration;
pub(crate) mod comparison;
pub(crate) mod gauge;
pub(crate) mod headline;
pub(crate) mod healing;
pub(crate) mod language;
pub(crate) mod masked;
pub(crate) mod note;
pub(crate) mod plan;
pub(crate) mod provenance;
pub(crate) mod spectrum;
pub(crate) mod study;
pub(crate) mod task;
pub(crate) mod word;

use super::markup::Markup;

/// Rows that a table shows at once; a longer one is folded.
const ROWS_SHOWN: usize = 14;

/// Content that opens on demand.
fn folded(summary: &str, content: &Markup) -> Markup {
    let mut page = Markup::new();
    page.inside("details", &[], |page| {
        page.element("summary", &[], summary).put(content);
    });
    page
}

/// A paragraph under a section's heading.
fn lead(text: &str) -> Markup {
    let mut page = Markup::new();
    page.element("p", &[("class", "lead")], text);
    page
}
