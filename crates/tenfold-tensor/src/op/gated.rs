//! An activated gate times a value, in one pass.

use crate::device;
use crate::kernel::{activate, elementwise};
use crate::par::{self, Shared};
use crate::pool::Buffer;
use crate::tape::{any_tracked, record};
use crate::{Activation, Array, Var};

/// f(gate) value, element by element (Shazeer 2020, eq. 6, with SiLU as f: the product inside SwiGLU).
///
/// # Shapes
/// gate, value and result have one shape.
///
/// # Panics
/// When the shapes differ.
#[track_caller]
pub fn gated(gate: &Var, value: &Var, act: Activation) -> Var {
    assert_eq!(gate.shape(), value.shape(), "a gate and a value of different shapes");
    if let Some(device) = device::near([gate.value(), value.value()]) {
        let mut y = Array::stale(gate.shape());
        let (at, up) = (gate.value().clone(), value.value().clone());
        device.gate(&mut y, &at, &up, act, false);
        return record(&[gate, value], y, move |gradient, sink| {
            sink.accumulate_in(0, gradient.shape(), |d, filled| {
                device.gate_slope(d, [&at, &up, &gradient], act, filled);
            });
            sink.accumulate_in(1, gradient.shape(), |d, filled| {
                device.gate(d, &at, &gradient, act, filled);
            });
        });
    }
    let keep = any_tracked(&[gate, value]);
    let mut y = Array::stale(gate.shape());
    let mut slope = Array::stale(if keep { gate.shape() } else { &[0] });
    {
        let slope = Shared::new(slope.data_mut());
        let (gate, value) = (gate.value().data(), value.value().data());
        par::chunks_mut(y.data_mut(), par::GRAIN, |start, y| {
            let span = start..start + y.len();
            if keep {
                // SAFETY: chunks of different tasks do not overlap.
                let slope = unsafe { slope.slice(start, y.len()) };
                slope.copy_from_slice(&gate[span.clone()]);
                activate::apply_with_slope(y, slope, act);
            } else {
                y.copy_from_slice(&gate[span.clone()]);
                activate::apply(y, act);
            }
            elementwise::multiply_assign(y, &value[span]);
        });
    }
    let (gate_value, up) = (gate.value().clone(), value.value().clone());
    record(&[gate, value], y, move |gradient, sink| {
        let g = gradient.data();
        let mut pour = |input, factor: &(dyn Fn(&mut [f32], usize) + Sync)| {
            sink.accumulate(input, gradient.shape(), |d, filled| {
                par::chunks_mut(d, par::GRAIN, |start, d| {
                    let g = &g[start..start + d.len()];
                    if filled {
                        let mut scratch = Buffer::stale(d.len());
                        factor(&mut scratch, start);
                        elementwise::add_product(d, g, &scratch);
                    } else {
                        factor(d, start);
                        elementwise::multiply_assign(d, g);
                    }
                });
            });
        };
        pour(0, &|to, start| {
            let span = start..start + to.len();
            elementwise::multiply(to, &slope.data()[span.clone()], &up.data()[span]);
        });
        pour(1, &|to, start| {
            // Computing the activation again takes less memory than keeping it.
            to.copy_from_slice(&gate_value.data()[start..start + to.len()]);
            activate::apply(to, act);
        });
    })
}
