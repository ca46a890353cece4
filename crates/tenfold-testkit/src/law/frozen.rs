//! Only what trains changes: every other leaf keeps its bits.

use super::{apply, bits, given};
use crate::case::Case;
use crate::random;
use std::collections::BTreeSet;
use tenfold_tensor::optim::{AdamW, AdamWState};
use tenfold_tensor::{Activation, op};
use tenfold_weight::{LeafId, Scope, Tree};

const STEPS: u64 = 3;

/// Trains each leaf of a case alone for a few steps.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    for chosen in case.tree.leaves() {
        let mut tree = case.tree.clone();
        let trains = BTreeSet::from([chosen.id.clone()]);
        if !train(case, &mut tree, &trains) {
            continue; // The other's own cores are no part of what `head` computes.
        }
        let before = case.tree.values();
        for (id, value) in tree.values() {
            let same = bits(&value) == bits(&before[&id]);
            assert_eq!(same, id != chosen.id, "{}: {id} after training {} alone", case.name, chosen.id);
        }
    }
}

/// Takes steps towards a target; whether the loss depends on what trains.
pub(super) fn train(case: &Case, tree: &mut Tree, trains: &BTreeSet<LeafId>) -> bool {
    let x = random::array("x", &[4, case.cols]);
    let target = random::array("target", &[4, case.rows]);
    let mut states = std::collections::BTreeMap::new();
    for step in 1..=STEPS {
        let scope = Scope::train(tree, trains);
        let loss = op::mse(&apply(case.name, &scope, &x, Activation::Tanh), &target);
        if !loss.is_tracked() {
            return false;
        }
        let gradients = given(case.name, scope.backward(&loss));
        assert!(gradients.keys().all(|id| trains.contains(id)), "{}: gradient of a frozen leaf", case.name);
        tree.visit_mut(|id, leaf| {
            if let Some(gradient) = gradients.get(&id) {
                let state = states.entry(id).or_insert_with(|| AdamWState::new(gradient.shape()));
                AdamW::default().step(&mut leaf.value, gradient, state, step, 0.01, 0.1, 1.0);
            }
        });
    }
    true
}
