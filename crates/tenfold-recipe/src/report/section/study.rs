//! The study: what is left of the untouched model in every variant, by size.

use super::lead;
use crate::report::Report;
use crate::report::chart::line::{self, Curve, Lines};
use crate::report::chart::{Heading, Tone};
use crate::report::markup::Markup;
use crate::report::number::{bytes, fixed, maybe, percent};
use crate::report::table::{Column, Row, Table};
use crate::result::VariantResult;
use std::collections::BTreeSet;
use tenfold_eval::prompt::{self, PromptScore};

/// Bytes of the unit that charts count in.
const MB: f64 = 1e6;

/// A number of a variant that is drawn over its size.
type Measure<'m> = &'m dyn Fn(&VariantResult) -> Option<f64>;

/// Tables of sizes and distances, then every task with its scores both ways and their charts.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    let study = &report.study;
    if study.len() < 2 {
        return page;
    }
    page.put(&lead(
        "Every variant was made of the untouched model and measured in the same way. Sizes count codes as they are stored and every \
         other number at 16 bits. By likelihood a model picks one of the options; by generation it answers in its own words, and a model that \
         has lost its words can still rank options. Chance is what blind picking scores; flipped is the share of questions whose answer is \
         another one than the untouched model\u{2019}s, right or wrong.",
    ));
    page.put(&sizes(study).draw());
    let distance: [(&str, &str, Measure<'_>); 2] = [
        ("perplexity", "Perplexity by size.", &|one| Some(one.scores.language?.perplexity)),
        ("share of likeliest tokens changed, %", "Changed tokens by size.", &|one| {
            Some(100.0 * one.scores.language?.flipped.unwrap_or(0.0))
        }),
    ];
    charts(&mut page, study, "study-text", &distance, None);
    let tasks: BTreeSet<&String> = study.iter().flat_map(|one| one.scores.prompts.keys()).collect();
    for (at, task) in tasks.into_iter().enumerate() {
        let of = |one: &VariantResult| one.scores.prompts.get(task).cloned();
        let title = prompt::find(task).map_or("", |known| known.title);
        page.element("h3", &[], &format!("{task}: {title}")).put(&scores(task, study).draw());
        let likelihood = |one: &VariantResult| of(one)?.likelihood;
        let generation = |one: &VariantResult| Some(of(one)?.generation);
        let both: [(&str, &str, Measure<'_>); 2] = [
            ("right by likelihood, %", "By likelihood.", &likelihood),
            ("right by generation, %", "By generation.", &generation),
        ];
        let chance = study.iter().find_map(|one| of(one)?.chance);
        charts(&mut page, study, &format!("study-task-{at}"), &both, chance);
    }
    page
}

fn sizes(study: &[VariantResult]) -> Table {
    let whole = study.first().map_or(1, |one| one.half_bytes.max(1));
    let row = |one: &VariantResult| {
        let language = one.scores.language;
        Row::plain(vec![
            one.name.clone(),
            bytes(one.half_bytes as u64),
            percent(one.half_bytes as f64 / whole as f64),
            maybe((one.weights > 0).then_some(one.error), |error| fixed(error, 3)),
            maybe(language, |found| fixed(found.perplexity, 3)),
            maybe(language.and_then(|found| found.divergence), |nats| fixed(nats, 4)),
            maybe(language.and_then(|found| found.flipped), percent),
        ])
    };
    let columns = vec![
        ("variant", Column::Text),
        ("size", Column::Number),
        ("of 16 bits", Column::Number),
        ("mean output error", Column::Number),
        ("perplexity", Column::Number),
        ("divergence, nats per token", Column::Number),
        ("likeliest token changed", Column::Number),
    ];
    let caption = "Size and distance from the untouched model, on texts that no step saw. The output error is that of the rewritten \
                   matrices, relative to their outputs."
        .to_owned();
    Table { caption, columns, rows: study.iter().map(row).collect(), foot: Vec::new() }
}

fn scores(task: &str, study: &[VariantResult]) -> Table {
    let share = |value: Option<f64>| maybe(value, |value| fixed(value, 1));
    let row = |one: &VariantResult| {
        let found: Option<&PromptScore> = one.scores.prompts.get(task);
        let erring = |value: f64, error: f64| format!("{} \u{b1} {}", fixed(value, 1), fixed(error, 1));
        let likelihood = found.and_then(|score| Some(erring(score.likelihood?, score.likelihood_error?)));
        Row::plain(vec![
            one.name.clone(),
            bytes(one.half_bytes as u64),
            maybe(likelihood, |text| text),
            share(found.and_then(|score| score.likelihood_per_byte)),
            share(found.and_then(|score| score.likelihood_flipped)),
            maybe(found, |score| erring(score.generation, score.generation_error)),
            share(found.and_then(|score| score.generation_flipped)),
            share(found.map(|score| score.ended)),
        ])
    };
    let first = study.iter().find_map(|one| one.scores.prompts.get(task));
    let said = |score: &PromptScore| {
        let chance = score
            .chance
            .map_or_else(String::new, |chance| format!("; chance by likelihood {} %", fixed(chance, 1)));
        let cut = match score.cut {
            0 => String::new(),
            cut => format!(
                "; {cut} of them are longer than the model\u{2019}s positions and lost their beginning"
            ),
        };
        format!(
            "{} questions, {} demonstrations on average{chance}{cut}. Shares in percent, with standard errors.",
            score.questions,
            fixed(score.shots, 1)
        )
    };
    let columns = vec![
        ("variant", Column::Text),
        ("size", Column::Number),
        ("by likelihood", Column::Number),
        ("per byte", Column::Number),
        ("flipped", Column::Number),
        ("by generation", Column::Number),
        ("flipped in words", Column::Number),
        ("ended by itself", Column::Number),
    ];
    Table {
        caption: first.map(said).unwrap_or_default(),
        columns,
        rows: study.iter().map(row).collect(),
        foot: Vec::new(),
    }
}

/// Charts side by side; the level of chance belongs to the first alone.
fn charts(
    page: &mut Markup,
    study: &[VariantResult],
    id: &str,
    measures: &[(&str, &str, Measure<'_>)],
    chance: Option<f64>,
) {
    page.inside("div", &[("class", "charts")], |page| {
        for (at, (label, title, measure)) in measures.iter().enumerate() {
            let chance = chance.filter(|_| at == 0);
            page.put(
                &chart(study, [&format!("{id}-{at}"), label, title], *measure, chance).unwrap_or_default(),
            );
        }
    });
}

/// One curve a series, from its smallest variant to the untouched model.
fn chart(
    study: &[VariantResult],
    [id, label, title]: [&str; 3],
    measure: Measure<'_>,
    chance: Option<f64>,
) -> Option<Markup> {
    let place = |one: &VariantResult| Some((one.half_bytes as f64 / MB, measure(one)?));
    let whole = study.first().and_then(place);
    let mut names: Vec<&str> = Vec::new();
    for one in study.iter().skip(1) {
        if !names.contains(&one.series.as_str()) {
            names.push(&one.series);
        }
    }
    let mut curves = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let own = study.iter().skip(1).filter(|one| one.series == name);
        let mut points: Vec<(f64, f64)> = own.filter_map(place).chain(whole).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        curves.push(Curve { name, tone: Tone::Variant(at), points });
    }
    let all = || study.iter().filter_map(place);
    if let Some(level) = chance {
        let sizes = all().map(|(size, _)| size);
        let (least, most) =
            sizes.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), size| (a.min(size), b.max(size)));
        curves.push(Curve {
            name: "chance",
            tone: Tone::Original,
            points: vec![(least, level), (most, level)],
        });
    }
    let words: Vec<String> =
        study.iter().filter_map(|one| Some(format!("{} {}", one.name, fixed(measure(one)?, 2)))).collect();
    let heading = Heading {
        id,
        title,
        lead: "Curves end at the untouched model; each of their corners is a variant.",
        words: &words.join("; "),
    };
    // Broken models have perplexities in the thousands.
    let heights: Vec<f64> = all().map(|(_, height)| height).collect();
    let least = heights.iter().copied().fold(f64::INFINITY, f64::min);
    let log_y = least > 0.0 && heights.iter().any(|height| *height > 20.0 * least) && label == "perplexity";
    line::draw(&heading, &Lines { x_label: "MB", y_label: label, log_y, curves, marks: Vec::new() })
}

