//! The page: head, style sheet, sections in order.

use super::Report;
use super::markup::Markup;
use super::section;

/// Allows the style sheet inside the page and nothing else: no script, no request.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The style sheet. It holds no character that markup would have to escape.
const STYLE: &str = include_str!("style.css");

/// Draws the whole page.
pub(crate) fn draw(report: &Report) -> String {
    let mut page = Markup::new();
    page.literal("<!DOCTYPE html>\n").inside("html", &[("lang", "en")], |page| {
        page.inside("head", &[], |page| head(page, report)).literal("\n");
        page.inside("body", &[], |page| body(page, report));
    });
    page.literal("\n");
    page.into_string()
}

fn head(page: &mut Markup, report: &Report) {
    page.void("meta", &[("charset", "utf-8")]);
    page.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
    page.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    page.void("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    page.element("title", &[], &format!("{} \u{b7} tenfold report", report.title));
    page.inside("style", &[], |page| {
        page.literal(STYLE);
    });
}

fn body(page: &mut Markup, report: &Report) {
    page.put(&section::headline::draw(report));
    page.inside("main", &[], |page| {
        for (id, title, content) in [
            ("comparison", "Against what", section::comparison::draw(report)),
            ("study", "What is left, by size", section::study::draw(report)),
            ("tasks", "Scores in tasks", section::task::draw(report)),
            ("language", "The next token", section::language::draw(report)),
            ("masked", "Hidden tokens", section::masked::draw(report)),
            ("notes", "What not to overlook", section::note::draw(report)),
            ("plan", "What happened to each weight", section::plan::draw(report)),
            ("healing", if report.heals() { "Healing" } else { "Training" }, section::healing::draw(report)),
            ("calibration", "From full to light", section::calibration::draw(report)),
            ("gauge", "Experts and layers in training", section::gauge::draw(report)),
            ("spectra", "Spectra before and after", section::spectrum::draw(report)),
            ("words", "Words on this page", section::word::draw()),
            ("provenance", "How to repeat it", section::provenance::draw(report)),
        ] {
            if content.is_empty() {
                continue;
            }
            let name = format!("{id}-heading");
            page.literal("\n").inside("section", &[("id", id), ("aria-labelledby", &name)], |page| {
                page.element("h2", &[("id", &name)], title).put(&content);
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_sheet_needs_no_escaping_and_asks_for_nothing() {
        for forbidden in ["<", "&", "url(", "@import"] {
            assert!(!STYLE.contains(forbidden), "{forbidden}");
        }
    }
}
