//! Operands laid out for the tiles: the left one row by row, the right one in panels of [`PANEL`] columns. The layout
//! is the same at every level, so that what was packed stays good when the level changes.

use super::View;
use super::round::{High, Low, Unit};
use crate::kernel::multiversion;
use crate::par::{self, Shared};
use crate::pool::Buffer;

/// Columns of a panel: two registers of AVX-512.
pub(super) const PANEL: usize = 32;
/// Units of a strided row that are packed before going on to the next row, so that what both touch stays in cache.
const STRIP: usize = 16;
/// Side of a square of units that is turned at a time: one line of the cache.
const SIDE: usize = 16;

/// What of the numbers is packed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Part {
    /// Their bf16.
    High,
    /// The bf16 of what that leaves.
    Low,
}

/// Numbers in a unit.
const NUMBERS: usize = 2;

/// Units of an inner dimension.
pub(super) fn units(inner: usize) -> usize {
    inner.div_ceil(NUMBERS)
}

/// A left operand, M rows of units without gaps.
pub(super) struct Rows {
    units: Buffer,
    step: usize,
}

impl Rows {
    /// All units, and how many make a row.
    pub(super) fn units(&self) -> (&[u32], usize) {
        (bits(&self.units), self.step)
    }
}

/// A right operand, K x N: for every [`PANEL`] columns, unit by unit, the numbers of these columns, zeros beyond the
/// last.
pub(crate) struct Panels {
    units: Buffer,
    pub(super) inner: usize,
    pub(super) cols: usize,
    pub(super) part: Part,
    /// Of a weight: whether it was packed as its transpose.
    transposed: bool,
}

impl Panels {
    /// The same, packed of a weight as it is or as its transpose.
    pub(super) fn of(self, transposed: bool) -> Panels {
        Panels { transposed, ..self }
    }

    /// Whether this is a part of that right operand, of the same weight.
    pub(super) fn is_of(&self, view: View<'_, f32>, part: Part, transposed: bool) -> bool {
        (self.inner, self.cols, self.part, self.transposed) == (view.rows, view.cols, part, transposed)
    }

    /// All units of the panel that begins with column `PANEL` i.
    pub(super) fn panel(&self, i: usize) -> &[u32] {
        let len = PANEL * units(self.inner);
        &bits(&self.units)[i * len..(i + 1) * len]
    }
}

/// The same memory as bits; any bits are an `f32` and a `u32`.
pub(super) fn bits(data: &[f32]) -> &[u32] {
    // SAFETY: both types have the same size and alignment, and every bit pattern is a value of both.
    unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), data.len()) }
}

fn bits_mut(data: &mut [f32]) -> &mut [u32] {
    // SAFETY: as in `bits`, and the borrow is exclusive.
    unsafe { std::slice::from_raw_parts_mut(data.as_mut_ptr().cast(), data.len()) }
}

/// Packs a left operand (M x K).
pub(super) fn rows(view: View<'_, f32>, part: Part, threads: bool) -> Rows {
    let step = units(view.cols);
    let mut units = Buffer::stale(view.rows * step);
    let block = par::block_rows(view.cols).max(STRIP);
    let out = Shared::new(&mut units);
    run(threads, view.rows.div_ceil(block), |i| {
        let first = i * block;
        let count = block.min(view.rows - first);
        // SAFETY: blocks of rows of different tasks do not overlap.
        let out = bits_mut(unsafe { out.slice(first * step, count * step) });
        match part {
            Part::High => high_rows(out, view, first, count),
            Part::Low => low_rows(out, view, first, count),
        }
    });
    Rows { units, step }
}

/// Packs a right operand (K x N).
pub(super) fn panels(view: View<'_, f32>, part: Part, threads: bool) -> Panels {
    let len = PANEL * units(view.rows);
    let count = view.cols.div_ceil(PANEL);
    let mut units = Buffer::stale(count * len);
    let out = Shared::new(&mut units);
    run(threads, count, |i| {
        // SAFETY: panels of different tasks do not overlap.
        let out = bits_mut(unsafe { out.slice(i * len, len) });
        match part {
            Part::High => high_panel(out, view, i * PANEL),
            Part::Low => low_panel(out, view, i * PANEL),
        }
    });
    Panels { units, inner: view.rows, cols: view.cols, part, transposed: false }
}

/// Tasks in parallel or one after another.
pub(super) fn run(threads: bool, count: usize, f: impl Fn(usize) + Sync + Send) {
    if threads {
        par::each(count, f);
    } else {
        (0..count).for_each(f);
    }
}

macro_rules! packers {
    ($unit:ty, $rows:ident, $panel:ident) => {
        multiversion! {
            /// Rows `first..first + count`.
            fn $rows<F>(out: &mut [u32], view: View<'_, f32>, first: usize, count: usize) {
                pack_rows::<$unit>(out, view, first, count);
            }
        }
        multiversion! {
            /// The panel from column `first` on.
            fn $panel<F>(out: &mut [u32], view: View<'_, f32>, first: usize) {
                pack_panel::<$unit>(out, view, first);
            }
        }
    };
}
packers!(High, high_rows, high_panel);
packers!(Low, low_rows, low_panel);

