//! What happened to each weight: grouped over layers, as a chart of how the budget was spent, and row by row.

use super::{ROWS_SHOWN, folded, lead};
use crate::report::chart::Heading;
use crate::report::chart::matrix::{self, Matrices, MatrixRow};
use crate::report::markup::Markup;
use crate::report::number::{ABSENT, bytes, grouped, maybe, percent};
use crate::report::path;
use crate::report::table::{Column, Row, Table};
use crate::report::{Plan, PlanRow, Report};
use std::collections::{BTreeMap, BTreeSet};

/// Rows per chart: two charts of this height stand beside each other on a wide screen.
const ROWS_PER_CHART: usize = 40;

/// Matrices that are drawn; where there are more, the largest ones are.
const ROWS_DRAWN: usize = 160;

/// The groups, the charts, all rows.
pub(crate) fn draw(report: &Report) -> Markup {
    let plan = &report.plan;
    let mut page = Markup::new();
    if plan.rows.is_empty() {
        return page;
    }
    let mut rows: Vec<&PlanRow> = plan.rows.iter().collect();
    rows.sort_by_key(|row| path::natural(&row.path));
    page.put(&lead(&format!(
        "{} weights were rewritten, {} were left as they are. Output error is the relative change of what a matrix puts \
         out for real inputs, right after the cut.",
        plan.rows.len(),
        plan.kept_weights
    )));
    let whole = whole_table(plan, &rows);
    let groups = groups(&rows);
    if rows.len() > ROWS_SHOWN && groups.len() * 2 <= rows.len() {
        page.put(&group_table(plan, &groups).draw());
        page.put(&charts(&rows));
        page.put(&folded(&format!("All {} rewritten weights", rows.len()), &whole.draw()));
    } else if rows.len() > ROWS_SHOWN {
        page.put(&charts(&rows));
        page.put(&folded(&format!("All {} rewritten weights", rows.len()), &whole.draw()));
    } else {
        page.put(&whole.draw()).put(&charts(&rows));
    }
    page
}

