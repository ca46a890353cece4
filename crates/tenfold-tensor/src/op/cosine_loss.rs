//! One minus the cosine to a target, averaged over rows.

use crate::kernel::{elementwise, reduce};
use crate::tape::record;
use crate::{Array, Var};

/// Lower bound of both norms, so that zero rows have cosine 0.
const MIN_NORM: f32 = 1e-8;

/// Mean over rows of 1 - cos(x, target), a scalar. A row whose norm is below 1e-8 is divided by that instead.
///
/// # Shapes
/// x and target B x D.
///
/// # Panics
/// When the shapes differ or there are no rows.
#[track_caller]
pub fn cosine_loss(x: &Var, target: &Array) -> Var {
    assert_eq!(x.shape(), target.shape(), "value and target of a cosine loss");
    let (rows, width) = (target.height(), target.width());
    assert!(rows > 0, "cosine loss of no rows");
    let value = x.value().clone();
    let target = target.clone();
    let span = move |row: usize| row * width..(row + 1) * width;
    let mut stats = Vec::with_capacity(rows); // norm of x, norm of target, cosine
    for row in 0..rows {
        let (x, t) = (&value.data()[span(row)], &target.data()[span(row)]);
        let (norm_x, norm_t) = (reduce::sum_squares(x).sqrt() as f32, reduce::sum_squares(t).sqrt() as f32);
        let cosine = reduce::dot(x, t) / (norm_x.max(MIN_NORM) * norm_t.max(MIN_NORM));
        stats.push((norm_x, norm_t, cosine));
    }
    let total: f64 = stats.iter().map(|&(_, _, cosine)| 1.0 - f64::from(cosine)).sum();
    record(&[x], Array::scalar((total / rows as f64) as f32), move |gradient, sink| {
        let factor = -gradient.item() / rows as f32;
        let mut dx = Array::stale(value.shape());
        for (row, &(norm_x, norm_t, cosine)) in stats.iter().enumerate() {
            let (x, t) = (&value.data()[span(row)], &target.data()[span(row)]);
            let along_target = factor / (norm_x.max(MIN_NORM) * norm_t.max(MIN_NORM));
            // Where the norm is clamped it is constant.
            let along_x = if norm_x > MIN_NORM { -factor * cosine / (norm_x * norm_x) } else { 0.0 };
            let dx = &mut dx.data_mut()[span(row)];
            elementwise::scale(dx, t, along_target);
            elementwise::add_scaled(dx, x, along_x);
        }
        sink.add(0, dx);
    })
}
