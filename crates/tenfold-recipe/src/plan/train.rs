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
    let roles = roles(&weight.planned.form);
    let of = |phase: &Phase| {
        let leaf = |role: &Role| Trained { method, path: weight.path, role: *role };
        // Schedules change slowly; what trains at the first or the last step trains in the phase.
        let trains = |role: &&Role| {
            [0, phase.steps.saturating_sub(1)].iter().any(|step| trained(phase, *step, &leaf(role)).is_some())
        };
        let training: Vec<&str> = roles.iter().filter(trains).map(|role| role.word()).collect();
        match training.len() {
            0 => "nothing".to_owned(),
            all if all == roles.len() => "all".to_owned(),
            _ => training.join(", "),
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
    if matched().any(|weight| roles(&weight.planned.form).contains(&role)) {
        return None;
    }
    let mut forms: Vec<String> = matched().map(|weight| weight.planned.form.clone()).collect();
    forms.sort();
    forms.dedup();
    let problem = Problem::NoSuchRole { selector: selector.value.to_string(), role: role.word(), forms };
    Some(Fault::at(selector.place, problem))
}

/// The roles that leaves of a planned form may have. A plan knows forms by their words only; one that says nothing
/// known may hold any role.
fn roles(form: &str) -> Vec<Role> {
    let words: [(&str, &[Role]); 4] = [
        ("dense", &[Role::Value]),
        ("mpo", &[Role::Central, Role::Auxiliary]),
        ("low rank", &[Role::Down, Role::Up]),
        ("scaled", &[Role::Scale]),
    ];
    let known: Vec<Role> = words
        .iter()
        .filter(|(word, _)| form.contains(word))
        .flat_map(|(_, roles)| roles.iter().copied())
        .collect();
    if known.is_empty() { Role::ALL.to_vec() } else { known }
}
