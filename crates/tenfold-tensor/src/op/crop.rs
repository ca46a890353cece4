//! The top-left block of a matrix.

use crate::kernel::elementwise;
use crate::tape::record;
use crate::{Array, Var};

/// The first `rows` rows and `cols` columns of a matrix. Where that is the whole matrix nothing moves.
///
/// # Panics
/// When x is not a matrix or smaller than that.
#[track_caller]
pub fn crop(x: &Var, rows: usize, cols: usize) -> Var {
    let &[height, width] = x.shape() else { panic!("crop of shape {:?}, expected a matrix", x.shape()) };
    assert!(rows <= height && cols <= width, "crop of {height} x {width} to {rows} x {cols}");
    if (rows, cols) == (height, width) {
        return x.clone();
    }
    let mut y = Array::stale(&[rows, cols]);
    if cols > 0 {
        for (y, x) in y.data_mut().chunks_exact_mut(cols).zip(x.value().data().chunks_exact(width)) {
            y.copy_from_slice(&x[..cols]);
        }
    }
    record(&[x], y, move |gradient, sink| {
        sink.accumulate(0, &[height, width], |dx, filled| {
            if !filled {
                dx.fill(0.0);
            }
            if cols > 0 {
                for (dx, dy) in dx.chunks_exact_mut(width).zip(gradient.data().chunks_exact(cols)) {
                    elementwise::add_assign(&mut dx[..cols], dy);
                }
            }
        });
    })
}
