//! Products with a quantized matrix. It is decoded in blocks of rows that stay in cache, never as a whole.

use super::{View, ViewMut, multiply};
use crate::kernel::expand::{Reader, Row};
use crate::kernel::few;
use crate::kernel::lines::Lines;
use crate::kernel::whole::{self, Inputs};
use crate::par::{self, Shared};
use crate::{Array, Codes, Precision};
use std::collections::BTreeMap;

/// Numbers of a block that all threads decode and multiply together: 1 MiB.
const BLOCK: usize = 1 << 18;

/// Rows of a block at least, however long they are: enough pieces of a product for several threads, each of which also packs the
/// inputs anew.
const HEIGHT: usize = 256;

/// The most rows of inputs that are rounded to 8 bits: beyond, decoding the matrix once for all of them pays.
const WHOLE: usize = 8;

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
    if precision == Precision::Int8 && whole_rows(&mut [(dst.reborrow(), w)], x) {
        return;
    }
    if precision == Precision::F32 && x.rows <= few::ROWS && x.col_step == 1 {
        return few_rows(dst, x, w);
    }
    let precision = of_values(precision);
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
    let precision = of_values(precision);
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

/// The precision of products with decoded numbers.
pub(crate) fn of_values(precision: Precision) -> Precision {
    if precision == Precision::Int8 { Precision::Bf16 } else { precision }
}

/// Calls `f` with the first row of every block, in order, and its values.
fn each_block(w: &Codes, mut f: impl FnMut(usize, &Array)) {
    let height = (BLOCK / w.width().max(1)).max(HEIGHT);
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
        || (Reader::new(w.scheme(), cols), Lines::zeros(ROWS * cols)),
        |(reader, values), i| {
            let first = i * ROWS;
            let count = ROWS.min(rows - first);
            for (at, values) in values.chunks_exact_mut(cols.max(1)).take(count).enumerate() {
                reader.read(w.row(first + at), values);
            }
            // SAFETY: columns of different tasks do not overlap.
            let part = unsafe { out.matrix(first, x.rows, count, step) };
            few::product(part, false, x, View::new(&values[..count * cols], count, cols));
        },
    );
}

/// dst = x w^T for every map, in one round of work, with inputs rounded to 8 bits. Nothing is done, and false returned, where there are
/// more rows of inputs than [`WHOLE`] or a scheme does not cut rows into parts.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub(crate) fn whole_rows(maps: &mut [(ViewMut<'_, f32>, &Codes)], x: View<'_, f32>) -> bool {
    /// Rows of a matrix at a time.
    const ROWS: usize = 8;
    let cols = x.cols;
    for (dst, w) in maps.iter() {
        let fits = dst.rows == x.rows && dst.cols == w.height() && cols == w.width();
        assert!(fits, "{} x {cols} by {w:?}", x.rows);
    }
    let parts: Option<Vec<usize>> = maps.iter().map(|(_, w)| w.scheme().part(cols)).collect();
    let Some(parts) = parts.filter(|_| x.rows <= WHOLE && x.col_step == 1) else { return false };
    let round = |part| -> Vec<Inputs> {
        (0..x.rows).map(|row| Inputs::round(&x.data[row * x.row_step..][..cols], part)).collect()
    };
    let mut rounded = BTreeMap::new();
    for &part in &parts {
        rounded.entry(part).or_insert_with(|| round(part));
    }
    // The tasks of a map are those from its number on.
    let mut tasks = 0;
    let maps: Vec<_> = maps
        .iter_mut()
        .zip(&parts)
        .map(|((dst, w), part)| {
            let first = tasks;
            tasks += w.height().div_ceil(ROWS);
            let len = if dst.rows == 0 { 0 } else { (dst.rows - 1) * dst.row_step + dst.cols };
            // SAFETY: the view stands for these elements, exclusively.
            let out = Shared::new(unsafe { std::slice::from_raw_parts_mut(dst.start, len) });
            (first, out, dst.row_step, *w, &rounded[part])
        })
        .collect();
    par::each_with(
        tasks,
        || {
            let rows: Vec<_> = maps.iter().map(|(.., w, _)| Row::new(w.scheme(), cols)).collect();
            (rows, vec![0.0; ROWS * x.rows])
        },
        |(rows, results), task| {
            let at = maps.partition_point(|(first, ..)| *first <= task) - 1;
            let (first, out, step, w, inputs) = &maps[at];
            let Some(row) = &mut rows[at] else { return };
            let first = (task - first) * ROWS;
            let count = ROWS.min(w.height() - first);
            let results = &mut results[..count * inputs.len()];
            whole::products(row, w.rows(first, count), inputs, results);
            for line in 0..inputs.len() {
                // SAFETY: columns of different tasks do not overlap.
                let places = unsafe { out.slice(line * step + first, count) };
                for (place, results) in places.iter_mut().zip(results.chunks_exact(inputs.len())) {
                    *place = results[line];
                }
            }
        },
    );
    true
}
