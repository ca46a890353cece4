//! What a plan says of over-parameterization.

use super::Weight;
use crate::recipe::{Grow, Recipe, Selection};
use std::sync::Arc;
use tenfold_method::Method;

/// What grows when, what comes back, and settings that look unintended.
pub(super) fn notes(recipe: &Recipe, weights: &[Weight<'_>], methods: &[Arc<dyn Method>]) -> Vec<String> {
    let count = |says: &dyn Fn(&dyn Method) -> bool| {
        let last = |weight: &&Weight<'_>| weight.steps.last().is_some_and(|step| says(&*methods[*step]));
        weights.iter().filter(last).count()
    };
    let (waiting, temporary) = (count(&|method| method.grows()), count(&|method| method.contracts()));
    let of = |(at, grow): (usize, Grow)| {
        let number = at + 1;
        if waiting == 0 {
            return format!(
                "phase {number} selects weights to grow, but no step's method waits for it; say when = \"selected\""
            );
        }
        let when = match grow.select {
            Selection::Static => {
                "after a training of the same length that serves the selection alone".to_owned()
            }
            Selection::Dynamic => format!("on the way, by {:.0} % of its steps", 100.0 * grow.until),
        };
        let most = grow.most;
        format!("phase {number} lets up to {most} of each kind of {waiting} weights grow, {when}")
    };
    let phases = recipe.phases.iter().enumerate();
    let mut notes: Vec<String> = phases.filter_map(|(at, phase)| Some((at, phase.grow?))).map(of).collect();
    if waiting > 0 && recipe.phases.iter().all(|phase| phase.grow.is_none()) {
        notes.push(format!("{waiting} weights wait to be selected, but no phase selects; give one grow"));
    }
    if temporary > 0 && !recipe.phases.is_empty() {
        notes.push(
            "some forms serve training alone: they are multiplied out again after the last phase".to_owned(),
        );
    }
    notes
}