/// What the study comes to, in sentences.
pub(crate) fn sentences(report: &Report) -> Vec<String> {
    let Some((whole, variants)) = report.study.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Vec::new();
    };
    let flipped = |one: &VariantResult| one.scores.language.and_then(|found| found.flipped);
    let size = |one: &VariantResult| bytes(one.half_bytes as u64);
    let said = |one: &VariantResult| {
        let found = one.scores.language?;
        Some(format!(
            "{} ({}) changes {} of the likeliest next tokens and diverges by {} nats per token; its perplexity is {}",
            one.name,
            size(one),
            percent(found.flipped?),
            fixed(found.divergence?, 3),
            fixed(found.perplexity, 2)
        ))
    };
    let mut sentences = vec![format!(
        "{} variants of {} ({} at 16 bits).",
        variants.len(),
        report.original.name,
        size(whole)
    )];
    let smallest = variants.iter().min_by_key(|one| one.half_bytes);
    let close = variants
        .iter()
        .filter(|one| flipped(one).is_some_and(|share| share < CLOSE))
        .min_by_key(|one| one.half_bytes);
    sentences.extend(smallest.and_then(said).map(|said| format!("At the smallest size, {said}.")));
    match close.and_then(said) {
        Some(said) => {
            sentences
                .push(format!("The smallest that changes less than {} of them: {said}.", percent(CLOSE)));
        }
        None if variants.iter().any(|one| flipped(one).is_some()) => {
            sentences.push(format!("No variant changes less than {} of them.", percent(CLOSE)));
        }
        None => {}
    }
    sentences
}

