//! How to repeat it: where the model came from, the recipe, the seed, the machine.

use super::folded;
use crate::report::Report;
use crate::report::markup::Markup;
use crate::report::number::{bytes, duration, maybe};

/// Facts as a list, the recipe folded below.
pub(crate) fn draw(report: &Report) -> Markup {
    let known = &report.provenance;
    let mut facts = vec![
        ("model", known.model_origin.clone()),
        ("weights, SHA-256", known.model_hash.clone()),
        ("seed", known.seed.to_string()),
        ("machine", known.machine.clone()),
        ("wall time", if known.seconds > 0.0 { duration(known.seconds) } else { String::new() }),
        ("peak memory", maybe(known.peak_bytes, bytes)),
        ("tenfold", known.version.clone()),
    ];
    facts.extend(known.facts.iter().map(|fact| (fact.name.as_str(), fact.value.clone())));
    let mut page = Markup::new();
    page.inside("dl", &[("class", "facts")], |page| {
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            page.element("dt", &[], name).element("dd", &[], value);
        }
    });
    if !known.recipe.is_empty() {
        let mut recipe = Markup::new();
        recipe.inside("pre", &[("tabindex", "0")], |page| {
            page.element("code", &[], &known.recipe);
        });
        page.put(&folded("The resolved recipe", &recipe));
    }
    page
}
