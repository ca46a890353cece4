//! An activated gate times a value, in one pass.

use crate::kernel::activate;
use crate::par::{self, Shared};
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
                activate::gate_with_slope(y, slope, &value[span], act);
            } else {
                y.copy_from_slice(&gate[span.clone()]);
                activate::gate(y, &value[span], act);
            }
        });
    }
    let (gate_value, up) = (gate.value().clone(), value.value().clone());
    record(&[gate, value], y, move |gradient, sink| {
        let g = gradient.data();
        sink.accumulate(0, gradient.shape(), |d, filled| {
            par::chunks_mut(d, par::GRAIN, |start, d| {
                let span = start..start + d.len();
                let (g, s, v) = (&g[span.clone()], &slope.data()[span.clone()], &up.data()[span]);
                activate::product_of_three(d, g, s, v, filled);
            });
        });
        sink.accumulate(1, gradient.shape(), |d, filled| {
            par::chunks_mut(d, par::GRAIN, |start, d| {
                let span = start..start + d.len();
                // Computing the activation again takes less memory than keeping it.
                activate::chain_value(d, &g[span.clone()], &gate_value.data()[span], act, filled);
            });
        });
    })
}
