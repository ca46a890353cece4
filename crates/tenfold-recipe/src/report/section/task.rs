//! Tasks: scores before and after, and how the score moved while weights were squeezed.

use super::lead;
use crate::report::chart::line::{self, Curve, Lines};
use crate::report::chart::{Heading, Tone};
use crate::report::markup::Markup;
use crate::report::number::{fixed, grouped, maybe};
use crate::report::table::{Column, Row, Table};
use crate::report::{Report, Squeeze};

/// The table of scores, and one chart per phase that squeezed.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    if !report.tasks.is_empty() {
        page.put(&table(report).draw());
    }
    for squeeze in &report.squeezes {
        if let Some(chart) = chart(squeeze) {
            page.put(&lead(&squeeze.words)).put(&chart);
        }
    }
    page
}

fn table(report: &Report) -> Table {
    let score = |value: Option<f64>| maybe(value, |value| fixed(value, 1));
    let row = |one: &crate::report::TaskScore| {
        Row::plain(vec![
            one.task.clone(),
            one.metric.clone(),
            score(one.original),
            score(one.truncated),
            score(one.healed),
        ])
    };
    let columns = vec![
        ("task", Column::Code),
        ("metric, times 100", Column::Text),
        ("original", Column::Number),
        ("rewritten", Column::Number),
        ("trained", Column::Number),
    ];
    let caption = "Scores on rows that no training saw, answered by the model\u{2019}s head. A head that is fresh before \
                   training answers by chance."
        .to_owned();
    Table { caption, columns, rows: report.tasks.iter().map(row).collect(), foot: Vec::new() }
}

fn chart(squeeze: &Squeeze) -> Option<Markup> {
    // By rising size: what was squeezed last stands first.
    let rounds = squeeze.rounds.iter().rev();
    let points: Vec<(f64, f64)> = rounds.map(|round| (round.parameters as f64 / 1e6, round.score)).collect();
    let said: Vec<String> = squeeze
        .rounds
        .iter()
        .map(|round| format!("{} parameters: {}", grouped(round.parameters), fixed(round.score, 1)))
        .collect();
    let heading = Heading {
        id: "squeezed",
        title: "Score while squeezing.",
        lead: "One point per round, from right to left: the watched score against what the squeezed weights store.",
        words: &said.join("; "),
    };
    let curves = vec![Curve { name: &squeeze.metric, tone: Tone::Variant(0), points }];
    line::draw(
        &heading,
        &Lines {
            x_label: "million parameters",
            y_label: &squeeze.metric,
            log_y: false,
            curves,
            marks: Vec::new(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{SqueezeRound, TaskScore};

    #[test]
    fn scores_and_rounds_are_shown() {
        let task = TaskScore {
            task: "mrpc@1".to_owned(),
            metric: "f1".to_owned(),
            healed: Some(81.26),
            ..TaskScore::default()
        };
        let rounds =
            [(900u64, 80.0), (800, 79.0)].map(|(parameters, score)| SqueezeRound { parameters, score });
        let squeeze =
            Squeeze { metric: "f1".to_owned(), words: "two rounds".to_owned(), rounds: rounds.into() };
        let report = Report { tasks: vec![task], squeezes: vec![squeeze], ..Report::default() };
        let html = draw(&report).into_string();
        for shown in ["mrpc@1", "81.3", "two rounds", "<svg", "900 parameters: 80.0"] {
            assert!(html.contains(shown), "{shown}: {html}");
        }
    }

    #[test]
    fn nothing_to_show_leaves_nothing() {
        assert!(draw(&Report::default()).is_empty());
    }
}