/// Rows of the same weight in all layers.
fn groups<'a>(rows: &[&'a PlanRow]) -> Vec<(String, Vec<&'a PlanRow>)> {
    let mut groups: Vec<(String, Vec<&PlanRow>)> = Vec::new();
    let mut places = BTreeMap::new();
    for row in rows {
        let name = path::group(&row.path);
        let at = *places.entry(name.clone()).or_insert_with(|| {
            groups.push((name, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(row);
    }
    groups
}

fn group_table(plan: &Plan, groups: &[(String, Vec<&PlanRow>)]) -> Table {
    let columns = vec![
        ("weights", Column::Code),
        ("number", Column::Number),
        ("form now", Column::Text),
        ("parameters before", Column::Number),
        ("after", Column::Number),
        ("kept", Column::Number),
        ("output error", Column::Number),
        ("trained", Column::Text),
    ];
    let row = |(name, rows): &(String, Vec<&PlanRow>)| {
        let sums = Sums::of(rows.iter().copied());
        Row::plain(vec![
            name.clone(),
            rows.len().to_string(),
            kinds(rows.iter().map(|row| row.to.as_str())),
            grouped(sums.before),
            grouped(sums.after),
            sums.share(),
            span(rows.iter().filter_map(|row| row.error)),
            kinds(rows.iter().map(|row| row.trains.as_str())),
        ])
    };
    let total = |name: &str, number: u64, sums: Sums| {
        Row::plain(vec![
            name.to_owned(),
            grouped(number),
            String::new(),
            grouped(sums.before),
            grouped(sums.after),
            sums.share(),
        ])
    };
    let [kept, all] = totals(plan);
    let number = plan.kept_weights + plan.rows.len() as u64;
    let foot = vec![total("left as they are", plan.kept_weights, kept), total("whole model", number, all)];
    let caption = "The same weight of all layers taken together; * stands for the layer.".to_owned();
    Table { caption, columns, rows: groups.iter().map(row).collect(), foot }
}

fn whole_table(plan: &Plan, rows: &[&PlanRow]) -> Table {
    let columns = vec![
        ("weight", Column::Code),
        ("from", Column::Text),
        ("to", Column::Text),
        ("parameters before", Column::Number),
        ("after", Column::Number),
        ("kept", Column::Number),
        ("size before", Column::Number),
        ("after", Column::Number),
        ("output error", Column::Number),
        ("trained", Column::Text),
    ];
    let row = |row: &&PlanRow| {
        Row::plain(vec![
            row.path.clone(),
            row.from.clone(),
            row.to.clone(),
            grouped(row.parameters_before),
            grouped(row.parameters_after),
            Sums::of([*row]).share(),
            bytes(row.bytes_before),
            bytes(row.bytes_after),
            maybe(row.error, percent),
            row.trains.clone(),
        ])
    };
    let total = |name: String, sums: Sums| {
        Row::plain(vec![
            name,
            String::new(),
            String::new(),
            grouped(sums.before),
            grouped(sums.after),
            sums.share(),
            bytes(sums.bytes_before),
            bytes(sums.bytes_after),
        ])
    };
    let [kept, all] = totals(plan);
    let foot = vec![
        total(format!("{} rewritten", plan.rows.len()), Sums::of(rows.iter().copied())),
        total(format!("{} left as they are", plan.kept_weights), kept),
        total("whole model".to_owned(), all),
    ];
    let caption = "Every rewritten weight with its form, size and output error.".to_owned();
    Table { caption, columns, rows: rows.iter().map(row).collect(), foot }
}

/// How much of each matrix was kept and what that did to its output.
fn charts(rows: &[&PlanRow]) -> Markup {
    let mut page = Markup::new();
    let mut drawn: Vec<&PlanRow> = rows.iter().copied().filter(|row| row.parameters_before > 0).collect();
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
            kept: row.parameters_after as f64 / row.parameters_before as f64,
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
            let words = format!("{} matrices; parameters kept {kept}; output error {error}", shown.len());
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

/// How to read the charts.
const LEAD: &str = "Bars: the share of its parameters that each matrix kept. Dots: what the cut did to its output.";

/// Sums over rows.
#[derive(Clone, Copy, Default)]
struct Sums {
    before: u64,
    after: u64,
    bytes_before: u64,
    bytes_after: u64,
}

impl Sums {
    fn of<'a>(rows: impl IntoIterator<Item = &'a PlanRow>) -> Self {
        rows.into_iter().fold(Self::default(), |sum, row| Self {
            before: sum.before.saturating_add(row.parameters_before),
            after: sum.after.saturating_add(row.parameters_after),
            bytes_before: sum.bytes_before.saturating_add(row.bytes_before),
            bytes_after: sum.bytes_after.saturating_add(row.bytes_after),
        })
    }

    fn share(self) -> String {
        if self.before == 0 { ABSENT.to_owned() } else { percent(self.after as f64 / self.before as f64) }
    }
}

/// What was left as it is, and the whole model.
fn totals(plan: &Plan) -> [Sums; 2] {
    let (kept, bytes) = (plan.kept_parameters, plan.kept_bytes);
    let kept = Sums { before: kept, after: kept, bytes_before: bytes, bytes_after: bytes };
    let rewritten = Sums::of(&plan.rows);
    let all = Sums {
        before: rewritten.before.saturating_add(kept.before),
        after: rewritten.after.saturating_add(kept.after),
        bytes_before: rewritten.bytes_before.saturating_add(kept.bytes_before),
        bytes_after: rewritten.bytes_after.saturating_add(kept.bytes_after),
    };
    [kept, all]
}

/// The different texts in order of appearance; beyond three, their kinds: the words before any number.
fn kinds<'a>(texts: impl Iterator<Item = &'a str> + Clone) -> String {
    let listed = |texts: &mut dyn Iterator<Item = &'a str>| {
        let mut seen = BTreeSet::new();
        texts.filter(|text| !text.is_empty() && seen.insert(*text)).collect::<Vec<_>>()
    };
    let exact = listed(&mut texts.clone());
    if exact.len() <= 2 {
        return exact.join("; ");
    }
    let kind = |text: &'a str| text.split(|letter: char| letter.is_ascii_digit()).next().unwrap_or(text).trim();
    let kinds = listed(&mut texts.map(kind));
    format!("{}, {} sizes", kinds.join(", "), exact.len())
}

/// Least and greatest as percentages.
fn span(values: impl Iterator<Item = f64>) -> String {
    let finite: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let least = finite.iter().copied().fold(f64::INFINITY, f64::min);
    let most = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (least, most) = if finite.is_empty() { return ABSENT.to_owned() } else { (percent(least), percent(most)) };
    if least == most { most } else { format!("{least} to {most}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, to: &str, after: u64) -> PlanRow {
        let (path, to) = (path.to_owned(), to.to_owned());
        PlanRow { path, to, parameters_before: 100, parameters_after: after, error: Some(0.1), ..PlanRow::default() }
    }

    fn html(rows: Vec<PlanRow>) -> String {
        let plan = Plan { rows, kept_weights: 3, kept_parameters: 50, kept_bytes: 200 };
        draw(&Report { plan, ..Report::default() }).into_string()
    }

    #[test]
    fn a_short_plan_is_shown_whole() {
        let page = html(vec![row("b.10.w", "low rank 2", 40), row("b.9.w", "dense", 100)]);
        assert!(!page.contains("<details>"), "{page}");
        assert!(page.find("b.9.w").unwrap() < page.find("b.10.w").unwrap());
        assert!(page.contains("<th scope=\"row\" class=\"code\">whole model</th>"), "{page}");
        assert!(page.contains(">250</td><td class=\"number\">190</td>"), "{page}");
    }

    #[test]
    fn a_long_plan_is_grouped_and_folded() {
        let page = html((0..20).map(|at| row(&format!("l.{at}.w"), &format!("low rank {at}"), 40)).collect());
        assert!(page.contains("l.*.w") && page.contains("low rank, 20 sizes"), "{page}");
        assert!(page.contains("<summary>All 20 rewritten weights</summary>"), "{page}");
    }

    #[test]
    fn very_long_plans_draw_the_largest() {
        let page = html((0..400).map(|at| row(&format!("l.{at}.w"), "dense", 40)).collect());
        assert!(page.contains("The 160 largest of 400"), "no remark");
        assert_eq!(page.matches("<svg").count(), 4);
    }

    #[test]
    fn rows_without_parameters_have_no_share() {
        let page = html(vec![PlanRow { path: "x".to_owned(), ..PlanRow::default() }]);
        assert!(page.contains("\u{2013}") && !page.contains("NaN"), "{page}");
        assert!(draw(&Report::default()).is_empty());
    }
}
