//! Splitting work over threads. Chunks have a fixed size that does not depend on the number of threads, so
//! results are the same bit for bit whatever machine runs them.

mod place;
mod team;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::product::ViewMut;

/// Runs `f`, which should be all that a program does, with a processor of its own for each thread that ops share their work
/// among, the calling one first, where the process may use as many processors as there are threads. Systems leave two busy
/// threads on one processor for tens of milliseconds, which is longer than most ops take.
pub fn placed<R>(f: impl FnOnce() -> R) -> R {
    place::everyone(threads());
    f()
}

/// Settles how many threads ops share their work among, before the first of them; whether that was still possible.
pub fn set_threads(threads: usize) -> bool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().is_ok()
}

/// How many threads an op may use: those of rayon's current pool, so that one setting holds for all work.
pub fn threads() -> usize {
    rayon::current_num_threads()
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
    let len = data.len();
    if len == 0 {
        return;
    }
    if len <= grain || threads() == 1 {
        return data.chunks_mut(grain).enumerate().for_each(|(i, chunk)| f(i * grain, chunk));
    }
    let whole = Chunks(data.as_mut_ptr());
    each(len.div_ceil(grain), |i| {
        let start = i * grain;
        // SAFETY: below the length, and different calls have different chunks.
        f(start, unsafe { whole.chunk(start, grain.min(len - start)) });
    });
}

/// The start of a slice of which every thread gets other parts.
struct Chunks<T>(*mut T);

// SAFETY: parts are only given to one thread each, by the promise of `chunk`.
unsafe impl<T: Send> Sync for Chunks<T> {}

impl<T> Chunks<T> {
    /// Elements `start..start + len`.
    ///
    /// # Safety
    /// They lie in the slice, which nobody else uses, and in no other chunk.
    #[expect(clippy::mut_from_ref, reason = "disjointness is the caller's promise")]
    unsafe fn chunk(&self, start: usize, len: usize) -> &mut [T] {
        // SAFETY: by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(start), len) }
    }
}

/// Calls `f(i)` for every `i` below `count`, in parallel.
pub(crate) fn each(count: usize, f: impl Fn(usize) + Sync + Send) {
    team::run(threads(), count, &f);
}

/// Calls `f(scratch, i)` for every `i` below `count`, in parallel, with a scratch that each thread makes once.
pub(crate) fn each_with<S>(
    count: usize,
    make: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize) + Sync + Send,
) {
    /// Pieces per thread: enough that an unlucky one does not keep the others waiting.
    const PIECES: usize = 8;
    let width = threads().min(count);
    let pieces = if width == 1 { 1 } else { count.min(PIECES * width) };
    let next = AtomicUsize::new(0);
    each(width, |_| {
        let mut scratch = None;
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                return;
            }
            let scratch = scratch.get_or_insert_with(&make);
            (piece * count / pieces..(piece + 1) * count / pieces).for_each(|i| f(scratch, i));
        }
    });
}

/// Whether `f` holds for every chunk.
pub(crate) fn all(data: &[f32], grain: usize, f: impl Fn(&[f32]) -> bool + Sync + Send) -> bool {
    let holds = AtomicBool::new(true);
    each(data.len().div_ceil(grain), |i| {
        if holds.load(Ordering::Relaxed) && !f(&data[i * grain..((i + 1) * grain).min(data.len())]) {
            holds.store(false, Ordering::Relaxed);
        }
    });
    holds.into_inner()
}

/// Sum over chunks of `f(start, end)`, added in order of the chunks.
pub(crate) fn sum(len: usize, grain: usize, f: impl Fn(usize, usize) -> f64 + Sync + Send) -> f64 {
    let [sum] = sums(len, grain, |start, end| [f(start, end)]);
    sum
}

/// Several sums over chunks of `f(start, end)` at once, each added in order of the chunks.
pub(crate) fn sums<const N: usize>(
    len: usize,
    grain: usize,
    f: impl Fn(usize, usize) -> [f64; N] + Sync + Send,
) -> [f64; N] {
    if len <= grain {
        return f(0, len);
    }
    let parts: Vec<[AtomicU64; N]> =
        (0..len.div_ceil(grain)).map(|_| [const { AtomicU64::new(0) }; N]).collect();
    each(parts.len(), |i| {
        let part = f(i * grain, ((i + 1) * grain).min(len));
        for (kept, part) in parts[i].iter().zip(part) {
            kept.store(part.to_bits(), Ordering::Relaxed);
        }
    });
    let mut sums = [0.0; N];
    for part in parts {
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum += f64::from_bits(part.into_inner());
        }
    }
    sums
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
