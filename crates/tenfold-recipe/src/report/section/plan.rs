//! What happened to each weight: grouped over layers, as a chart of how the budget was spent, and row by row.

mod budget;
mod sum;

use super::{ROWS_SHOWN, folded, lead};
use crate::report::markup::Markup;
use crate::report::number::{bytes, grouped, maybe, percent};
use crate::report::path;
use crate::report::table::{Column, Row, Table};
use crate::report::{Plan, PlanRow, Report};
use std::collections::BTreeMap;
use sum::{Sums, kinds, span, totals};

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
        "{} weights were rewritten, {} were left as they are. Output error is the relative change of what a \
         matrix puts out for real inputs, right after the cut.",
        plan.rows.len(),
        plan.kept_weights
    )));
    let whole = whole_table(plan, &rows);
    let groups = groups(&rows);
    if rows.len() > ROWS_SHOWN && groups.len() * 2 <= rows.len() {
        page.put(&group_table(plan, &groups).draw());
        page.put(&budget::draw(&rows));
        page.put(&folded(&format!("All {} rewritten weights", rows.len()), &whole.draw()));
    } else if rows.len() > ROWS_SHOWN {
        page.put(&budget::draw(&rows));
        page.put(&folded(&format!("All {} rewritten weights", rows.len()), &whole.draw()));
    } else {
        page.put(&whole.draw()).put(&budget::draw(&rows));
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
        ("count", Column::Number),
        ("form now", Column::Text),
        ("parameters before", Column::Number),
        ("after", Column::Number),
        ("bytes kept", Column::Number),
        ("output error", Column::Number),
        ("trained", Column::Text),
    ];
    let names: Vec<&str> = groups.iter().map(|(name, _)| name.as_str()).collect();
    let row = |((_, rows), name): (&(String, Vec<&PlanRow>), &str)| {
        let sums = Sums::of(rows.iter().copied());
        Row::plain(vec![
            name.to_owned(),
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
    let rows = groups.iter().zip(path::shortened(&names)).map(row).collect();
    Table { caption, columns, rows, foot }
}

fn whole_table(plan: &Plan, rows: &[&PlanRow]) -> Table {
    let columns = vec![
        ("weight", Column::Code),
        ("form", Column::Text),
        ("parameters before", Column::Number),
        ("after", Column::Number),
        ("bytes kept", Column::Number),
        ("size before", Column::Number),
        ("after", Column::Number),
        ("output error", Column::Number),
        ("trained", Column::Text),
    ];
    let row = |row: &&PlanRow| {
        let same = row.from == row.to || row.from.is_empty();
        let form = if same { row.to.clone() } else { format!("{} \u{2192} {}", row.from, row.to) };
        Row::plain(vec![
            row.path.clone(),
            form,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(path: &str, to: &str, after: u64) -> PlanRow {
        let (path, to) = (path.to_owned(), to.to_owned());
        PlanRow {
            path,
            to,
            parameters_before: 100,
            bytes_before: 400,
            bytes_after: 4 * after,
            parameters_after: after,
            error: Some(0.1),
            ..PlanRow::default()
        }
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
        assert!(page.contains("l.*.w") && page.contains("low rank (20 sizes)"), "{page}");
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
