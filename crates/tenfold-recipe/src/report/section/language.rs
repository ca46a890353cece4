//! Language: what a decoder makes of the next token, before and after.

use crate::report::markup::Markup;
use crate::report::number::{fixed, grouped, maybe, percent};
use crate::report::table::{Column, Row, Table};
use crate::report::{Foretold, Report};

/// The table of perplexities and distances.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    if let Some(first) = report.language.first() {
        page.put(&table(report, first.found.tokens as u64).draw());
    }
    page
}

fn table(report: &Report, tokens: u64) -> Table {
    let row = |Foretold { model, found }: &Foretold| {
        Row::plain(vec![
            model.clone(),
            fixed(found.perplexity, 3),
            maybe(found.divergence, |nats| fixed(nats, 4)),
            maybe(found.flipped, percent),
        ])
    };
    let columns = vec![
        ("model", Column::Text),
        ("perplexity", Column::Number),
        ("divergence, nats per token", Column::Number),
        ("likeliest token changed", Column::Number),
    ];
    let caption = format!(
        "The next token foretold, {} times, on texts that no training saw. Perplexity is the exponential of the mean loss: \
         lower is better. Divergence is Kullback and Leibler\u{2019}s, of the original\u{2019}s distribution from the model\u{2019}s: 0 \
         is unchanged.",
        grouped(tokens)
    );
    Table { caption, columns, rows: report.language.iter().map(row).collect(), foot: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_eval::Language;

    #[test]
    fn every_stage_is_a_row() {
        let original = Language { perplexity: 8.25, divergence: None, flipped: None, tokens: 4210 };
        let cut = Language { perplexity: 9.5, divergence: Some(0.125), flipped: Some(0.25), ..original };
        let of = |model: &str, found| Foretold { model: model.to_owned(), found };
        let report =
            Report { language: vec![of("original", original), of("rewritten", cut)], ..Report::default() };
        let html = draw(&report).into_string();
        for shown in ["original", "8.250", "9.500", "0.1250", "25", "210 times"] {
            assert!(html.contains(shown), "{shown} is missing in {html}");
        }
        assert!(draw(&Report::default()).into_string().is_empty());
    }
}
