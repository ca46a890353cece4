//! Spectra before and after: singular values of each matrix with the cut marked, and what is read off them.

use super::{ROWS_SHOWN, folded, lead};
use crate::report::chart::small_multiple::{self, Panel};
use crate::report::markup::Markup;
use crate::report::number::{grouped, maybe, significant};
use crate::report::path;
use crate::report::table::{Column, Row, Table};
use crate::report::{Report, Spectrum};

/// Panels that are shown at once; further ones are folded.
const PANELS_SHOWN: usize = 8;

/// The panels and the table.
pub(crate) fn draw(report: &Report) -> Markup {
    let mut page = Markup::new();
    let mut spectra: Vec<&Spectrum> = report.spectra.iter().collect();
    spectra.sort_by_key(|one| path::natural(&one.path));
    let paths: Vec<&str> = spectra.iter().map(|one| one.path.as_str()).collect();
    let panels: Vec<Panel<'_>> = spectra
        .iter()
        .zip(path::shortened(&paths))
        .map(|(one, name)| Panel { name, before: &one.before, after: &one.after, cut: one.cut })
        .collect();
    let first = panels.len().min(PANELS_SHOWN);
    if let Some(shown) = small_multiple::draw(&panels, 0..first) {
        page.put(&lead(LEAD)).put(&shown);
    }
    if let Some(more) = small_multiple::draw(&panels, first..panels.len()) {
        page.put(&folded(&format!("{} more spectra", panels.len() - first), &more));
    }
    let table = table(&spectra);
    if table.rows.len() > ROWS_SHOWN {
        page.put(&folded(
            &format!("Stable rank and entropy of {} matrices", table.rows.len()),
            &table.draw(),
        ));
    } else {
        page.put(&table.draw());
    }
    page
}

/// How to read the panels.
const LEAD: &str = "Singular values from the largest to the smallest, on one logarithmic scale. Gray: the \
                    original; blue: the form that was saved; the dashed line marks how many the cut kept. A \
                    blue line on the gray one lost nothing there.";

fn table(spectra: &[&Spectrum]) -> Table {
    let said = |one: &&&Spectrum| {
        let values = [one.stable_rank_before, one.stable_rank_after, one.entropy_before, one.entropy_after];
        values.iter().any(Option::is_some)
    };
    let row = |one: &&Spectrum| {
        Row::plain(vec![
            one.path.clone(),
            maybe(one.cut, grouped),
            maybe(one.stable_rank_before, significant),
            maybe(one.stable_rank_after, significant),
            maybe(one.entropy_before, significant),
            maybe(one.entropy_after, significant),
        ])
    };
    let columns = vec![
        ("matrix", Column::Code),
        ("values kept", Column::Number),
        ("stable rank before", Column::Number),
        ("after", Column::Number),
        ("entropy before, nats", Column::Number),
        ("after", Column::Number),
    ];
    let caption =
        "Stable rank and entropy count, each in its way, how many directions of a matrix matter.".to_owned();
    Table { caption, columns, rows: spectra.iter().filter(said).map(row).collect(), foot: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spectrum(path: &str) -> Spectrum {
        let stable_rank_before = Some(1.5);
        Spectrum { path: path.to_owned(), before: vec![2.0, 1.0], stable_rank_before, ..Spectrum::default() }
    }

    fn html(spectra: Vec<Spectrum>) -> String {
        draw(&Report { spectra, ..Report::default() }).into_string()
    }

    #[test]
    fn many_panels_and_rows_are_folded() {
        let page = html((0..20).map(|at| spectrum(&format!("l.{at}.w"))).collect());
        assert_eq!((page.matches("<svg").count(), page.matches("<details>").count()), (20, 2));
        assert!(page.contains("12 more spectra"), "{page}");
    }

    #[test]
    fn few_are_shown_and_none_leave_nothing() {
        assert!(!html(vec![spectrum("a")]).contains("<details>"));
        assert!(html(Vec::new()).is_empty());
        assert!(
            html(vec![Spectrum { path: "a".to_owned(), before: vec![0.0], ..Spectrum::default() }])
                .is_empty()
        );
    }
}
