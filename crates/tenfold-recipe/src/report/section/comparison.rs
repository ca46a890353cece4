//! Against what: the chosen form beside the comparisons and the untouched model.

use super::lead;
use crate::report::chart::bar::{self, Bar, Bars, Group};
use crate::report::chart::scatter::{self, Point, Scatter};
use crate::report::chart::{Heading, Tone};
use crate::report::markup::Markup;
use crate::report::number::{
    ABSENT, bytes, duration, fixed, grouped, maybe, milliseconds, percent, significant, similarity,
};
use crate::report::table::{Column, Row, Table};
use crate::report::{Original, Report, Variant};

/// Who is compared, the table, the bars of what was lost, and size against quality.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    if report.variants.is_empty() {
        return page;
    }
    let measured = if report.measured_on.is_empty() {
        String::new()
    } else {
        format!(" Fidelity is measured on {}.", report.measured_on)
    };
    let against = if report.variants.len() > 1 {
        "Every form below was made from the same model and judged on the same texts."
    } else {
        "This run made one form: it stands against the untouched model, not against other ways to its size."
    };
    page.put(&lead(&format!("{against}{measured}")));
    page.put(&keys(report)).put(&table(report).draw());
    page.inside("div", &[("class", "charts")], |page| {
        for chart in [lost(report), size_and_quality(report)].into_iter().flatten() {
            page.put(&chart);
        }
    });
    page
}

/// Names with their marks and what they are.
fn keys(report: &Report) -> Markup {
    let mut page = Markup::new();
    page.inside("ul", &[("class", "keys")], |page| {
        for (at, variant) in report.variants.iter().enumerate() {
            page.inside("li", &[], |page| {
                let mark = format!("mark {}", Tone::Variant(at).class());
                page.element("span", &[("class", &mark)], "").element("b", &[], &variant.name);
                let role = if at == 0 { " (chosen and saved)" } else { "" };
                let gap = if variant.description.is_empty() { "" } else { ": " };
                page.text(&format!("{role}{gap}{}", variant.description));
            });
        }
    });
    page
}

/// A column of the comparison: its heading, its setting, and what it says of the original and of a variant.
struct Measure {
    heading: &'static str,
    original: fn(&Original) -> String,
    variant: fn(&Variant) -> String,
}

/// The heading of the task's column; the hyphen does not break.
const STSB: &str = "STS\u{2011}B";

/// All columns; those that say nothing of any variant are left out.
const MEASURES: &[Measure] = &[
    Measure {
        heading: "parameters",
        original: |one| grouped(one.parameters),
        variant: |one| grouped(one.parameters),
    },
    Measure { heading: "size", original: |one| bytes(one.bytes), variant: |one| bytes(one.bytes) },
    Measure {
        heading: "cosine, truncated",
        original: absent,
        variant: |one| maybe(one.truncated, |quality| similarity(quality.mean_cosine)),
    },
    Measure {
        heading: "cosine, healed",
        original: |_| similarity(1.0),
        variant: |one| maybe(one.healed, |quality| similarity(quality.mean_cosine)),
    },
    Measure {
        heading: "worst text",
        original: |_| similarity(1.0),
        variant: |one| maybe(one.quality().and_then(|quality| quality.least_cosine), similarity),
    },
    Measure {
        heading: "neighbors kept",
        original: |_| percent(1.0),
        variant: |one| maybe(one.quality().and_then(|quality| quality.neighbor_agreement), percent),
    },
    Measure {
        heading: STSB,
        original: |one| maybe(one.stsb, |score| fixed(score, 1)),
        variant: |one| maybe(one.quality().and_then(|quality| quality.stsb), |score| fixed(score, 1)),
    },
    Measure {
        heading: "per sentence",
        original: |one| maybe(one.latency, |time| milliseconds(time.single_ms)),
        variant: |one| maybe(one.latency, |time| milliseconds(time.single_ms)),
    },
    Measure { heading: "made in", original: absent, variant: |one| maybe(one.seconds, duration) },
];

fn absent(_: &Original) -> String {
    ABSENT.to_owned()
}

