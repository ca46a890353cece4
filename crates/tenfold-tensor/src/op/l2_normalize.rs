//! Scaling rows to unit length.

use crate::kernel::{elementwise, reduce};
use crate::tape::record;
use crate::{Array, Var};

/// x / max(|x|, eps), row by row.
///
/// # Shapes
/// x B x D; the result has the same shape.
pub fn l2_normalize(x: &Var, eps: f32) -> Var {
    let (rows, width) = (x.value().height(), x.value().width());
    let mut y = Array::stale(x.shape());
    let span = move |row: usize| row * width..(row + 1) * width;
    let mut norms = Vec::with_capacity(rows);
    let out = y.data_mut();
    for row in 0..rows {
        let x = &x.value().data()[span(row)];
        let norm = reduce::sum_squares(x).sqrt() as f32;
        elementwise::scale(&mut out[span(row)], x, 1.0 / norm.max(eps));
        norms.push(norm);
    }
    let saved = y.clone();
    record(&[x], y, move |gradient, sink| {
        let mut dx = Array::stale(saved.shape());
        for (row, &norm) in norms.iter().enumerate() {
            let (y, dy) = (&saved.data()[span(row)], &gradient.data()[span(row)]);
            let dx = &mut dx.data_mut()[span(row)];
            elementwise::scale(dx, dy, 1.0 / norm.max(eps));
            // Where the norm is clamped it is constant.
            if norm > eps {
                elementwise::add_scaled(dx, y, -reduce::dot(y, dy) / norm);
            }
        }
        sink.add(0, dx);
    })
}
