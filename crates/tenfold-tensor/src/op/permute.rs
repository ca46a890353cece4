//! Reordering of axes.

use crate::kernel::permute as kernel;
use crate::tape::record;
use crate::{Array, Var};

/// x with its axes reordered: axis i of the result is axis `axes[i]` of x.
///
/// # Panics
/// When `axes` is not a permutation of the axes of x.
#[track_caller]
pub fn permute(x: &Var, axes: &[usize]) -> Var {
    let shape = x.shape().to_vec();
    let mut inverse = vec![usize::MAX; shape.len()];
    for (i, &axis) in axes.iter().enumerate() {
        assert!(
            axis < shape.len() && inverse[axis] == usize::MAX && axes.len() == shape.len(),
            "{axes:?} is not an order of the axes of {shape:?}"
        );
        inverse[axis] = i;
    }
    assert_eq!(axes.len(), shape.len(), "{axes:?} is not an order of the axes of {shape:?}");
    let permuted: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
    let mut y = Array::stale(&permuted);
    kernel::permute(y.data_mut(), x.value().data(), &shape, axes, false);
    record(&[x], y, move |gradient, sink| {
        sink.accumulate(0, &shape, |dx, filled| {
            kernel::permute(dx, gradient.data(), gradient.shape(), &inverse, filled);
        });
    })
}
