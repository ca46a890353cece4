//! What a reader of a report should not overlook.

use crate::receipt::Receipt;
use crate::recipe::{Objective, Phase, Recipe};
use crate::result::{ContractionResult, GrowResult, GrowRound, Scores};

/// What a reader should not overlook.
pub(super) fn notes(recipe: &Recipe, receipt: &Receipt) -> Vec<String> {
    let record = &receipt.record;
    let mut notes = Vec::new();
    let ordered = |phase: &Phase| {
        phase.watch.is_some() && matches!(phase.objective, Objective::Masked { order, .. } if order > 0.0)
    };
    if recipe.phases.iter().any(ordered) {
        notes.push(
            "The training loss has a term for the order of segments, which the held-out loss has not."
                .to_owned(),
        );
    }
    if let Some(budget) = record.budget.filter(|budget| !budget.kept) {
        let after = record.parameters.after;
        notes.push(format!(
            "The result stores {after} parameters, more than the {} of the budget.",
            budget.allowed
        ));
    }
    let cosine = |scores: &Scores| scores.fidelity.map(|fidelity| fidelity.mean_cosine);
    let (before, after) = (cosine(&record.truncated), record.healed.as_ref().and_then(cosine));
    if let (Some(before), Some(after)) = (before, after)
        && after < before
    {
        notes.push(format!("Training made the vectors worse: mean cosine {after:.4} after {before:.4}."));
    }
    notes.extend(record.phases.iter().filter_map(|phase| phase.grow.as_ref()).map(grown));
    notes.extend(record.phases.iter().filter_map(|phase| phase.contraction.as_ref()).map(contracted));
    notes
}

fn grown(result: &GrowResult) -> String {
    let round = |round: &GrowRound| {
        let names: Vec<&str> = round.chosen.iter().map(|one| one.path.as_str()).collect();
        format!("after step {} with {} parameters: {}", round.step, round.parameters, names.join(", "))
    };
    let rounds: Vec<String> = result.rounds.iter().map(round).collect();
    format!("Weights that trained as larger forms, from the most important on, {}.", rounds.join("; "))
}

fn contracted(result: &ContractionResult) -> String {
    let ContractionResult { weights, before, after, difference } = *result;
    let moved = if difference > 0.0 { format!(" by more than {difference:.1e}") } else { String::new() };
    format!(
        "{weights} forms that served training alone were multiplied out after it: {before} parameters became {after}, and no output moved{moved}."
    )
}
