//! Multiplication of every row by one vector.

use super::reduce_rows;
use crate::device;
use crate::kernel::elementwise;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// `y[r, c] = x[r, c] scales[c]`.
///
/// # Shapes
/// x any shape of width I; scales I; the result has the shape of x.
///
/// # Panics
/// When there is not one scale per column.
#[track_caller]
pub fn scale_columns(x: &Var, scales: &Var) -> Var {
    let width = x.value().width();
    assert_eq!(scales.shape(), [width], "scales for rows of width {width}");
    let y = scaled(x.value(), scales.value());
    let saved_x = scales.is_tracked().then(|| x.value().clone());
    let saved_scales = x.is_tracked().then(|| scales.value().clone());
    record(&[x, scales], y, move |gradient, sink| {
        if let Some(scales) = saved_scales {
            sink.add(0, scaled(&gradient, &scales));
        }
        if let Some(x) = saved_x {
            let mut product = Array::stale(gradient.shape());
            if let Some(device) = device::near([&gradient]) {
                device.multiply_elements(&mut product, &gradient, &x, false);
                return sink.add(1, reduce_rows::sum(&product));
            }
            let (g, x) = (gradient.data(), x.data());
            par::chunks_mut(product.data_mut(), par::GRAIN, |start, d| {
                let span = start..start + d.len();
                elementwise::multiply(d, &g[span.clone()], &x[span]);
            });
            sink.add(1, reduce_rows::sum(&product));
        }
    })
}

fn scaled(x: &Array, scales: &Array) -> Array {
    let width = x.width();
    if let Some(device) = device::near([x]) {
        return device.scale_columns(x, scales);
    }
    let mut y = Array::stale(x.shape());
    let (x, scales) = (x.data(), scales.data());
    // Chunks of whole rows.
    par::chunks_mut(y.data_mut(), par::block_rows(width) * width.max(1), |start, y| {
        let rows = x[start..start + y.len()].chunks_exact(width);
        for (y, x) in y.chunks_exact_mut(width).zip(rows) {
            elementwise::multiply(y, x, scales);
        }
    });
    y
}
