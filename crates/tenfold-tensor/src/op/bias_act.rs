//! Bias and activation in one pass.

use super::reduce_rows;
use crate::device;
use crate::kernel::activate;
use crate::par::{self, Shared};
use crate::tape::{any_tracked, record};
use crate::{Activation, Array, Var};

/// y = f(x + bias).
///
/// # Shapes
/// x any shape of width O; bias O; the result has the shape of x.
///
/// # Panics
/// When the bias does not have one element per column.
#[track_caller]
pub fn bias_act(x: &Var, bias: Option<&Var>, act: Activation) -> Var {
    let width = x.value().width();
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [width], "bias for rows of width {width}");
    }
    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, bias.unwrap_or(&constant)];
    let (y, slope) = finish(x.value().clone(), bias.map(Var::value), act, any_tracked(&inputs));
    let with_bias = bias.is_some();
    record(&inputs, y, move |gradient, sink| {
        let (dz, dbias) = chain(gradient, slope, with_bias && sink.wants(1));
        if let Some(dbias) = dbias {
            sink.add(1, dbias);
        }
        sink.add(0, dz);
    })
}

/// Adds the bias to z and applies the activation, in place where possible. The second result is f'(z), kept only when
/// it is wanted and not 1 everywhere.
pub(super) fn finish(
    mut z: Array,
    bias: Option<&Array>,
    act: Activation,
    with_slope: bool,
) -> (Array, Option<Array>) {
    if bias.is_none() && act == Activation::Identity {
        return (z, None);
    }
    if let Some(device) = device::near([&z]) {
        return device.finish(z, bias, act, with_slope);
    }
    let width = z.width();
    let block = par::block_rows(width) * width.max(1);
    let bias = bias.map_or(&[][..], Array::data);
    if with_slope && act != Activation::Identity {
        let mut y = Array::stale(z.shape());
        let shared = Shared::new(z.data_mut());
        par::chunks_mut(y.data_mut(), block, |start, y| {
            // SAFETY: chunks of different tasks do not overlap.
            let z = unsafe { shared.slice(start, y.len()) };
            activate::add_bias(z, bias);
            activate::apply_with_slope(y, z, act);
        });
        return (y, Some(z));
    }
    par::chunks_mut(z.data_mut(), block, |_, z| {
        activate::add_bias(z, bias);
        activate::apply(z, act);
    });
    (z, None)
}

/// Adds the bias to a piece of a row from column `first` on and applies the activation.
pub(super) fn finish_piece(piece: &mut [f32], first: usize, bias: Option<&Array>, act: Activation) {
    if let Some(bias) = bias {
        activate::add_bias(piece, &bias.data()[first..first + piece.len()]);
    }
    if act != Activation::Identity {
        activate::apply(piece, act);
    }
}

/// The gradient of z from that of f(z), written over the saved slope, and with it the gradient of the bias.
pub(super) fn chain(gradient: Array, slope: Option<Array>, with_bias: bool) -> (Array, Option<Array>) {
    let width = gradient.width();
    match slope {
        None => {
            let dbias = with_bias.then(|| reduce_rows::sum(&gradient));
            (gradient, dbias)
        }
        Some(mut slope) => {
            if let Some(device) = device::near([&slope]) {
                device.multiply_by(&mut slope, &gradient);
                let dbias = with_bias.then(|| reduce_rows::sum(&slope));
                return (slope, dbias);
            }
            let g = gradient.data();
            let shared = Shared::new(slope.data_mut());
            let rows = gradient.height();
            let dbias = reduce_rows::collect(rows, width, with_bias, |range, sum| {
                // SAFETY: blocks of rows of different tasks do not overlap.
                let slope = unsafe { shared.slice(range.start * width, range.len() * width) };
                activate::chain(slope, &g[range.start * width..range.end * width], width, sum);
            });
            (slope, dbias)
        }
    }
}
