//! The top-left block of a matrix.

use crate::device;
use crate::kernel::elementwise;
use crate::par;
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
    if let Some(device) = device::near([x.value()]) {
        let y = device.crop(x.value(), rows, cols);
        return record(&[x], y, move |gradient, sink| {
            sink.accumulate_in(0, &[height, width], |dx, filled| device.crop_back(dx, &gradient, filled));
        });
    }
    let mut y = Array::stale(&[rows, cols]);
    let source = x.value().data();
    if cols > 0 {
        par::chunks_mut(y.data_mut(), par::block_rows(cols) * cols, |start, chunk| {
            for (y, x) in chunk.chunks_exact_mut(cols).zip(source[start / cols * width..].chunks_exact(width))
            {
                y.copy_from_slice(&x[..cols]);
            }
        });
    }
    record(&[x], y, move |gradient, sink| {
        let dy = gradient.data();
        sink.accumulate(0, &[height, width], |dx, filled| {
            par::chunks_mut(dx, par::block_rows(width) * width, |start, chunk| {
                for (i, dx) in chunk.chunks_exact_mut(width).enumerate() {
                    let row = start / width + i;
                    let inside = if row < rows { cols } else { 0 };
                    let dy = &dy[(row * cols).min(dy.len())..][..inside];
                    let (block, outside) = dx.split_at_mut(inside);
                    if filled {
                        elementwise::add_assign(block, dy);
                    } else {
                        block.copy_from_slice(dy);
                        outside.fill(0.0);
                    }
                }
            });
        });
    })
}