/// Variants that change fewer of the likeliest tokens are close.
const CLOSE: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Scores;
    use tenfold_eval::Language;

    fn variant(
        name: &str,
        series: &str,
        size: usize,
        perplexity: f64,
        flipped: Option<f64>,
        right: f64,
    ) -> VariantResult {
        let score = PromptScore {
            questions: 40,
            likelihood: Some(right),
            likelihood_per_byte: Some(right),
            chance: Some(25.0),
            likelihood_error: Some(1.5),
            generation: right / 2.0,
            generation_error: 1.0,
            likelihood_flipped: flipped,
            generation_flipped: flipped,
            ended: 50.0,
            shots: 2.0,
            cut: 3,
        };
        let language = Language { perplexity, divergence: flipped, flipped, tokens: 100 };
        let prompts = [("mmlu@1".to_owned(), score)].into();
        VariantResult {
            name: name.to_owned(),
            series: series.to_owned(),
            parameters: size,
            bytes: 2 * size,
            half_bytes: size,
            weights: 1,
            error: 0.1,
            seconds: 1.0,
            scores: Scores { language: Some(language), prompts, ..Scores::default() },
        }
    }

    #[test]
    fn variants_are_rows_and_corners() {
        let study = vec![
            variant("untouched", "", 4 << 20, 4.0, None, 80.0),
            variant("gptq 4", "gptq", 1 << 20, 4.1, Some(0.02), 79.0),
            variant("gptq 2", "gptq", 1 << 19, 400.0, Some(0.9), 26.0),
            variant("rtn 4", "rtn", 1 << 20, 4.4, Some(0.06), 70.0),
        ];
        let report = Report { study, ..Report::default() };
        let html = draw(&report).into_string();
        for shown in [
            "gptq 2",
            "400.000",
            "26.0 \u{b1} 1.5",
            "13.0 \u{b1} 1.0",
            "chance",
            "logarithmic",
            "3 of them are longer",
            "mmlu@1: 57 subjects",
        ] {
            assert!(html.contains(shown), "{shown} is missing in {html}");
        }
        assert_eq!(html.matches("<svg").count(), 4);
        let said = sentences(&report).join(" ");
        assert!(
            said.contains("At the smallest size, gptq 2")
                && said.contains("The smallest that changes less than 5"),
            "{said}"
        );
    }

    #[test]
    fn one_model_is_no_study() {
        let report = Report { study: vec![variant("untouched", "", 9, 4.0, None, 1.0)], ..Report::default() };
        assert!(draw(&report).is_empty() && sentences(&report).is_empty());
    }
}
