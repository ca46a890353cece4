//! The gradient of every stored leaf, and of the input, equals differences of the loss.
//!
//! The loss is linear or quadratic in every single number of a leaf (a product of several leaves, each used once or
//! twice), so central differences are exact at any step: a large one leaves no rounding error to speak of. What a form's
//! backward pass takes for constant is held in the differences, too.

use super::{CONTRACTIONS, given};
use crate::case::Case;
use crate::random;
use crate::tolerance::{Dtype, Tolerance, assert_close, widen};
use tenfold_tensor::{Activation, Array, Var, op};
use tenfold_weight::{Contraction, Form, LeafId, Path, Scope, Tree};

const STEP: f32 = 0.5;
const TOKENS: usize = 3;
/// Width of the layer below, whose gradient goes through the input of the one looked at.
const BELOW: usize = 2;

/// Checks a case.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    let mut tree = case.tree.clone();
    tree.insert(Path::new("below.weight"), Form::dense(random::array("below", &[case.cols, BELOW])));
    for contraction in CONTRACTIONS {
        check(
            case,
            &format!("{}, {contraction:?}", case.name),
            &tree,
            &|scope| {
                let x = Var::constant(random::array(case.name, &[TOKENS, BELOW]));
                let scope_x = given(case.name, scope.linear("below", &x, Activation::Identity));
                given(case.name, scope.linear("head", &scope_x, Activation::Identity))
            },
            contraction,
        );
    }
    // Rows of what holds codes alone depend on nothing that trains, and the bias takes no part in a look-up.
    if case.tree.leaves().iter().all(|leaf| leaf.id.path.as_str() == "head.bias") {
        return;
    }
    let last = case.rows as u32 - 1;
    let ids = [0, last, 1, 1];
    let look_up = |scope: &Scope<'_>| given(case.name, scope.rows("head", &ids));
    for contraction in CONTRACTIONS {
        check(case, &format!("{}, rows, {contraction:?}", case.name), &case.tree, &look_up, contraction);
    }
}

/// Compares the gradient of a random projection of `output` with differences, for every leaf that takes part.
#[track_caller]
fn check(case: &Case, what: &str, tree: &Tree, output: &dyn Fn(&Scope<'_>) -> Var, contraction: Contraction) {
    let every = tree.leaves().into_iter().map(|leaf| leaf.id).collect();
    let scope = Scope::train(tree, &every).contracting(contraction);
    let y = output(&scope);
    let direction = random::array(what, y.shape());
    let loss = op::sum(&op::mul(&y, &Var::constant(direction.clone())));
    drop(y);
    let gradients = given(what, scope.backward(&loss));
    assert!(!gradients.is_empty(), "{what}: no leaf got a gradient");
    let project = |tree: &Tree| {
        let tree = case.holding(tree);
        let y = output(&Scope::evaluate(&tree).contracting(contraction));
        widen(y.value().data()).iter().zip(widen(direction.data())).map(|(y, d)| y * d).sum::<f64>()
    };
    for (id, gradient) in &gradients {
        let moved = |at: usize, by: f32| project(&with(tree, id, |value| value.data_mut()[at] += by));
        let slope = |at: usize| (moved(at, STEP) - moved(at, -STEP)) / (2.0 * f64::from(STEP));
        let expected: Vec<f64> = (0..gradient.len()).map(slope).collect();
        let tolerance = Tolerance::gradients(Dtype::F32);
        assert_close(&format!("{what}, gradient of {id}"), gradient.data(), &expected, tolerance);
    }
    for (id, value) in tree.values() {
        let used = (0..value.len())
            .any(|at| project(&with(tree, &id, |value| value.data_mut()[at] += STEP)) != project(tree));
        assert_eq!(
            used,
            gradients.contains_key(&id),
            "{what}: {id} matters to the loss or has a gradient, not both"
        );
    }
}

/// The tree with one leaf changed.
fn with(tree: &Tree, id: &LeafId, change: impl Fn(&mut Array)) -> Tree {
    let mut tree = tree.clone();
    tree.visit_mut(|at, leaf| {
        if at == *id {
            change(&mut leaf.value);
        }
    });
    tree
}
