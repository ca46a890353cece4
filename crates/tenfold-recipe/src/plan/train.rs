//! What trains: a phase's selectors and the method's schedule together, for a leaf and in words for a weight.

use super::Weight;
use super::matching::unmatched as unmatched_selector;
use crate::fault::{Fault, Problem};
use crate::place::Located;
use crate::recipe::Phase;
use tenfold_method::{Method, Training};
use tenfold_weight::{Path, Role, Selector};

/// One leaf's part in one phase.
pub(crate) struct Trained<'a> {
    /// The method that rewrote the weight last.
    pub(crate) method: Option<&'a dyn Method>,
    pub(crate) path: &'a Path,
    pub(crate) role: Role,
}

/// The factor on the rate with which a leaf trains at a step of a phase; nothing when it is frozen.
pub(crate) fn trained(phase: &Phase, step: u64, leaf: &Trained<'_>) -> Option<f32> {
    if !selected(phase, leaf.path, leaf.role) {
        return None;
    }
    match leaf.method.map_or(Training::Trains(1.0), |method| method.schedule(step, leaf.path, leaf.role)) {
        Training::Frozen => None,
        Training::Trains(factor) => Some(factor),
    }
}

/// Whether a phase's selectors match a leaf, whatever its method says.
pub(crate) fn selected(phase: &Phase, path: &Path, role: Role) -> bool {
    phase.train.iter().any(|one| one.value.matches_leaf(path, role))
}

/// Which leaves of a weight train, in words. Phases that differ are told apart.
pub(super) fn words(phases: &[Phase], method: Option<&dyn Method>, weight: &Weight<'_>) -> String {
    let of = |phase: &Phase| {
        let (all, training) = (roles(weight), training(phase, method, weight));
        match training.len() {
            0 => "nothing".to_owned(),
            some if some == all.len() => "all".to_owned(),
            _ => training.iter().map(|(role, _)| role.word()).collect::<Vec<_>>().join(", "),
        }
    };
    let each: Vec<String> = phases.iter().map(of).collect();
    match each.as_slice() {
        [] => "nothing".to_owned(),
        [first, rest @ ..] if rest.iter().all(|one| one == first) => first.clone(),
        _ => each
            .iter()
            .enumerate()
            .map(|(at, one)| format!("{}: {one}", at + 1))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// The faults of selectors of leaves that match no weight, or no leaf of the weights they match.
pub(super) fn unmatched(phases: &[Phase], weights: &[Weight<'_>]) -> Vec<Fault> {
    let groups =
        |phase: &'_ Phase| phase.groups.iter().flat_map(|group| group.select.clone()).collect::<Vec<_>>();
    let selectors = phases.iter().flat_map(|phase| phase.train.iter().cloned().chain(groups(phase)));
    selectors.filter_map(|selector| fault(&selector, weights)).collect()
}

fn fault(selector: &Located<Selector>, weights: &[Weight<'_>]) -> Option<Fault> {
    let unmatched =
        unmatched_selector(selector, &weights.iter().map(|weight| weight.path).collect::<Vec<_>>());
    if unmatched.is_some() {
        return unmatched;
    }
    let role = selector.value.role()?;
    let matched = || weights.iter().filter(|weight| selector.value.matches(weight.path));
    if matched().any(|weight| roles(weight).iter().any(|(has, _)| *has == role)) {
        return None;
    }
    let mut forms: Vec<String> = matched().map(|weight| weight.planned.form.clone()).collect();
    forms.sort();
    forms.dedup();
    let problem = Problem::NoSuchRole { selector: selector.value.to_string(), role: role.word(), forms };
    Some(Fault::at(selector.place, problem))
}

/// Parameters of a weight that train in some phase.
pub(super) fn count(phases: &[Phase], method: Option<&dyn Method>, weight: &Weight<'_>) -> usize {
    let mut ever: Vec<(Role, usize)> = Vec::new();
    for phase in phases {
        for one in training(phase, method, weight) {
            if !ever.contains(&one) {
                ever.push(one);
            }
        }
    }
    let count: usize = ever.iter().map(|(_, count)| count).sum();
    if weight.planned.roles.is_empty() && !ever.is_empty() { weight.planned.parameters } else { count }
}

/// The roles of a weight's leaves that train in a phase, with their parameters.
fn training(phase: &Phase, method: Option<&dyn Method>, weight: &Weight<'_>) -> Vec<(Role, usize)> {
    let trains = |(role, _): &(Role, usize)| {
        let leaf = Trained { method, path: weight.path, role: *role };
        // Schedules change slowly; what trains at the first or the last step trains in the phase.
        [0, phase.steps.saturating_sub(1)].iter().any(|step| trained(phase, *step, &leaf).is_some())
    };
    roles(weight).into_iter().filter(trains).collect()
}

/// The roles of the leaves of a planned form, with their parameters; where evidence chooses the form, any role may
/// turn up.
fn roles(weight: &Weight<'_>) -> Vec<(Role, usize)> {
    match weight.planned.roles.as_slice() {
        [] => Role::ALL.map(|role| (role, 0)).to_vec(),
        known => known.to_vec(),
    }
}
