//! What not to overlook: the run's own honest notes.

use crate::report::Report;
use crate::report::markup::Markup;

/// The notes as a list.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    if !report.notes.is_empty() {
        page.inside("ul", &[("class", "notes")], |page| {
            for note in &report.notes {
                page.element("li", &[], note);
            }
        });
    }
    page
}
