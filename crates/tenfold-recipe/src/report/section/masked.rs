//! Hidden tokens: how well an encoder guesses them, before and after.

use crate::report::markup::Markup;
use crate::report::number::{fixed, grouped, percent};
use crate::report::table::{Column, Row, Table};
use crate::report::{Guessed, Report};

/// The table of losses and of what was guessed right.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    if let Some(first) = report.masked.first() {
        page.put(&table(report, first.found.tokens as u64).draw());
    }
    page
}

fn table(report: &Report, tokens: u64) -> Table {
    let row = |Guessed { model, found }: &Guessed| {
        Row::plain(vec![model.clone(), fixed(found.loss, 3), percent(found.right)])
    };
    let columns = vec![
        ("model", Column::Text),
        ("masked loss, nats per token", Column::Number),
        ("guessed right", Column::Number),
    ];
    let caption = format!(
        "{} tokens of texts that no training saw, 15 % of all, hidden by the published rule under one fixed draw: mostly masked, some \
         replaced or left. The loss is the mean of minus the logarithm of the probability of what stood there: lower is better.",
        grouped(tokens)
    );
    Table { caption, columns, rows: report.masked.iter().map(row).collect(), foot: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_eval::Masked;

    #[test]
    fn every_stage_is_a_row() {
        let original = Masked { loss: 8.25, right: 0.0, tokens: 4210 };
        let trained = Masked { loss: 2.5, right: 0.25, ..original };
        let of = |model: &str, found| Guessed { model: model.to_owned(), found };
        let masked = vec![of("original", original), of("trained", trained)];
        let html = draw(&Report { masked, ..Report::default() }).into_string();
        for shown in ["original", "8.250", "2.500", "25", "210 tokens"] {
            assert!(html.contains(shown), "{shown} is missing in {html}");
        }
        assert!(draw(&Report::default()).into_string().is_empty());
    }
}
