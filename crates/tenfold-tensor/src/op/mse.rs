//! The mean squared error.

use crate::kernel::{elementwise, reduce};
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// Mean over all entries of (x - target)^2, a scalar.
///
/// # Panics
/// When the shapes differ or there are no entries.
#[track_caller]
pub fn mse(x: &Var, target: &Array) -> Var {
    assert_eq!(x.shape(), target.shape(), "value and target of a mean squared error");
    let len = target.len();
    assert!(len > 0, "mean squared error of no entries");
    let (data, wanted) = (x.value().data(), target.data());
    let total = par::sum(len, par::GRAIN, |start, end| {
        reduce::sum_squared_differences(&data[start..end], &wanted[start..end])
    });
    let value = x.value().clone();
    let target = target.clone();
    record(&[x], Array::scalar((total / len as f64) as f32), move |gradient, sink| {
        let factor = 2.0 * gradient.item() / len as f32;
        let mut dx = Array::stale(value.shape());
        par::chunks_mut(dx.data_mut(), par::GRAIN, |start, dx| {
            let span = start..start + dx.len();
            elementwise::difference(dx, &value.data()[span.clone()], &target.data()[span], factor);
        });
        sink.add(0, dx);
    })
}
