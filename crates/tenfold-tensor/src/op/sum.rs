//! The sum of all elements.

use crate::kernel::reduce;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// Sum of all elements, a scalar; added in `f64`.
pub fn sum(x: &Var) -> Var {
    let data = x.value().data();
    let total = par::sum(data.len(), par::GRAIN, |start, end| reduce::sum(&data[start..end]));
    let shape = x.shape().to_vec();
    record(&[x], Array::scalar(total as f32), move |gradient, sink| {
        sink.add(0, Array::full(&shape, gradient.item()));
    })
}
