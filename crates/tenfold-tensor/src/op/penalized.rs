//! A penalty that acts in the backward pass alone.

use crate::tape::record;
use crate::{Array, Var};

/// x itself. In the backward pass the penalty gets the gradient `weight`, as if that much of it were part of the loss: what depends
/// on a hidden quantity can be steered without handing that to whoever computes the loss.
///
/// # Panics
/// When the penalty is no scalar.
#[track_caller]
pub fn penalized(x: &Var, penalty: &Var, weight: f32) -> Var {
    assert_eq!(penalty.value().len(), 1, "a penalty of shape {:?}", penalty.shape());
    let shape = penalty.shape().to_vec();
    record(&[x, penalty], x.value().clone(), move |gradient, sink| {
        sink.add(0, gradient);
        sink.add(1, Array::full(&shape, weight));
    })
}
