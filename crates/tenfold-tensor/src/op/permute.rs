//! Reordering of axes.

use crate::device;
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
    reorder(&mut y, x.value(), &shape, axes, false);
    record(&[x], y, move |gradient, sink| {
        sink.accumulate_in(0, &shape, |dx, filled| {
            reorder(dx, &gradient, gradient.shape(), &inverse, filled);
        });
    })
}

/// to (+)= from, seen in a shape, with its axes reordered.
pub(super) fn reorder(to: &mut Array, from: &Array, shape: &[usize], axes: &[usize], add: bool) {
    if device::near([from]).is_some_and(|device| device.permute(to, from, shape, axes, add)) {
        return;
    }
    kernel::permute(to.data_mut(), from.data(), shape, axes, add);
}
