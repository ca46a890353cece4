//! Multiplication of every row by a number of its own.

use crate::device;
use crate::kernel::{elementwise, reduce};
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// `y[r, c] = x[r, c] scales[r]`.
///
/// # Shapes
/// x any shape of O rows; scales O; the result has the shape of x.
///
/// # Panics
/// When there is not one scale per row.
#[track_caller]
pub fn scale_rows(x: &Var, scales: &Var) -> Var {
    let rows = x.value().height();
    assert_eq!(scales.shape(), [rows], "scales for {rows} rows");
    let y = scaled(x.value(), scales.value());
    let saved_x = scales.is_tracked().then(|| x.value().clone());
    let saved_scales = x.is_tracked().then(|| scales.value().clone());
    record(&[x, scales], y, move |gradient, sink| {
        if let Some(scales) = saved_scales {
            sink.add(0, scaled(&gradient, &scales));
        }
        if let Some(x) = saved_x {
            if let Some(device) = device::near([&gradient]) {
                return sink.add(1, device.row_products(&gradient, &x));
            }
            let width = x.width();
            let row = |at: usize| at * width..(at + 1) * width;
            let mut sums = Array::stale(&[rows]);
            par::chunks_mut(sums.data_mut(), par::block_rows(width), |start, sums| {
                for (at, sum) in sums.iter_mut().enumerate() {
                    let row = row(start + at);
                    *sum = reduce::dot(&gradient.data()[row.clone()], &x.data()[row]);
                }
            });
            sink.add(1, sums);
        }
    })
}

fn scaled(x: &Array, scales: &Array) -> Array {
    let width = x.width().max(1);
    if let Some(device) = device::near([x]) {
        return device.scale_rows(x, scales);
    }
    let mut y = Array::stale(x.shape());
    let (x, scales) = (x.data(), scales.data());
    // Chunks of whole rows.
    par::chunks_mut(y.data_mut(), par::block_rows(width) * width, |start, y| {
        let rows = x[start..start + y.len()].chunks_exact(width);
        for ((y, x), scale) in y.chunks_exact_mut(width).zip(rows).zip(&scales[start / width..]) {
            elementwise::scale(y, x, *scale);
        }
    });
    y
}
