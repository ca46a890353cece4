//! Calibration against a tree: which weights belong to which component, and what is wrong or odd.

use super::Weight;
use super::govern::Governing;
use super::train;
use crate::fault::{Fault, Problem};
use crate::recipe::{Calibrate, Phase, Recipe};
use std::sync::Arc;
use tenfold_method::Method;
use tenfold_method::calibrate::{CalibrateOptions, Component};
use tenfold_method::fisher::Learning;
use tenfold_weight::Path;

/// From this threshold on no share of votes exceeds it.
const NEVER: f64 = 1.0;
/// The component of a phase that names none.
const EVERYTHING: &str = "all";

/// The component that a path belongs to, by its place; nothing where it belongs to none of those named.
pub(crate) fn component_of(calibrate: &Calibrate, path: &Path) -> Option<usize> {
    if calibrate.components.is_empty() {
        return Some(0);
    }
    let matches = |one: &crate::recipe::Component| one.select.iter().any(|select| select.value.matches(path));
    calibrate.components.iter().position(matches)
}

/// The components of a phase with the calibrated weights of each.
pub(crate) fn components<'p>(
    calibrate: &Calibrate,
    weights: impl Iterator<Item = &'p Path> + Clone,
) -> Vec<Component> {
    let of = |at: usize| {
        weights.clone().filter(|path| component_of(calibrate, path) == Some(at)).cloned().collect()
    };
    match calibrate.components.as_slice() {
        [] => vec![Component { name: EVERYTHING.to_owned(), weights: of(0) }],
        named => {
            let component = |(at, one): (usize, &crate::recipe::Component)| Component {
                name: one.name.clone(),
                weights: of(at),
            };
            named.iter().enumerate().map(component).collect()
        }
    }
}

/// A calibrated weight, and who governs it.
type Calibrated<'w> = (&'w Weight<'w>, Governing, CalibrateOptions);

fn calibrated<'w>(weights: &'w [Weight<'w>], methods: &[Arc<dyn Method>]) -> Vec<Calibrated<'w>> {
    let of = |weight: &'w Weight<'w>| {
        let governing = weight.governing(methods)?;
        let options = governing.calibrates?;
        Some((weight, governing, options))
    };
    weights.iter().filter_map(of).collect()
}

/// What is wrong with the phases and steps that calibrate. One weight of a kind is enough to show it.
pub(super) fn faults(recipe: &Recipe, weights: &[Weight<'_>], methods: &[Arc<dyn Method>]) -> Vec<Fault> {
    let calibrated = calibrated(weights, methods);
    let mut faults = Vec::new();
    let fault_of = |one: &Calibrated<'_>| {
        let (weight, governing, _) = one;
        let problem = weight_problem(recipe, weight, governing)?;
        let step = *weight.steps.last()?;
        Some(Fault::at(recipe.steps[step].place, problem))
    };
    faults.extend(calibrated.iter().find_map(fault_of));
    let steps =
        || methods.iter().zip(&recipe.steps).filter_map(|(method, step)| Some((method.calibrates()?, step)));
    if let Some((first, _)) = steps().next() {
        let other = steps().find(|(options, _)| *options != first);
        faults.extend(other.map(|(_, step)| Fault::at(step.place, Problem::Disagreement)));
    }
    for (at, phase) in recipe.phases.iter().enumerate() {
        if phase.squeeze.is_some() {
            let masked = |weight: &&Weight<'_>| {
                let learning = weight.governing(methods).and_then(|one| one.method.learning());
                learning.is_some() && !train::training(phase, None, weight).is_empty()
            };
            let problem = |weight: &Weight<'_>| Problem::SqueezeAndMask { path: weight.path.to_string() };
            let place = phase.train.first().map_or(crate::place::Place::default(), |one| one.place);
            faults.extend(weights.iter().find(masked).map(|weight| Fault::at(place, problem(weight))));
        }
        if let Some(calibrate) = &phase.calibrate {
            faults.extend(phase_faults(at + 1, calibrate, &calibrated, weights));
        }
    }
    faults
}

