//! What trains: a phase's selectors and the method's schedule together, for a leaf and in words for a weight.

use super::Weight;
use super::govern::Governing;
use super::matching::unmatched as unmatched_selector;
use crate::fault::{Fault, Problem};
use crate::place::Located;
use crate::recipe::Phase;
use std::sync::Arc;
use tenfold_method::{Method, Training};
use tenfold_weight::{Path, Role, Selector};

/// Steps of a phase, spread over it, at which a plan looks what trains.
const LOOKED_AT: u128 = 256;

/// One leaf's part in one phase.
pub(crate) struct Trained<'a> {
    /// Who says what trains in the weight.
    pub(crate) governing: Option<&'a Governing>,
    pub(crate) path: &'a Path,
    pub(crate) role: Role,
}

/// The factor on the rate with which a leaf trains at a step of a phase; nothing when it is frozen.
pub(crate) fn trained(phase: &Phase, step: u64, leaf: &Trained<'_>) -> Option<f32> {
    if !selected(phase, leaf.path, leaf.role) {
        return None;
    }
    match scheduled(step, leaf) {
        Training::Trains(factor) => Some(factor),
        Training::Frozen => full_rate(phase, leaf),
    }
}

/// What the light method says.
fn scheduled(step: u64, leaf: &Trained<'_>) -> Training {
    let says = |governing: &Governing| governing.method.schedule(step, leaf.path, leaf.role);
    leaf.governing.map_or(Training::Trains(1.0), says)
}

/// The factor on the rate of what a phase that calibrates trains until the switch alone.
fn full_rate(phase: &Phase, leaf: &Trained<'_>) -> Option<f32> {
    let options = leaf.governing.and_then(|governing| governing.calibrates)?;
    (phase.calibrate.is_some() && options.full_rate > 0.0).then_some(options.full_rate as f32)
}

/// Whether a leaf that a phase trains goes on after the phase's switch.
pub(crate) fn goes_on(phase: &Phase, step: u64, leaf: &Trained<'_>) -> bool {
    let light = |calibrate: &crate::recipe::Calibrate| {
        calibrate.light.iter().any(|one| one.value.matches_leaf(leaf.path, leaf.role))
    };
    phase.calibrate.as_ref().is_none_or(light)
        && selected(phase, leaf.path, leaf.role)
        && matches!(scheduled(step, leaf), Training::Trains(_))
}

/// Whether a phase's selectors match a leaf, whatever its method says.
pub(crate) fn selected(phase: &Phase, path: &Path, role: Role) -> bool {
    phase.train.iter().any(|one| one.value.matches_leaf(path, role))
}

/// Which leaves of a weight train, in words. Phases that differ are told apart.
pub(super) fn words(phases: &[Phase], governing: Option<&Governing>, weight: &Weight<'_>) -> String {
    let all = roles(weight);
    let learning = governing.and_then(|governing| governing.method.learning());
    let partly = learning.is_some_and(|learning| learning.entries(1000) < 1000);
    let named = |training: Vec<(Role, usize)>, partly: bool| match training.len() {
        0 => "nothing".to_owned(),
        _ if partly => "some entries".to_owned(),
        some if some == all.len() => "all".to_owned(),
        _ => training.iter().map(|(role, _)| role.word()).collect::<Vec<_>>().join(", "),
    };
    let of = |phase: &Phase| {
        let full = training(phase, governing, weight);
        if phase.calibrate.is_none() {
            return named(full, partly);
        }
        let (full, light) = (named(full, false), named(light(phase, governing, weight), partly));
        if full == light { full } else { format!("{full}, then {light}") }
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
    let light =
        |phase: &'_ Phase| phase.calibrate.iter().flat_map(|one| one.light.clone()).collect::<Vec<_>>();
    let selectors =
        phases.iter().flat_map(|phase| phase.train.iter().cloned().chain(groups(phase)).chain(light(phase)));
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
pub(super) fn count(phases: &[Phase], governing: Option<&Governing>, weight: &Weight<'_>) -> usize {
    let mut ever: Vec<(Role, usize)> = Vec::new();
    let mut whole = false;
    for phase in phases {
        whole |= phase.calibrate.is_some() && governing.is_some_and(|one| one.calibrates.is_some());
        for one in training(phase, governing, weight) {
            if !ever.contains(&one) {
                ever.push(one);
            }
        }
    }
    let count: usize = ever.iter().map(|(_, count)| count).sum();
    let count =
        if weight.planned.roles.is_empty() && !ever.is_empty() { weight.planned.parameters } else { count };
    match governing.and_then(|governing| governing.method.learning()) {
        Some(learning) if !whole => learning.entries(count),
        _ => count,
    }
}

/// Says which roles of a weight's leaves train, with their parameters.
type Roles = fn(&Phase, Option<&Governing>, &Weight<'_>) -> Vec<(Role, usize)>;

/// The faults of phases in which nothing trains, or nothing after the switch.
pub(super) fn idle(phases: &[Phase], weights: &[Weight<'_>], methods: &[Arc<dyn Method>]) -> Vec<Fault> {
    let governed: Vec<_> = weights.iter().map(|weight| (weight, weight.governing(methods))).collect();
    let of = |(at, phase): (usize, &Phase)| {
        let any = |roles: Roles| {
            governed.iter().any(|(weight, governing)| !roles(phase, governing.as_ref(), weight).is_empty())
        };
        let (light, select) = match &phase.calibrate {
            _ if !any(training) => (false, &phase.train),
            Some(calibrate) if !any(light) => (true, &calibrate.light),
            _ => return None,
        };
        let selectors = select.iter().map(|one| one.value.to_string()).collect();
        let place = select.first()?.place;
        Some(Fault::at(place, Problem::NothingTrains { phase: at + 1, light, selectors }))
    };
    phases.iter().enumerate().filter_map(of).collect()
}

/// The roles of a weight's leaves that train in a phase, with their parameters.
pub(super) fn training(
    phase: &Phase,
    governing: Option<&Governing>,
    weight: &Weight<'_>,
) -> Vec<(Role, usize)> {
    roles_that(phase, governing, weight, |step, leaf| trained(phase, step, leaf).is_some())
}

/// The roles that go on after the phase's switch.
pub(super) fn light(phase: &Phase, governing: Option<&Governing>, weight: &Weight<'_>) -> Vec<(Role, usize)> {
    roles_that(phase, governing, weight, |step, leaf| goes_on(phase, step, leaf))
}

fn roles_that(
    phase: &Phase,
    governing: Option<&Governing>,
    weight: &Weight<'_>,
    trains: impl Fn(u64, &Trained<'_>) -> bool,
) -> Vec<(Role, usize)> {
    let trains = |(role, _): &(Role, usize)| {
        let leaf = Trained { governing, path: weight.path, role: *role };
        // Schedules change slowly, or draw again at every step: what trains trains at one of some steps.
        let last = phase.steps.saturating_sub(1);
        (0..=LOOKED_AT).map(|at| (u128::from(last) * at / LOOKED_AT) as u64).any(|step| trains(step, &leaf))
    };
    roles(weight).into_iter().filter(trains).collect()
}

/// The roles of the leaves of a planned form, with their parameters; where evidence chooses the form, any role may
/// turn up.
pub(super) fn roles(weight: &Weight<'_>) -> Vec<(Role, usize)> {
    match weight.planned.roles.as_slice() {
        [] => Role::ALL.map(|role| (role, 0)).to_vec(),
        known => known.to_vec(),
    }
}
