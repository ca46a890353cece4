//! Sums over the rows of a matrix: partial sums of fixed blocks, added in order.

use std::ops::Range;

use crate::Array;
use crate::device;
use crate::kernel::reduce;
use crate::par::{self, Shared};

/// Sum of the rows of a matrix.
pub(super) fn sum(rows: &Array) -> Array {
    if let Some(device) = device::near([rows]) {
        return device.sum_rows(rows);
    }
    let (height, width) = (rows.height(), rows.width());
    let data = rows.data();
    let sum = collect(height, width, true, |range, sum| {
        reduce::add_rows(sum, &data[range.start * width..range.end * width]);
    });
    sum.unwrap_or_else(|| Array::zeros(&[width]))
}

/// Calls `f(rows, partial)` for fixed blocks of rows in parallel; `partial`, zero at first, takes what the block adds
/// to the sum, and is empty when no sum is wanted. Returns the sum of all partial ones.
pub(super) fn collect(
    rows: usize,
    width: usize,
    wanted: bool,
    f: impl Fn(Range<usize>, &mut [f32]) + Sync + Send,
) -> Option<Array> {
    let block = par::block_rows(width);
    let blocks = rows.div_ceil(block);
    let part = if wanted { width } else { 0 };
    let mut partial = Array::zeros(&[blocks.max(1), part]);
    let shared = Shared::new(partial.data_mut());
    par::each(blocks, |i| {
        // SAFETY: every task has its own row of partial sums.
        let sum = unsafe { shared.slice(i * part, part) };
        f(i * block..((i + 1) * block).min(rows), sum);
    });
    wanted.then(|| {
        let (first, rest) = partial.data_mut().split_at_mut(part);
        reduce::add_rows(first, rest);
        Array::from_slice(first, &[width])
    })
}
