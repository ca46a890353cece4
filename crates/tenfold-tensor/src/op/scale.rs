//! Multiplication by a number.

use crate::device;
use crate::kernel::elementwise;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// factor x.
pub fn scale(x: &Var, factor: f32) -> Var {
    let mut y = Array::stale(x.shape());
    if let Some(device) = device::near([x.value()]) {
        device.scale(&mut y, x.value(), factor, false);
        return record(&[x], y, move |gradient, sink| {
            sink.accumulate_in(0, gradient.shape(), |dx, filled| device.scale(dx, &gradient, factor, filled));
        });
    }
    let data = x.value().data();
    par::chunks_mut(y.data_mut(), par::GRAIN, |start, y| {
        elementwise::scale(y, &data[start..start + y.len()], factor);
    });
    record(&[x], y, move |gradient, sink| {
        let g = gradient.data();
        sink.accumulate(0, gradient.shape(), |dx, filled| {
            par::chunks_mut(dx, par::GRAIN, |start, dx| {
                let g = &g[start..start + dx.len()];
                if filled {
                    elementwise::add_scaled(dx, g, factor);
                } else {
                    elementwise::scale(dx, g, factor);
                }
            });
        });
    })
}
