//! Layer normalization of the sum of a value and a residual.

use crate::device::{self, Device, Norm};
use crate::kernel::norm;
use crate::par::{self, Shared};
use crate::pool::Buffer;
use crate::tape::record;
use crate::{Array, Var};

/// (h - mean) / sqrt(variance + eps) gain + bias with h = x + residual, row by row (Ba, Kiros and Hinton 2016, eq. 4).
///
/// # Shapes
/// x and residual N x D, gain and bias D; the result is N x D.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub fn layer_norm(x: &Var, residual: Option<&Var>, gain: &Var, bias: &Var, eps: f32) -> Var {
    let (rows, width) = (x.value().height(), x.value().width());
    assert!(
        gain.shape() == [width] && bias.shape() == [width] && residual.is_none_or(|r| r.shape() == x.shape()),
        "layer norm of {:?} with residual {:?}, gain {:?}, bias {:?}",
        x.shape(),
        residual.map(Var::shape),
        gain.shape(),
        bias.shape()
    );
    if let Some(device) = device::active() {
        return on_device(device, x, residual, gain, Some(bias), eps);
    }
    let block = par::block_rows(width);
    let blocks = if width == 0 { 0 } else { rows.div_ceil(block) };
    let span = move |i: usize| i * block..((i + 1) * block).min(rows);

    let mut y = Array::stale(x.shape());
    let (mut mean, mut rstd) = (Array::stale(&[rows]), Array::stale(&[rows]));
    {
        let (out, mean, rstd) =
            (Shared::new(y.data_mut()), Shared::new(mean.data_mut()), Shared::new(rstd.data_mut()));
        let x = x.value().data();
        let residual = residual.map(|r| r.value().data());
        let (gain, bias) = (gain.value().data(), bias.value().data());
        par::each(blocks, |i| {
            let rows = span(i);
            let flat = rows.start * width..rows.end * width;
            // SAFETY: blocks of rows of different tasks do not overlap.
            let (out, mean, rstd) = unsafe {
                (
                    out.slice(flat.start, flat.len()),
                    mean.slice(rows.start, rows.len()),
                    rstd.slice(rows.start, rows.len()),
                )
            };
            let residual = residual.map(|r| &r[flat.clone()]);
            norm::forward(out, mean, rstd, &x[flat.clone()], residual, gain, bias, eps);
        });
    }

    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, gain, bias, residual.unwrap_or(&constant)];
    let (x_value, gain_value) = (x.value().clone(), gain.value().clone());
    let residual_value = residual.map(|r| r.value().clone());
    record(&inputs, y, move |gradient, sink| {
        let with_dx = sink.wants(0) || sink.wants(3);
        let mut dx = Array::stale(if with_dx { x_value.shape() } else { &[0] });
        let out = Shared::new(dx.data_mut());
        let mut partial = Array::zeros(&[blocks.max(1), 2 * width]);
        let sums = Shared::new(partial.data_mut());
        par::each(blocks, |i| {
            let rows = span(i);
            let flat = rows.start * width..rows.end * width;
            // SAFETY: blocks of rows, and rows of partial sums, belong to one task each.
            let (dx, sums) = unsafe {
                (
                    if with_dx { out.slice(flat.start, flat.len()) } else { &mut [] },
                    sums.slice(i * 2 * width, 2 * width),
                )
            };
            let (dgain, dbias) = sums.split_at_mut(width);
            norm::backward(
                dx,
                dgain,
                dbias,
                &gradient.data()[flat.clone()],
                &x_value.data()[flat.clone()],
                residual_value.as_ref().map(|r| &r.data()[flat]),
                gain_value.data(),
                &mean.data()[rows.clone()],
                &rstd.data()[rows],
                &mut Buffer::stale(width),
            );
        });
        if sink.wants(1) || sink.wants(2) {
            let (first, rest) = partial.data_mut().split_at_mut(2 * width);
            crate::kernel::reduce::add_rows(first, rest);
            sink.add(1, Array::from_slice(&first[..width], &[width]));
            sink.add(2, Array::from_slice(&first[width..], &[width]));
        }
        if with_dx {
            sink.add(0, dx.clone());
            sink.add(3, dx);
        }
    })
}

/// The same on a device; without a bias the normalization of [`rms_norm`](super::rms_norm()).
pub(super) fn on_device(
    device: &'static Device,
    x: &Var,
    residual: Option<&Var>,
    gain: &Var,
    bias: Option<&Var>,
    eps: f32,
) -> Var {
    let norm = Norm { x: x.value(), residual: residual.map(Var::value), gain: gain.value() };
    let (y, moments) = device.normalize(&norm, bias.map(Var::value), eps);
    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, gain, bias.unwrap_or(&constant), residual.unwrap_or(&constant)];
    let (x, gain, residual) = (x.value().clone(), gain.value().clone(), residual.map(|r| r.value().clone()));
    record(&inputs, y, move |gradient, sink| {
        let norm = Norm { x: &x, residual: residual.as_ref(), gain: &gain };
        if sink.wants(1) || sink.wants(2) {
            let (dgain, dbias) = device.normalize_sums(&norm, &moments, &gradient);
            sink.add(1, dgain);
            if let Some(dbias) = dbias {
                sink.add(2, dbias);
            }
        }
        if sink.wants(0) || sink.wants(3) {
            let dx = device.normalize_back(&norm, &moments, &gradient);
            sink.add(0, dx.clone());
            sink.add(3, dx);
        }
    })
}
