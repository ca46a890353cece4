//! Noise whose size is learned.

use crate::tape::record;
use crate::{Array, Var};

/// `x + noise * log(1 + exp(spread))`, elementwise.
///
/// # Shapes
/// All three of one shape.
///
/// # Panics
/// When the shapes differ.
///
/// # Source
/// Shazeer et al. 2017, equation 4.
#[track_caller]
pub fn noisy(x: &Var, spread: &Var, noise: &Array) -> Var {
    assert!(x.shape() == spread.shape() && x.shape() == noise.shape(), "noise of another shape");
    let softplus = |s: f32| s.max(0.0) + (-s.abs()).exp().ln_1p();
    let mut y = x.value().clone();
    let each = y.data_mut().iter_mut().zip(spread.value().data()).zip(noise.data());
    each.for_each(|((y, s), n)| *y += n * softplus(*s));
    let (noise, spread_value) = (noise.clone(), spread.value().clone());
    record(&[x, spread], y, move |gradient, sink| {
        if sink.wants(1) {
            let mut ds = spread_value;
            let each = ds.data_mut().iter_mut().zip(noise.data()).zip(gradient.data());
            each.for_each(|((s, n), g)| *s = g * n / (1.0 + (-*s).exp()));
            sink.add(1, ds);
        }
        sink.add(0, gradient);
    })
}
