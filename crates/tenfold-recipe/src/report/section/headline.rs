//! The first screen: what happened, how much smaller, what it cost, against what.

use crate::report::markup::Markup;
use crate::report::number::{bytes, count, duration, milliseconds, percent, signed, similarity};
use crate::report::{Latency, Report, Variant, verdict};

/// Title, verdict and the headline numbers.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    if let Some(notice) = &report.notice {
        page.element("p", &[("class", "notice"), ("role", "note")], notice);
    }
    page.inside("header", &[], |page| {
        page.element("p", &[("class", "kind")], "tenfold \u{b7} run report");
        page.element("h1", &[], &report.title);
        page.inside("div", &[("class", "verdict")], |page| {
            for sentence in verdict::sentences(report) {
                page.element("p", &[], &sentence);
            }
        });
        if let Some(chosen) = report.chosen() {
            page.inside("dl", &[("class", "cards")], |page| cards(page, report, chosen));
        }
    });
    page
}

fn cards(page: &mut Markup, report: &Report, chosen: &Variant) {
    let original = &report.original;
    let share = chosen.bytes as f64 / original.bytes as f64;
    let parameters = format!("{} of {} parameters", count(chosen.parameters), count(original.parameters));
    let mut lines = vec![format!("was {}", bytes(original.bytes)), parameters];
    if share.is_finite() {
        lines.insert(1, format!("{} of the original", percent(share)));
    }
    card(page, "Size", &bytes(chosen.bytes), &lines, Some(share));

    if let Some(quality) = chosen.quality() {
        let mut lines = vec!["mean cosine with the original, where 1 is unchanged".to_owned()];
        if let (Some(_), Some(truncated)) = (&chosen.healed, &chosen.truncated) {
            lines.push(format!("{} before healing", similarity(truncated.mean_cosine)));
        }
        if let Some(agreement) = quality.neighbor_agreement {
            lines.push(format!("{} of nearest neighbors stayed", percent(agreement)));
        }
        card(page, "Fidelity", &similarity(quality.mean_cosine), &lines, None);
        if let Some((rival, cosine)) = report.rival() {
            let difference = signed(quality.mean_cosine - cosine, 3);
            let behind = quality.mean_cosine < cosine;
            let (name, place) =
                if behind { ("Against the best", "behind") } else { ("Against next best", "ahead of") };
            let reach = format!("which reaches {} with {}", similarity(cosine), bytes(rival.bytes));
            card(
                page,
                name,
                &difference,
                &[format!("in mean cosine, {place} {}, {reach}", rival.name)],
                None,
            );
        }
    }
    if let (Some(before), Some(after)) = (original.latency, chosen.latency) {
        card(page, "Time per sentence", &milliseconds(after.single_ms), &times(before, after), None);
    }
    if report.provenance.seconds > 0.0 {
        let peak = report.provenance.peak_bytes.map(|peak| format!("peak memory {}", bytes(peak)));
        let made = chosen.seconds.map(|seconds| format!("{} for the chosen form alone", duration(seconds)));
        let lines: Vec<String> = made.into_iter().chain(peak).collect();
        card(page, "Whole run", &duration(report.provenance.seconds), &lines, None);
    }
}

fn times(before: Latency, after: Latency) -> Vec<String> {
    vec![
        format!("was {}", milliseconds(before.single_ms)),
        format!("32 together: {}, was {}", milliseconds(after.batch_ms), milliseconds(before.batch_ms)),
    ]
}

fn card(page: &mut Markup, name: &str, figure: &str, lines: &[String], share: Option<f64>) {
    page.inside("div", &[("class", "card")], |page| {
        page.element("dt", &[], name).element("dd", &[("class", "figure")], figure);
        if let Some(share) = share.filter(|share| share.is_finite()) {
            // The number is beside it in words; the meter is for the eye only.
            let style = format!("width:{:.1}%", 100.0 * share.clamp(0.0, 1.0));
            page.inside("dd", &[("class", "meter"), ("aria-hidden", "true")], |page| {
                page.element("span", &[("style", &style)], "");
            });
        }
        for line in lines {
            page.element("dd", &[], line);
        }
    });
}
