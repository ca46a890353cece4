//! The same again gives the same bytes: results, gradients and training.

use super::{CONTRACTIONS, apply, bits, frozen};
use crate::case::Case;
use crate::random;
use tenfold_tensor::{Activation, Array};
use tenfold_weight::{Scope, Tree};

/// Does everything twice, the second time on a tree of its own storage.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    let mut twin = case.tree.clone();
    twin.visit_mut(|_, leaf| leaf.value = Array::from_slice(leaf.value.data(), leaf.value.shape()));
    let x = random::array(case.name, &[5, case.cols]);
    for contraction in CONTRACTIONS {
        let result = |tree: &Tree| {
            let scope = Scope::evaluate(tree).contracting(contraction);
            bits(apply(case.name, &scope, &x, Activation::Gelu).value())
        };
        assert_eq!(result(&case.tree), result(&twin), "{}, {contraction:?}: bits of the result", case.name);
    }
    let every = case.tree.leaves().into_iter().map(|leaf| leaf.id).collect();
    let trained = |tree: &Tree| {
        let mut tree = tree.clone();
        frozen::train(case, &mut tree, &every);
        tree.values().into_iter().map(|(id, value)| (id, bits(&value))).collect::<Vec<_>>()
    };
    assert_eq!(trained(&case.tree), trained(&twin), "{}: bits after training", case.name);
}
