//! Elementwise sum, difference and product of two values of one shape.

use crate::device;
use crate::kernel::elementwise;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};

/// a + b.
///
/// # Panics
/// When the shapes differ.
#[track_caller]
pub fn add(a: &Var, b: &Var) -> Var {
    let y = combined(a, b, 1.0);
    record(&[a, b], y, |gradient, sink| {
        sink.add(0, gradient.clone());
        sink.add(1, gradient);
    })
}

/// a - b.
///
/// # Panics
/// When the shapes differ.
#[track_caller]
pub fn sub(a: &Var, b: &Var) -> Var {
    let y = combined(a, b, -1.0);
    record(&[a, b], y, |gradient, sink| {
        if let Some(device) = device::near([&gradient]) {
            sink.accumulate_in(1, gradient.shape(), |db, filled| device.scale(db, &gradient, -1.0, filled));
            return sink.add(0, gradient);
        }
        let g = gradient.data();
        let shape = gradient.shape();
        sink.accumulate(1, shape, |db, filled| {
            par::chunks_mut(db, par::GRAIN, |start, db| {
                let g = &g[start..start + db.len()];
                if filled {
                    elementwise::add_scaled(db, g, -1.0);
                } else {
                    elementwise::scale(db, g, -1.0);
                }
            });
        });
        sink.add(0, gradient);
    })
}

/// a b, element by element.
///
/// # Panics
/// When the shapes differ.
#[track_caller]
pub fn mul(a: &Var, b: &Var) -> Var {
    assert_eq!(a.shape(), b.shape(), "elementwise op on different shapes");
    let y = product(a.value(), b.value());
    let saved_a = b.is_tracked().then(|| a.value().clone());
    let saved_b = a.is_tracked().then(|| b.value().clone());
    record(&[a, b], y, move |gradient, sink| {
        for (input, other) in [(0, saved_b), (1, saved_a)] {
            let Some(other) = other else { continue };
            if let Some(device) = device::near([&gradient, &other]) {
                sink.accumulate_in(input, gradient.shape(), |d, filled| {
                    device.multiply_elements(d, &gradient, &other, filled);
                });
                continue;
            }
            let (g, other) = (gradient.data(), other.data());
            sink.accumulate(input, gradient.shape(), |d, filled| {
                par::chunks_mut(d, par::GRAIN, |start, d| {
                    let span = start..start + d.len();
                    if filled {
                        elementwise::add_product(d, &g[span.clone()], &other[span]);
                    } else {
                        elementwise::multiply(d, &g[span.clone()], &other[span]);
                    }
                });
            });
        }
    })
}

/// a + factor b.
#[track_caller]
fn combined(a: &Var, b: &Var, factor: f32) -> Array {
    assert_eq!(a.shape(), b.shape(), "elementwise op on different shapes");
    if let Some(device) = device::near([a.value(), b.value()]) {
        return device.combine(a.value(), b.value(), factor);
    }
    let mut y = Array::stale(a.shape());
    let (a, b) = (a.value().data(), b.value().data());
    par::chunks_mut(y.data_mut(), par::GRAIN, |start, y| {
        let span = start..start + y.len();
        elementwise::combine(y, &a[span.clone()], &b[span], factor);
    });
    y
}

fn product(a: &Array, b: &Array) -> Array {
    let mut y = Array::stale(a.shape());
    if let Some(device) = device::near([a, b]) {
        device.multiply_elements(&mut y, a, b, false);
        return y;
    }
    let (a, b) = (a.data(), b.data());
    par::chunks_mut(y.data_mut(), par::GRAIN, |start, y| {
        let span = start..start + y.len();
        elementwise::multiply(y, &a[span.clone()], &b[span]);
    });
    y
}
