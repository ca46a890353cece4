//! One row per sequence of a packed batch: the mean of its tokens, or its first token.

use crate::device;
use crate::kernel::{elementwise, reduce};
use crate::par::{self, Shared};
use crate::tape::record;
use crate::{Array, Offsets, Var};

/// The mean of the token rows of every sequence; zeros for an empty one.
///
/// # Shapes
/// x N x D; the result is B x D.
///
/// # Panics
/// When the offsets do not end at N.
#[track_caller]
pub fn segment_mean(x: &Var, offsets: &Offsets) -> Var {
    let width = checked_width(x, offsets);
    if let Some(y) = on_device(x, offsets, true) {
        return y;
    }
    let mut y = Array::zeros(&[offsets.sequences(), width]);
    let data = x.value().data();
    if width > 0 {
        par::chunks_mut(y.data_mut(), width, |start, y| {
            let tokens = offsets.range(start / width);
            reduce::add_rows(y, &data[tokens.start * width..tokens.end * width]);
            let factor = 1.0 / tokens.len().max(1) as f32;
            y.iter_mut().for_each(|y| *y *= factor);
        });
    }
    let offsets = offsets.clone();
    let shape = x.shape().to_vec();
    record(&[x], y, move |gradient, sink| {
        let dy = gradient.data();
        sink.accumulate(0, &shape, |dx, filled| {
            let shared = Shared::new(dx);
            par::each(offsets.sequences(), |i| {
                let tokens = offsets.range(i);
                let factor = 1.0 / tokens.len() as f32;
                for token in tokens {
                    // SAFETY: every token belongs to one sequence, every sequence to one task.
                    let dx = unsafe { shared.slice(token * width, width) };
                    let dy = &dy[i * width..(i + 1) * width];
                    if filled {
                        elementwise::add_scaled(dx, dy, factor);
                    } else {
                        elementwise::scale(dx, dy, factor);
                    }
                }
            });
        });
    })
}

/// The first token row of every sequence; zeros for an empty one.
///
/// # Shapes
/// x N x D; the result is B x D.
///
/// # Panics
/// When the offsets do not end at N.
#[track_caller]
pub fn segment_first(x: &Var, offsets: &Offsets) -> Var {
    let width = checked_width(x, offsets);
    if let Some(y) = on_device(x, offsets, false) {
        return y;
    }
    let mut y = Array::zeros(&[offsets.sequences(), width]);
    let data = x.value().data();
    for (tokens, y) in offsets.ranges().zip(y.data_mut().chunks_exact_mut(width.max(1))) {
        if !tokens.is_empty() {
            y.copy_from_slice(&data[tokens.start * width..(tokens.start + 1) * width]);
        }
    }
    let offsets = offsets.clone();
    let shape = x.shape().to_vec();
    record(&[x], y, move |gradient, sink| {
        sink.accumulate(0, &shape, |dx, filled| {
            if !filled {
                dx.fill(0.0);
            }
            for (tokens, dy) in offsets.ranges().zip(gradient.data().chunks_exact(width.max(1))) {
                if !tokens.is_empty() {
                    elementwise::add_assign(&mut dx[tokens.start * width..(tokens.start + 1) * width], dy);
                }
            }
        });
    })
}

/// The mean or the first token row of every sequence, where x is on a device.
fn on_device(x: &Var, offsets: &Offsets, mean: bool) -> Option<Var> {
    let device = device::near([x.value()])?;
    let y = device.segments(x.value(), offsets, mean);
    let (offsets, shape) = (offsets.clone(), x.shape().to_vec());
    Some(record(&[x], y, move |gradient, sink| {
        sink.accumulate_in(0, &shape, |dx, filled| {
            device.segments_back(dx, &gradient, &offsets, mean, filled);
        });
    }))
}

#[track_caller]
fn checked_width(x: &Var, offsets: &Offsets) -> usize {
    let &[tokens, width] = x.shape() else { panic!("packed tokens of shape {:?}", x.shape()) };
    assert_eq!(tokens, offsets.tokens(), "token rows against the end of the offsets");
    width
}