#[inline(always)]
fn pack_rows<U: Unit>(out: &mut [u32], view: View<'_, f32>, first: usize, count: usize) {
    let step = units(view.cols);
    if step == 0 {
        return;
    }
    if view.col_step == 1 {
        for (i, out) in out.chunks_exact_mut(step).enumerate() {
            let start = (first + i) * view.row_step;
            pack_run::<U>(out, &view.data[start..start + view.cols]);
        }
        return;
    }
    if view.row_step == 1 {
        for begin in (0..step).step_by(SIDE) {
            for top in (0..count).step_by(SIDE) {
                let (strip, height) = (SIDE.min(step - begin), SIDE.min(count - top));
                let mut square = [[0; SIDE]; SIDE];
                for (u, line) in square.iter_mut().enumerate().take(strip) {
                    let column = |k: usize| {
                        let start = k * view.col_step + first + top;
                        &view.data[start..start + height]
                    };
                    let at = NUMBERS * (begin + u);
                    pair_up::<U>(line, column(at), (at + 1 < view.cols).then(|| column(at + 1)));
                }
                turn(&square, &mut out[top * step + begin..], step, height, strip);
            }
        }
        return;
    }
    // Columns are near each other: strips of several units, row after row.
    for begin in (0..step).step_by(STRIP) {
        let strip = STRIP.min(step - begin);
        let numbers = (NUMBERS * strip).min(view.cols - NUMBERS * begin);
        for i in 0..count {
            let start = (first + i) * view.row_step + NUMBERS * begin * view.col_step;
            for u in 0..strip {
                out[i * step + begin + u] = strided::<U>(&view.data[start..], u, numbers, view.col_step);
            }
        }
    }
}

#[inline(always)]
fn pack_panel<U: Unit>(out: &mut [u32], view: View<'_, f32>, first: usize) {
    let width = PANEL.min(view.cols - first);
    let count = units(view.rows);
    if view.col_step == 1 {
        for (u, out) in out.chunks_exact_mut(PANEL).enumerate() {
            let row = |k: usize| {
                let start = k * view.row_step + first;
                &view.data[start..start + width]
            };
            let at = NUMBERS * u;
            pair_up::<U>(out, row(at), (at + 1 < view.rows).then(|| row(at + 1)));
            out[width..].fill(0);
        }
        return;
    }
    if width < PANEL {
        out.fill(0);
    }
    if view.row_step == 1 {
        for begin in (0..count).step_by(SIDE) {
            for left in (0..width).step_by(SIDE) {
                let (strip, columns) = (SIDE.min(count - begin), SIDE.min(width - left));
                let mut square = [[0; SIDE]; SIDE];
                for (j, line) in square.iter_mut().enumerate().take(columns) {
                    let start = (first + left + j) * view.col_step + NUMBERS * begin;
                    let numbers = (NUMBERS * strip).min(view.rows - NUMBERS * begin);
                    pack_run::<U>(line, &view.data[start..start + numbers]);
                }
                turn(&square, &mut out[begin * PANEL + left..], PANEL, strip, columns);
            }
        }
        return;
    }
    for begin in (0..count).step_by(STRIP) {
        let strip = STRIP.min(count - begin);
        let numbers = (NUMBERS * strip).min(view.rows - NUMBERS * begin);
        for j in 0..width {
            let start = (first + j) * view.col_step + NUMBERS * begin * view.row_step;
            for u in 0..strip {
                out[(begin + u) * PANEL + j] = strided::<U>(&view.data[start..], u, numbers, view.row_step);
            }
        }
    }
}

/// Units of the numbers of two rows, or of one row and zeros.
#[inline(always)]
fn pair_up<U: Unit>(out: &mut [u32], first: &[f32], second: Option<&[f32]>) {
    match second {
        Some(second) => out.iter_mut().zip(first).zip(second).for_each(|((o, &a), &b)| *o = U::of(a, b)),
        None => out.iter_mut().zip(first).for_each(|(o, &a)| *o = U::of(a, 0.0)),
    }
}

/// Writes the first `width` entries of column i of the square to row i of `out`, for `height` rows.
#[inline(always)]
fn turn(square: &[[u32; SIDE]; SIDE], out: &mut [u32], step: usize, height: usize, width: usize) {
    if height == SIDE && width == SIDE {
        for i in 0..SIDE {
            let row: [u32; SIDE] = std::array::from_fn(|u| square[u][i]);
            out[i * step..i * step + SIDE].copy_from_slice(&row);
        }
        return;
    }
    for i in 0..height {
        for (o, line) in out[i * step..i * step + width].iter_mut().zip(square) {
            *o = line[i];
        }
    }
}

/// Consecutive numbers to consecutive units.
#[inline(always)]
fn pack_run<U: Unit>(out: &mut [u32], numbers: &[f32]) {
    let (pairs, rest) = numbers.as_chunks::<2>();
    for (o, pair) in out.iter_mut().zip(pairs) {
        *o = U::of(pair[0], pair[1]);
    }
    if let (Some(o), [x]) = (out.get_mut(pairs.len()), rest) {
        *o = U::of(*x, 0.0);
    }
}

/// Unit `u` of `numbers` numbers that are `step` apart.
#[inline(always)]
fn strided<U: Unit>(data: &[f32], u: usize, numbers: usize, step: usize) -> u32 {
    let at = NUMBERS * u;
    let second = if at + 1 < numbers { data[(at + 1) * step] } else { 0.0 };
    U::of(data[at * step], second)
}
