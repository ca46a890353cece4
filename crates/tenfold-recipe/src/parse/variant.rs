//! A variant: steps and phases of its own on the untouched model.

use super::reader::Reader;
use super::{phase, step};
use crate::default;
use crate::fault::Problem;
use crate::recipe::VariantSteps;

/// The `[[variant]]`s of a recipe; nothing when a fault leaves one of them out.
pub(super) fn variants(root: &Reader<'_>) -> Option<Vec<VariantSteps>> {
    let tables = root.tables("variant", "[[variant]]");
    let mut found: Vec<Option<VariantSteps>> = Vec::new();
    for table in &tables {
        let one = variant(table);
        if let Some(own) = &one
            && found.iter().flatten().any(|other| other.name == own.name)
        {
            table.fault(own.place, Problem::SameName { name: own.name.clone() });
        }
        found.push(one);
    }
    found.into_iter().collect()
}

fn variant(table: &Reader<'_>) -> Option<VariantSteps> {
    let name =
        table.need("name", "a text, unique among the variants").and_then(|entry| table.text("name", entry));
    let series = table.get("series").and_then(|entry| table.text("series", entry));
    for text in [&name, &series].into_iter().flatten() {
        if text.value.trim().is_empty() || text.value.len() > default::NAME_LIMIT {
            let expected = format!("1 to {} bytes", default::NAME_LIMIT);
            let (key, got) = ("name".to_owned(), format!("{:?}", text.value));
            table.fault(text.place, Problem::OutOfRange { key, expected, got });
        }
    }
    table.need("step", "tables [[variant.step]], as [[step]]");
    let steps: Vec<_> = table.tables("step", "[[variant.step]]").iter().map(step::step).collect();
    let phases: Vec<_> = table.tables("phase", "[[variant.phase]]").iter().map(phase::phase).collect();
    table.finish();
    let steps = steps.into_iter().collect::<Option<Vec<_>>>()?;
    let name = name?;
    let series =
        series.map_or_else(|| steps.first().map_or("", |step| step.method.name), |series| series.value);
    Some(VariantSteps {
        name: name.value.to_owned(),
        series: series.to_owned(),
        phases: phases.into_iter().collect::<Option<_>>()?,
        steps,
        place: name.place,
    })
}
