//! Division by constants.

use crate::kernel::elementwise;
use crate::tape::record;
use crate::{Array, Var};

/// x / by, element by element, and 0 where `by` is 0. No gradient flows into `by`.
///
/// # Shapes
/// x and `by` have one shape, which the result has too.
///
/// # Panics
/// When the shapes differ.
#[track_caller]
pub fn divide(x: &Var, by: &Array) -> Var {
    assert_eq!(x.shape(), by.shape(), "division by another shape");
    let y = divided(x.value(), by);
    let by = by.clone();
    record(&[x], y, move |gradient, sink| sink.add(0, divided(&gradient, &by)))
}

fn divided(x: &Array, by: &Array) -> Array {
    let mut y = Array::stale(x.shape());
    elementwise::divide(y.data_mut(), x.data(), by.data());
    y
}
