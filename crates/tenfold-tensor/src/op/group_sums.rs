//! Sums of neighbors in a row.

use crate::kernel::reduce;
use crate::par::{self, Shared};
use crate::tape::record;
use crate::{Array, Var};

/// `y[n, g]` is the sum of the columns of `x[n]` that lie in group g: `width` neighbors each, the last group what is left.
///
/// # Shapes
/// x N x I (leading dimensions are taken together); the result is N x G.
///
/// # Panics
/// When `width` is 0.
#[track_caller]
pub fn group_sums(x: &Var, width: usize) -> Var {
    assert!(width > 0, "groups of no columns");
    let (rows, cols) = (x.value().height(), x.value().width());
    let groups = cols.div_ceil(width);
    let block = par::block_rows(cols);
    let mut y = Array::stale(&[rows, groups]);
    let out = Shared::new(y.data_mut());
    par::each(rows.div_ceil(block), |i| {
        for row in i * block..((i + 1) * block).min(rows) {
            // SAFETY: rows of different tasks do not overlap.
            let sums = unsafe { out.slice(row * groups, groups) };
            let values = x.value().data()[row * cols..(row + 1) * cols].chunks(width);
            sums.iter_mut().zip(values).for_each(|(sum, values)| *sum = reduce::sum(values) as f32);
        }
    });
    let shape = x.shape().to_vec();
    record(&[x], y, move |gradient, sink| {
        sink.accumulate(0, &shape, |dx, filled| {
            let dx = Shared::new(dx);
            par::each(rows.div_ceil(block), |i| {
                for row in i * block..((i + 1) * block).min(rows) {
                    // SAFETY: rows of different tasks do not overlap.
                    let dx = unsafe { dx.slice(row * cols, cols) };
                    let dy = &gradient.data()[row * groups..(row + 1) * groups];
                    for (dx, &dy) in dx.chunks_mut(width).zip(dy) {
                        match filled {
                            true => dx.iter_mut().for_each(|dx| *dx += dy),
                            false => dx.fill(dy),
                        }
                    }
                }
            });
        });
    })
}
