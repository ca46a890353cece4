//! Matrix products: `f32` and `f64`, any strides. The arithmetic of [`gemm()`] is the crate's of that name, which
//! picks its kernels (SSE2, AVX2, AVX-512) at run time. Products of linear maps go through `multiply` and `weighted`,
//! the one place that picks precision and kernel: bf16 runs on packed blocks. No result depends on the number of
//! threads.

mod blocked;
mod coded;
mod pack;
mod round;
mod rounded;
mod tile;
mod view;

pub(crate) use blocked::Finish;
pub(crate) use coded::{coded, coded_back, of_values, whole_rows};
pub(crate) use pack::Panels;
pub(crate) use rounded::rounded;
#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
pub(crate) use tile::amx::emulated;
pub use view::{View, ViewMut};

use crate::kernel::few;
use crate::par::{self, Shared};
use crate::{Array, Precision};
use gemm::Parallelism;
use pack::Part;
use std::sync::Arc;

/// Multiplications below which a product stays on the calling thread: handing work over takes microseconds.
const SMALL: usize = 1 << 20;

/// Rows or columns below which a piece of a product is not split further: the library packs the other operand for each, and
/// sums in another order where both sides are at most half of this.
const PIECE: usize = 128;

/// The element types a product exists for.
pub trait Element: Copy + Send + Sync + 'static + private::Sealed {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
}

mod private {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Element for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
}

impl Element for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
}

/// How many threads one product may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// The calling thread only, for products that already run in parallel with others.
    One,
    /// All of them.
    All,
}

/// dst = beta dst + alpha lhs rhs. With `beta` 0 the old contents of `dst` are not read.
///
/// # Shapes
/// dst M x N, lhs M x K, rhs K x N.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub fn gemm<T: Element + PartialEq>(
    dst: ViewMut<'_, T>,
    beta: T,
    alpha: T,
    lhs: View<'_, T>,
    rhs: View<'_, T>,
    threads: Threads,
) {
    assert_fits(&dst, lhs, rhs);
    let (rows, cols) = (dst.rows, dst.cols);
    // The library sums products of a matrix and a vector in an order that depends on their size.
    let parallel = threads == Threads::All && rows.min(cols) > 1 && splits(lhs, cols);
    let wanted = if parallel { PIECES * par::threads() } else { 1 };
    let [across, along] = grid(rows, cols, wanted);
    let step = dst.row_step;
    let out = Start(dst.start);
    par::each(across * along, |piece| {
        let (i, j) = (piece / along, piece % along);
        let (top, bottom) = (i * rows / across, (i + 1) * rows / across);
        let (left, right) = (j * cols / along, (j + 1) * cols / along);
        // SAFETY: pieces lie inside the destination, which is borrowed exclusively, and do not overlap.
        let part = unsafe { ViewMut::from_raw(out.at(top * step + left), bottom - top, right - left, step) };
        whole(part, beta, alpha, lhs.rows(top, bottom - top), rhs.t().rows(left, right - left).t());
    });
}

/// Pieces of a product per thread: two, so that a thread that lost its processor for a while does not hold up the others by
/// half of the product.
const PIECES: usize = 2;

/// Into how many parts rows and columns of a result are cut for so many pieces: the longer side is halved first.
fn grid(rows: usize, cols: usize, wanted: usize) -> [usize; 2] {
    let mut parts = [1, 1];
    while parts[0] * parts[1] < wanted {
        let side = if rows / parts[0] >= cols / parts[1] { 0 } else { 1 };
        if [rows, cols][side] / (2 * parts[side]) < PIECE {
            break;
        }
        parts[side] *= 2;
    }
    parts
}

/// Where a destination begins, for pieces of it on several threads.
struct Start<T>(*mut T);

// SAFETY: used for disjoint pieces only.
unsafe impl<T: Send> Sync for Start<T> {}

impl<T> Start<T> {
    fn at(&self, offset: usize) -> *mut T {
        self.0.wrapping_add(offset)
    }
}

