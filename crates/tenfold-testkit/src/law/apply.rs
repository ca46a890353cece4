//! Applying a weight equals multiplying what it sees of its inputs by its matrix, whichever way it is applied, and `dense` is that
//! matrix.

use super::{ACTIVATIONS, CONTRACTIONS, Function, apply, given};
use crate::case::Case;
use crate::random;
use crate::tolerance::{Dtype, Tolerance, assert_close, widen};
use std::collections::BTreeSet;
use tenfold_tensor::{Activation, Array, Var};
use tenfold_weight::{Scope, dense_values};

/// Batches of one row, few rows and more rows than columns.
const TOKENS: [usize; 3] = [1, 3, 50];

/// Checks a case.
///
/// # Panics
/// With the case's name when the law is broken.
#[track_caller]
pub fn holds(case: &Case) {
    let tolerance = Tolerance::values(Dtype::F32);
    let dense = given(case.name, dense_values(&case.tree, &case.path()));
    assert_eq!(dense.shape(), [case.rows, case.cols], "{}: shape of the dense matrix", case.name);
    assert_close(&format!("{}, dense", case.name), dense.data(), &case.matrix, tolerance);

    let every = case.tree.leaves().into_iter().map(|leaf| leaf.id).collect();
    let none = BTreeSet::new();
    for tokens in TOKENS {
        let x = random::array(case.name, &[tokens, case.cols]);
        for (activation, function) in ACTIVATIONS {
            let expected = product(case, &widen(x.data()), function);
            for contraction in CONTRACTIONS {
                let scopes = [
                    ("evaluation", Scope::evaluate(&case.tree)),
                    ("training of nothing", Scope::train(&case.tree, &none)),
                    ("training of everything", Scope::train(&case.tree, &every)),
                ];
                for (use_of_it, scope) in scopes {
                    let what =
                        format!("{}, {use_of_it}, {contraction:?}, {activation:?}, {tokens} rows", case.name);
                    let scope = scope.contracting(contraction);
                    let y = apply(&what, &scope, &x, activation);
                    if activation == Activation::Identity {
                        // Beside another map of the same inputs it is what it is alone.
                        let both = given(&what, scope.linears(["head", "head"], &Var::constant(x.clone())));
                        assert_close(
                            &what,
                            both[1].value().data(),
                            &expected,
                            of_terms(case, &x, &expected, tolerance),
                        );
                    }
                    assert_eq!(y.shape(), [tokens, case.rows], "{what}: shape");
                    assert_close(
                        &what,
                        y.value().data(),
                        &expected,
                        of_terms(case, &x, &expected, tolerance),
                    );
                }
            }
        }
    }
}

/// `function(x W^T + b)` in double precision, with x as the weight sees it.
fn product(case: &Case, x: &[f64], function: Function) -> Vec<f64> {
    let bias = case.bias();
    let dot = |x: &[f64], w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
    let row = |x: &[f64]| {
        let x = case.seen(x);
        let each = case.matrix.chunks(case.cols).zip(&bias);
        each.map(|(w, b)| function(dot(&x, w) + b)).collect::<Vec<_>>()
    };
    x.chunks(case.cols).flat_map(row).collect()
}

/// A lone number has no larger ones beside it to be measured by, and may be what is left of large terms: those stand in for them.
fn of_terms(case: &Case, x: &Array, expected: &[f64], tolerance: Tolerance) -> Tolerance {
    let [alone] = expected else { return tolerance };
    let terms = x.data().iter().zip(&case.matrix).map(|(x, w)| (f64::from(*x) * w).abs());
    Tolerance { absolute: tolerance.absolute * (terms.sum::<f64>() / alone.abs()).max(1.0), ..tolerance }
}