fn table(report: &Report) -> Table {
    let says = |measure: &&Measure| report.variants.iter().any(|one| (measure.variant)(one) != ABSENT);
    let measures: Vec<&Measure> = MEASURES.iter().filter(says).collect();
    let mut columns = vec![("form", Column::Text)];
    columns.extend(measures.iter().map(|measure| (measure.heading, Column::Number)));
    let row = |mark, strong, name: &str, cell: &dyn Fn(&Measure) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(measures.iter().map(|measure| cell(measure)));
        Row { cells, mark, strong }
    };
    let variants = report.variants.iter().enumerate().map(|(at, one)| {
        row(Tone::Variant(at).class(), at == 0, &one.name, &|measure| (measure.variant)(one))
    });
    let mut rows: Vec<Row> = variants.collect();
    let original = &report.original;
    rows.push(row(Tone::Original.class(), false, "untouched original", &|measure| {
        (measure.original)(original)
    }));
    let mut caption = match report.variants.iter().any(|one| one.quality().is_some()) {
        true => "Cosine, worst text and neighbors compare sentence vectors with the original\u{2019}s: higher is closer.",
        false => "What each form stores, and the time to make it.",
    }
    .to_owned();
    if measures.iter().any(|measure| measure.heading == STSB) {
        caption += " STS-B is Spearman\u{2019}s correlation with people\u{2019}s judgments, times 100.";
    }
    Table { caption, columns, rows, foot: Vec::new() }
}

/// How much of the original's directions was lost, per variant, before and after healing.
fn lost(report: &Report) -> Option<Markup> {
    let bar =
        |label, cosine: f64, faint| Bar { label, value: 1.0 - cosine, words: loss_words(cosine), faint };
    let group = |(at, one): (usize, &'_ Variant)| {
        let truncated =
            one.truncated.map(|quality| bar("truncated", quality.mean_cosine, one.healed.is_some()));
        let healed = one.healed.map(|quality| bar("healed", quality.mean_cosine, false));
        (at, truncated.into_iter().chain(healed).collect::<Vec<_>>())
    };
    let groups: Vec<Group<'_>> = report
        .variants
        .iter()
        .enumerate()
        .map(group)
        .filter(|(_, bars)| !bars.is_empty())
        .map(|(at, bars)| Group { name: &report.variants[at].name, tone: Tone::Variant(at), bars })
        .collect();
    let words: Vec<String> = groups
        .iter()
        .flat_map(|group| {
            group.bars.iter().map(|bar| format!("{}, {}: {}", group.name, bar.label, bar.words))
        })
        .collect();
    let healed = groups.iter().any(|group| group.bars.len() > 1);
    let stages = if healed { " Pale: right after the cut; full: after healing." } else { "" };
    let lead =
        format!("One minus the mean cosine with the original: shorter is better, 0 is unchanged.{stages}");
    let heading = Heading { id: "lost", title: "What was lost.", lead: &lead, words: &words.join("; ") };
    bar::draw(&heading, &Bars { unit: "1 \u{2212} mean cosine", groups })
}

fn loss_words(cosine: f64) -> String {
    let lost = 1.0 - cosine;
    if lost.abs() < 0.001 { significant(lost) } else { fixed(lost, 3) }
}

fn size_and_quality(report: &Report) -> Option<Markup> {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let mut points: Vec<Point<'_>> = report
        .variants
        .iter()
        .enumerate()
        .filter_map(|(at, one)| {
            let (x, y) = (megabytes(one.bytes), one.quality()?.mean_cosine);
            Some(Point { name: &one.name, tone: Tone::Variant(at), x, y })
        })
        .collect();
    if points.is_empty() {
        return None;
    }
    let original = megabytes(report.original.bytes);
    points.push(Point { name: "original", tone: Tone::Original, x: original, y: 1.0 });
    let words: Vec<String> = points
        .iter()
        .map(|point| {
            format!("{}: {}, cosine {}", point.name, bytes((point.x * 1e6) as u64), similarity(point.y))
        })
        .collect();
    let heading = Heading {
        id: "size-and-quality",
        title: "Size against quality.",
        lead: "Up and to the left is better. Each form where it ended, after any healing.",
        words: &words.join("; "),
    };
    scatter::draw(
        &heading,
        &Scatter { x_label: "stored size, MB", y_label: "mean cosine with the original", points },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Quality;

    #[test]
    fn columns_without_values_are_left_out() {
        let quality = Some(Quality { mean_cosine: 0.5, ..Quality::default() });
        let variants = vec![Variant { name: "one".to_owned(), truncated: quality, ..Variant::default() }];
        let html = table(&Report { variants, ..Report::default() }).draw().into_string();
        assert!(html.contains("cosine, truncated") && !html.contains("cosine, healed"), "{html}");
        assert!(!html.contains(">STS\u{2011}B</th>") && html.contains("untouched original"), "{html}");
    }

    #[test]
    fn nothing_without_variants() {
        assert!(draw(&Report::default()).is_empty());
    }

    #[test]
    fn small_losses_keep_their_digits() {
        assert_eq!(
            [loss_words(0.987), loss_words(0.99995), loss_words(1.0)],
            ["0.013", "5.0e\u{2212}5", "0"]
        );
    }
}
