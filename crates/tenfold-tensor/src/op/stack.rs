//! Arrays of one shape put together along a new first dimension.

use crate::device::{self, Device};
use crate::tape::record;
use crate::{Array, Var};

/// The parts one after the other.
///
/// # Shapes
/// E parts of one shape; the result has E in front of it.
///
/// # Panics
/// Without parts, and when shapes differ.
#[track_caller]
pub fn stack(parts: &[Var]) -> Var {
    let Some(first) = parts.first() else { panic!("a stack of nothing") };
    assert!(parts.iter().all(|part| part.shape() == first.shape()), "a stack of different shapes");
    let own = first.shape().to_vec();
    let len = first.value().len();
    if let Some(device) = device::near(parts.iter().map(Var::value)) {
        return on_device(device, parts, own, len);
    }
    let values = parts.iter().flat_map(|part| part.value().data()).copied().collect();
    let whole: Vec<usize> = [parts.len()].into_iter().chain(own.iter().copied()).collect();
    let inputs: Vec<&Var> = parts.iter().collect();
    record(&inputs, Array::from_vec(values, &whole), move |gradient, sink| {
        for (at, part) in gradient.data().chunks_exact(len.max(1)).enumerate() {
            if sink.wants(at) {
                sink.add(at, Array::from_slice(part, &own));
            }
        }
    })
}

/// The same on a device.
fn on_device(device: &'static Device, parts: &[Var], own: Vec<usize>, len: usize) -> Var {
    let mut whole = Array::stale(&[&[parts.len()], own.as_slice()].concat());
    for (at, part) in parts.iter().enumerate() {
        device.copy_into(&mut whole, at * len, part.value());
    }
    let inputs: Vec<&Var> = parts.iter().collect();
    record(&inputs, whole, move |gradient, sink| {
        for at in (0..gradient.shape()[0]).filter(|at| sink.wants(*at)).collect::<Vec<_>>() {
            sink.add(at, device.copy_of(&gradient, at * len, &own));
        }
    })
}
