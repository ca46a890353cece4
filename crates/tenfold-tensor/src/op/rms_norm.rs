//! Root-mean-square normalization of the sum of a value and a residual.

use super::layer_norm;
use crate::device;
use crate::kernel::{norm, reduce};
use crate::par::{self, Shared};
use crate::pool::Buffer;
use crate::tape::record;
use crate::{Array, Var};

/// h / sqrt(mean of h^2 + eps) gain with h = x + residual, row by row (Zhang and Sennrich 2019, eq. 4).
///
/// # Shapes
/// x and residual N x D, gain D; the result is N x D.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub fn rms_norm(x: &Var, residual: Option<&Var>, gain: &Var, eps: f32) -> Var {
    let (rows, width) = (x.value().height(), x.value().width());
    assert!(
        gain.shape() == [width] && residual.is_none_or(|r| r.shape() == x.shape()),
        "rms norm of {:?} with residual {:?}, gain {:?}",
        x.shape(),
        residual.map(Var::shape),
        gain.shape()
    );
    if let Some(device) = device::active() {
        return layer_norm::on_device(device, x, residual, gain, None, eps);
    }
    let block = par::block_rows(width);
    let blocks = if width == 0 { 0 } else { rows.div_ceil(block) };
    let span = move |i: usize| i * block..((i + 1) * block).min(rows);

    let mut y = Array::stale(x.shape());
    let mut rstd = Array::stale(&[rows]);
    {
        let (out, rstd) = (Shared::new(y.data_mut()), Shared::new(rstd.data_mut()));
        let x = x.value().data();
        let residual = residual.map(|r| r.value().data());
        let gain = gain.value().data();
        par::each(blocks, |i| {
            let rows = span(i);
            let flat = rows.start * width..rows.end * width;
            // SAFETY: blocks of rows of different tasks do not overlap.
            let (out, rstd) =
                unsafe { (out.slice(flat.start, flat.len()), rstd.slice(rows.start, rows.len())) };
            let residual = residual.map(|r| &r[flat.clone()]);
            norm::rms_forward(out, rstd, &x[flat.clone()], residual, gain, eps);
        });
    }

    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, gain, residual.unwrap_or(&constant)];
    let (x_value, gain_value) = (x.value().clone(), gain.value().clone());
    let residual_value = residual.map(|r| r.value().clone());
    record(&inputs, y, move |gradient, sink| {
        let with_dx = sink.wants(0) || sink.wants(2);
        let mut dx = Array::stale(if with_dx { x_value.shape() } else { &[0] });
        let out = Shared::new(dx.data_mut());
        let mut partial = Array::zeros(&[blocks.max(1), width]);
        let sums = Shared::new(partial.data_mut());
        par::each(blocks, |i| {
            let rows = span(i);
            let flat = rows.start * width..rows.end * width;
            // SAFETY: blocks of rows, and rows of partial sums, belong to one task each.
            let (dx, sums) = unsafe {
                (
                    if with_dx { out.slice(flat.start, flat.len()) } else { &mut [] },
                    sums.slice(i * width, width),
                )
            };
            norm::rms_backward(
                dx,
                sums,
                &gradient.data()[flat.clone()],
                &x_value.data()[flat.clone()],
                residual_value.as_ref().map(|r| &r.data()[flat]),
                gain_value.data(),
                &rstd.data()[rows],
                &mut Buffer::stale(width),
            );
        });
        if sink.wants(1) {
            let (first, rest) = partial.data_mut().split_at_mut(width);
            reduce::add_rows(first, rest);
            sink.add(1, Array::from_slice(first, &[width]));
        }
        if with_dx {
            sink.add(0, dx.clone());
            sink.add(2, dx);
        }
    })
}
