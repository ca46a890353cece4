//! What a plan says of squeezing.

use super::Weight;
use crate::recipe::{Recipe, Squeeze};
use std::sync::Arc;
use tenfold_method::Method;

/// A relative fall of the score that no useful model survives: squeezing would never stop before its target.
const ANY_GAP: f64 = 1.0;

/// One note per phase that squeezes, and one per setting of it that looks unintended.
pub(super) fn notes(recipe: &Recipe, weights: &[Weight<'_>], methods: &[Arc<dyn Method>]) -> Vec<String> {
    let may =
        |weight: &&Weight<'_>| weight.governing(methods).is_some_and(|one| one.method.squeezes().is_some());
    let squeezed: Vec<&Weight<'_>> = weights.iter().filter(may).collect();
    let dense: usize = squeezed.iter().map(|weight| weight.form.shape().iter().product::<usize>()).sum();
    let now: usize = squeezed.iter().map(|weight| weight.planned.parameters).sum();
    let of = |(at, squeeze): (usize, Squeeze)| {
        let number = at + 1;
        let Squeeze { to, gap, .. } = squeeze;
        if squeezed.is_empty() {
            return vec![format!(
                "phase {number} squeezes, but no step's method can be squeezed; use method mpop"
            )];
        }
        let target = (to * dense as f64) as usize;
        let operators = squeezed.len();
        let mut notes = vec![format!(
            "phase {number} squeezes {operators} operators from {now} to {target} parameters at most"
        )];
        if gap == 0.0 {
            notes.push(format!(
                "phase {number}: a gap of 0 undoes the first round that loses anything at all"
            ));
        }
        if gap >= ANY_GAP {
            notes.push(format!(
                "phase {number}: a gap of {gap} accepts any loss; only the target ends squeezing"
            ));
        }
        if target >= now {
            notes
                .push(format!("phase {number}: the target is no smaller than what is there; nothing is cut"));
        }
        notes
    };
    let phases = recipe.phases.iter().enumerate();
    phases.filter_map(|(at, phase)| Some((at, phase.squeeze?))).flat_map(of).collect()
}
