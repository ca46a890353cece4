//! Products with a quantized matrix. It is decoded in blocks of rows that stay in cache, never as a whole.

use super::{View, ViewMut, multiply};
use crate::kernel::few;
use crate::par::{self, Shared};
use crate::{Array, Codes, Precision};

/// Numbers of a block that all threads decode and multiply together: 1 MiB.
const BLOCK: usize = 1 << 18;

/// dst = x w^T.
///
/// # Shapes
/// dst N x O, x N x I with contiguous rows, w O x I.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub(crate) fn coded(precision: Precision, mut dst: ViewMut<'_, f32>, x: View<'_, f32>, w: &Codes) {
    let (rows, cols) = (w.height(), w.width());
    assert!(dst.rows == x.rows && dst.cols == rows && x.cols == cols, "{} x {} by {w:?}", x.rows, x.cols);
    if x.rows == 0 || rows == 0 {
        return;
    }
    if precision == Precision::F32 && x.rows <= few::ROWS && x.col_step == 1 {
        return few_rows(dst, x, w);
    }
    each_block(w, |first, block| {
        let part = dst.reborrow().columns(first, block.height());
        multiply(precision, part, false, x, View::new(block.data(), block.height(), cols).t());
    });
}

/// dst (+)= g w.
///
/// # Shapes
/// dst N x I, g N x O, w O x I.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub(crate) fn coded_back(
    precision: Precision,
    mut dst: ViewMut<'_, f32>,
    add: bool,
    g: View<'_, f32>,
    w: &Codes,
) {
    assert!(
        dst.rows == g.rows && dst.cols == w.width() && g.cols == w.height(),
        "{} x {} by {w:?}",
        g.rows,
        g.cols
    );
    if w.height() == 0 {
        let nothing = Array::zeros(&[0, w.width()]);
        return multiply(precision, dst, add, g, View::new(nothing.data(), 0, w.width()));
    }
    each_block(w, |first, block| {
        let part = g.t().rows(first, block.height()).t();
        let w = View::new(block.data(), block.height(), w.width());
        multiply(precision, dst.reborrow(), add || first > 0, part, w);
    });
}

/// Calls `f` with the first row of every block, in order, and its values.
fn each_block(w: &Codes, mut f: impl FnMut(usize, &Array)) {
    let height = (BLOCK / w.width().max(1)).max(1);
    for first in (0..w.height()).step_by(height) {
        let mut block = Array::stale(&[height.min(w.height() - first), w.width()]);
        w.decode(first, block.data_mut());
        f(first, &block);
    }
}

/// Each task decodes a few rows of w at a time and multiplies them.
fn few_rows(dst: ViewMut<'_, f32>, x: View<'_, f32>, w: &Codes) {
    /// Rows of w decoded at a time: what the kernel takes at once.
    const ROWS: usize = 8;
    let (rows, cols, step) = (w.height(), w.width(), dst.row_step);
    let len = (dst.rows - 1) * step + dst.cols;
    // SAFETY: the view stands for these elements, exclusively.
    let out = Shared::new(unsafe { std::slice::from_raw_parts_mut(dst.start, len) });
    par::each_with(
        rows.div_ceil(ROWS),
        || vec![0.0; ROWS * cols],
        |values, i| {
            let first = i * ROWS;
            let count = ROWS.min(rows - first);
            for (at, values) in values.chunks_exact_mut(cols.max(1)).take(count).enumerate() {
                w.scheme().decode(w.row(first + at), values);
            }
            // SAFETY: columns of different tasks do not overlap.
            let part = unsafe { out.matrix(first, x.rows, count, step) };
            few::product(part, false, x, View::new(&values[..count * cols], count, cols));
        },
    );
}
