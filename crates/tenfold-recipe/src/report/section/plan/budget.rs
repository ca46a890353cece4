//! How the budget was spent: a row per matrix, in as many charts as it takes.

use super::sum::span;
use crate::report::PlanRow;
use crate::report::chart::Heading;
use crate::report::chart::matrix::{self, Matrices, MatrixRow};
use crate::report::markup::Markup;
use crate::report::path;
use crate::report::section::ROWS_SHOWN;

/// Rows per chart: two charts of this height stand beside each other on a wide screen.
const ROWS_PER_CHART: usize = 40;

/// Matrices that are drawn; where there are more, the largest ones are.
const ROWS_DRAWN: usize = 160;

/// How to read the charts.
const LEAD: &str =
    "Bars: the share of its bytes that each matrix kept. Dots: what the cut did to its output.";

/// How much of each matrix was kept and what that did to its output.
pub(super) fn draw(rows: &[&PlanRow]) -> Markup {
    let mut page = Markup::new();
    let mut drawn: Vec<&PlanRow> = rows.iter().copied().filter(|row| row.bytes_before > 0).collect();
    let all = drawn.len();
    if all > ROWS_DRAWN {
        drawn.sort_by_key(|row| std::cmp::Reverse(row.parameters_before));
        drawn.truncate(ROWS_DRAWN);
        drawn.sort_by_key(|row| path::natural(&row.path));
    }
    let paths: Vec<&str> = drawn.iter().map(|row| row.path.as_str()).collect();
    let names = path::shortened(&paths);
    let measured: Vec<MatrixRow<'_>> = drawn
        .iter()
        .zip(names)
        .map(|(row, name)| MatrixRow {
            name,
            kept: row.bytes_after as f64 / row.bytes_before as f64,
            error: row.error,
        })
        .collect();
    let parts = measured.len().div_ceil(ROWS_PER_CHART).max(if measured.len() > ROWS_SHOWN { 2 } else { 1 });
    let each = measured.len().div_ceil(parts).max(1);
    let kept = span(measured.iter().map(|row| row.kept));
    let error = span(measured.iter().filter_map(|row| row.error));
    page.inside("div", &[("class", "charts")], |page| {
        for (at, start) in (0..measured.len()).step_by(each).enumerate() {
            let shown = start..(start + each).min(measured.len());
            let words = format!("{} matrices; bytes kept {kept}; output error {error}", shown.len());
            let few = format!(" The {} largest of {all} matrices are shown.", measured.len());
            let lead = match at {
                0 if all > measured.len() => format!("{LEAD}{few}"),
                0 => LEAD.to_owned(),
                _ => format!("Matrices {} to {}.", shown.start + 1, shown.end),
            };
            let title = if at == 0 { "How the budget was spent." } else { "Continued." };
            let heading = Heading { id: &format!("budget-{at}"), title, lead: &lead, words: &words };
            if let Some(chart) = matrix::draw(&heading, &Matrices { all: &measured, shown }) {
                page.put(&chart);
            }
        }
    });
    page
}