/// What keeps a weight from going light.
fn weight_problem(recipe: &Recipe, weight: &Weight<'_>, governing: &Governing) -> Option<Problem> {
    let (path, light) = (weight.path.to_string(), governing.method.info().name);
    if governing.method.calibrates().is_some() {
        return Some(Problem::NoLightMethod { method: light, path });
    }
    match governing.method.learning() {
        Some(Learning::Drawn { .. }) => return Some(Problem::NoFixedPart { light, path }),
        Some(Learning::Fisher { .. }) => return None,
        None => {}
    }
    let whole = |phase: &Phase| {
        phase.calibrate.is_some()
            && train::light(phase, Some(governing), weight).len() == train::roles(weight).len()
    };
    recipe.phases.iter().any(whole).then_some(Problem::NeverLight { light, path })
}

fn phase_faults(
    phase: usize,
    calibrate: &Calibrate,
    calibrated: &[Calibrated<'_>],
    weights: &[Weight<'_>],
) -> Vec<Fault> {
    if calibrated.is_empty() {
        return vec![Fault::at(calibrate.place, Problem::NothingCalibrated { phase })];
    }
    let all: Vec<&Path> = weights.iter().map(|weight| weight.path).collect();
    let selectors = calibrate.components.iter().flat_map(|one| &one.select);
    let mut faults: Vec<Fault> =
        selectors.filter_map(|select| super::matching::unmatched(select, &all)).collect();
    if !faults.is_empty() {
        return faults;
    }
    let paths = || calibrated.iter().map(|(weight, _, _)| weight.path);
    let homeless = paths().find(|path| component_of(calibrate, path).is_none());
    let no_component = |path: &Path| Problem::NoComponent { phase, path: path.to_string() };
    faults.extend(homeless.map(|path| Fault::at(calibrate.place, no_component(path))));
    for (one, named) in components(calibrate, paths()).into_iter().zip(&calibrate.components) {
        if one.weights.is_empty() {
            let taken = paths().any(|path| named.select.iter().any(|select| select.value.matches(path)));
            let place = named.select.first().map_or(calibrate.place, |select| select.place);
            faults.push(Fault::at(place, Problem::EmptyComponent { name: one.name, taken }));
        }
    }
    faults
}

/// What a plan says of calibration: how often it looks, what switches, and settings that look unintended.
pub(super) fn notes(recipe: &Recipe, weights: &[Weight<'_>], methods: &[Arc<dyn Method>]) -> Vec<String> {
    let calibrated = calibrated(weights, methods);
    let Some((_, governing, options)) = calibrated.first() else { return Vec::new() };
    let phases: Vec<(usize, &Phase, &Calibrate)> = (1..)
        .zip(&recipe.phases)
        .filter_map(|(number, phase)| Some((number, phase, phase.calibrate.as_ref()?)))
        .collect();
    if phases.is_empty() {
        let light = governing.method.info().name;
        return vec![format!(
            "no phase has the key calibrate, so calibrated weights train as {light} says from the start"
        )];
    }
    let (every, window, delta) = (options.interval, options.window, options.delta);
    let of = |(number, phase, calibrate): (usize, &Phase, &Calibrate)| {
        let matrices = calibrated.len();
        let parts = match calibrate.components.len() {
            0 => "all at once".to_owned(),
            _ => {
                let names: Vec<&str> = calibrate.components.iter().map(|one| one.name.as_str()).collect();
                format!("each of {} by itself", names.join(", "))
            }
        };
        let mut notes = vec![format!(
            "phase {number} trains {matrices} matrices in full until stable ranks say otherwise ({parts}): a probe every \
             {every} steps, a vote every {window} probes"
        )];
        if delta >= NEVER {
            notes.push(format!(
                "phase {number}: no share of votes exceeds a delta of {delta}, so the switch never comes; lower delta"
            ));
        } else if delta < 0.0 {
            notes.push(format!(
                "phase {number}: a delta of {delta} switches at the first vote, whatever it says"
            ));
        }
        let first = every.saturating_mul(window as u64);
        if first >= phase.steps {
            let steps = phase.steps;
            notes.push(format!(
                "phase {number}: the first vote comes after {first} steps of {steps}, so the switch never comes; lower \
                 probe-interval or window"
            ));
        }
        notes
    };
    phases.into_iter().flat_map(of).collect()
}