/// The same on the calling thread.
fn whole<T: Element + PartialEq>(dst: ViewMut<'_, T>, beta: T, alpha: T, lhs: View<'_, T>, rhs: View<'_, T>) {
    // SAFETY: the constructors of the views checked that every element lies inside its slice, the destination is
    // borrowed exclusively and its rows do not overlap, and the shapes fit, as the caller checked. The crate's
    // `alpha` scales the destination and its `beta` the product.
    unsafe {
        gemm::gemm(
            dst.rows,
            dst.cols,
            lhs.cols,
            dst.start,
            1,
            dst.row_step as isize,
            beta != T::ZERO,
            lhs.data.as_ptr(),
            lhs.col_step as isize,
            lhs.row_step as isize,
            rhs.data.as_ptr(),
            rhs.col_step as isize,
            rhs.row_step as isize,
            beta,
            alpha,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// dst (+)= lhs rhs in a precision.
///
/// # Shapes
/// As for [`gemm()`].
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub(crate) fn multiply(
    precision: Precision,
    dst: ViewMut<'_, f32>,
    add: bool,
    lhs: View<'_, f32>,
    rhs: View<'_, f32>,
) {
    if precision.is_whole() {
        return gemm(dst, f32::from(u8::from(add)), 1.0, lhs, rhs, Threads::All);
    }
    assert_fits(&dst, lhs, rhs);
    let threads = splits(lhs, rhs.cols);
    split(precision, dst, add, lhs, threads, None, |part| Arc::new(pack::panels(rhs, part, threads)));
}

/// dst (+)= x w^T, or x w, in a precision; w is a weight, O x I. With `keep` its packed copy stays with it until it
/// changes. Returns whether `finish` was applied to the result, which happens only where that is cheaper than a pass
/// of its own.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub(crate) fn weighted(
    precision: Precision,
    dst: ViewMut<'_, f32>,
    add: bool,
    x: View<'_, f32>,
    w: &Weight<'_>,
    finish: Option<Finish<'_>>,
) -> bool {
    let rhs = w.view();
    if precision.is_whole() {
        // Of a weight as it lies in memory, the transpose.
        if x.rows <= few::ROWS && w.transposed && x.col_step == 1 {
            few_rows(dst, add, x, rhs.t());
        } else {
            gemm(dst, f32::from(u8::from(add)), 1.0, x, rhs, Threads::All);
        }
        return false;
    }
    assert_fits(&dst, x, rhs);
    let threads = splits(x, rhs.cols);
    split(precision, dst, add, x, threads, finish, |part| w.panels(part, threads));
    true
}

/// dst (+)= x w^T for few rows of x, in blocks of rows of w.
fn few_rows(dst: ViewMut<'_, f32>, add: bool, x: View<'_, f32>, w: View<'_, f32>) {
    assert_fits(&dst, x, w.t());
    if dst.rows == 0 || dst.cols == 0 {
        return;
    }
    let block = par::block_rows(w.cols);
    let len = (dst.rows - 1) * dst.row_step + dst.cols;
    // SAFETY: the view stands for these elements, exclusively.
    let out = Shared::new(unsafe { std::slice::from_raw_parts_mut(dst.start, len) });
    par::each(w.rows.div_ceil(block), |i| {
        let first = i * block;
        let count = block.min(w.rows - first);
        // SAFETY: columns of different tasks do not overlap.
        let part = unsafe { out.matrix(first, x.rows, count, dst.row_step) };
        let rows = View::strided(&w.data[first * w.row_step..], count, w.cols, w.row_step, 1);
        few::product(part, add, x, rows);
    });
}

/// A weight as the right operand of a product.
pub(crate) struct Weight<'a> {
    /// O x I.
    pub(crate) value: &'a Array,
    /// Whether its transpose is meant.
    pub(crate) transposed: bool,
    /// Whether packed copies are kept with it: for weights that are used again before they change.
    pub(crate) keep: bool,
}

impl Weight<'_> {
    fn view(&self) -> View<'_, f32> {
        let view = View::new(self.value.data(), self.value.height(), self.value.width());
        if self.transposed { view.t() } else { view }
    }

    fn panels(&self, part: Part, threads: bool) -> Arc<Panels> {
        let view = self.view();
        let pack = || pack::panels(view, part, threads);
        if self.keep {
            self.value.packed(|known| known.is_of(view, part, self.transposed), || pack().of(self.transposed))
        } else {
            Arc::new(pack())
        }
    }
}

/// The products of bf16 numbers that a precision consists of, smallest first.
fn split(
    precision: Precision,
    mut dst: ViewMut<'_, f32>,
    add: bool,
    lhs: View<'_, f32>,
    threads: bool,
    finish: Option<Finish<'_>>,
    panels: impl Fn(Part) -> Arc<Panels>,
) {
    let mut run = |add, left, right, finish| {
        let left = pack::rows(lhs, left, threads);
        blocked::multiply(dst.reborrow(), add, &left, &panels(right), threads, finish);
    };
    let both = precision == Precision::Bf16x3;
    if both {
        run(add, Part::Low, Part::High, None);
        run(true, Part::High, Part::Low, None);
    }
    run(add || both, Part::High, Part::High, finish);
}

fn splits<T>(lhs: View<'_, T>, cols: usize) -> bool {
    par::threads() > 1 && lhs.rows * lhs.cols * cols > SMALL
}

#[track_caller]
fn assert_fits<T>(dst: &ViewMut<'_, T>, lhs: View<'_, T>, rhs: View<'_, T>) {
    assert!(
        dst.rows == lhs.rows && dst.cols == rhs.cols && lhs.cols == rhs.rows,
        "product of {} x {} and {} x {} into {} x {}",
        lhs.rows,
        lhs.cols,
        rhs.rows,
        rhs.cols,
        dst.rows,
        dst.cols
    );
}

#[cfg(test)]
mod tests;
