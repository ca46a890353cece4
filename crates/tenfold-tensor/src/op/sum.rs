//! The sum of all elements.

use crate::device;
use crate::kernel::reduce;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// Sum of all elements, a scalar; added in `f64`.
pub fn sum(x: &Var) -> Var {
    if let Some(device) = device::near([x.value()]) {
        let (total, shape) = (device.sum(x.value(), 1.0), x.shape().to_vec());
        return record(&[x], total, move |gradient, sink| {
            let mut dx = Array::stale(&shape);
            device.fill(&mut dx, gradient.item());
            sink.add(0, dx);
        });
    }
    let data = x.value().data();
    let total = par::sum(data.len(), par::GRAIN, |start, end| reduce::sum(&data[start..end]));
    let shape = x.shape().to_vec();
    record(&[x], Array::scalar(total as f32), move |gradient, sink| {
        sink.add(0, Array::full(&shape, gradient.item()));
    })
}
