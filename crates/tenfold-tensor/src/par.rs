//! Splitting work over rayon's threads. Chunks have a fixed size that does not depend on the number of threads, so
//! results are the same bit for bit whatever machine runs them.

#[cfg(target_os = "linux")]
mod place;

use std::marker::PhantomData;

use rayon::prelude::*;

use crate::product::ViewMut;

/// Runs `f` on one of the threads that ops share their work among, which is what a program should do with all its work: an
/// op that is called from any other thread hands its work over and sleeps until it is done, tens of microseconds each time.
///
/// Where the pool has a thread for every processor that the process may use, each thread gets one of its own: systems
/// leave two busy threads on one processor for tens of milliseconds, which is longer than most ops take.
pub fn in_pool<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    #[cfg(target_os = "linux")]
    place::threads();
    rayon::scope(|_| f())
}

/// Elements of one chunk of a cheap elementwise loop: 128 KiB, enough to hide the cost of handing it over and small
/// enough for two operands in a second-level cache.
pub(crate) const GRAIN: usize = 32 * 1024;

/// Rows of a block so that it holds about [`GRAIN`] elements.
pub(crate) fn block_rows(width: usize) -> usize {
    (GRAIN / width.max(1)).max(1)
}

/// Calls `f(start, chunk)` for consecutive chunks of `grain` elements.
pub(crate) fn chunks_mut<T: Send>(data: &mut [T], grain: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    if data.is_empty() {
        return;
    }
    if data.len() <= grain {
        f(0, data);
    } else if rayon::current_num_threads() == 1 {
        data.chunks_mut(grain).enumerate().for_each(|(i, chunk)| f(i * grain, chunk));
    } else {
        data.par_chunks_mut(grain).enumerate().for_each(|(i, chunk)| f(i * grain, chunk));
    }
}

/// Calls `f(i)` for every `i` below `count`, in parallel.
pub(crate) fn each(count: usize, f: impl Fn(usize) + Sync + Send) {
    if count == 1 || rayon::current_num_threads() == 1 {
        (0..count).for_each(f);
    } else {
        (0..count).into_par_iter().for_each(f);
    }
}

/// Calls `f(scratch, i)` for every `i` below `count`, in parallel, with a scratch that is made once for many calls.
pub(crate) fn each_with<S>(
    count: usize,
    make: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize) + Sync + Send,
) {
    /// Pieces per thread: enough that an unlucky one does not keep the others waiting.
    const PIECES: usize = 8;
    if count == 1 || rayon::current_num_threads() == 1 {
        let mut scratch = make();
        return (0..count).for_each(|i| f(&mut scratch, i));
    }
    let least = count / (PIECES * rayon::current_num_threads());
    (0..count).into_par_iter().with_min_len(least.max(1)).for_each_init(make, f);
}

/// Whether `f` holds for every chunk.
pub(crate) fn all(data: &[f32], grain: usize, f: impl Fn(&[f32]) -> bool + Sync + Send) -> bool {
    if data.len() <= grain { f(data) } else { data.par_chunks(grain).all(f) }
}

/// Sum over chunks of `f(start, end)`, added in order of the chunks.
pub(crate) fn sum(len: usize, grain: usize, f: impl Fn(usize, usize) -> f64 + Sync + Send) -> f64 {
    if len <= grain {
        return f(0, len);
    }
    let parts: Vec<f64> =
        (0..len.div_ceil(grain)).into_par_iter().map(|i| f(i * grain, ((i + 1) * grain).min(len))).collect();
    parts.iter().sum()
}

/// A mutable slice that several threads write at disjoint places.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    life: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `slice`, whose caller promises that the ranges of different threads do not overlap.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(crate) fn new(data: &'a mut [f32]) -> Shared<'a> {
        Shared { start: data.as_mut_ptr(), len: data.len(), life: PhantomData }
    }

    /// Elements `start..start + len`.
    ///
    /// # Safety
    /// No other slice of this range may be in use, in this thread or another.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &mut [f32] {
        assert!(start <= self.len && len <= self.len - start, "range past the end of a shared slice");
        // SAFETY: in bounds by the check above, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// A matrix of rows `row_step` apart, from element `start` on.
    ///
    /// # Safety
    /// No other view or slice of its elements may be in use, in this thread or another.
    pub(crate) unsafe fn matrix(
        &self,
        start: usize,
        rows: usize,
        cols: usize,
        row_step: usize,
    ) -> ViewMut<'a, f32> {
        let len = if rows == 0 { 0 } else { (rows - 1) * row_step + cols };
        assert!(start <= self.len && len <= self.len - start, "matrix past the end of a shared slice");
        // SAFETY: in bounds by the check above, exclusive by the caller's promise.
        unsafe { ViewMut::from_raw(self.start.add(start), rows, cols, row_step) }
    }
}
