//! The same elements under another shape.

use crate::Var;
use crate::tape::record;

/// x with another shape of the same number of elements; moves nothing.
///
/// # Panics
/// When the number of elements differs.
#[track_caller]
pub fn reshape(x: &Var, shape: &[usize]) -> Var {
    let before = x.shape().to_vec();
    record(&[x], x.value().reshape(shape), move |gradient, sink| sink.add(0, gradient.reshape(&before)))
}
