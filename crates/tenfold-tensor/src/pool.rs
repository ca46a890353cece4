//! Pool of buffers: freed memory is kept for the next array of the same size class, so a training step touches no
//! new pages after its first run. Bytes of live buffers and their peak are counted.

#[cfg_attr(all(feature = "guard", unix), allow(dead_code, reason = "guarded buffers take its place"))]
mod buffer;

#[cfg(all(feature = "guard", unix))]
pub(crate) use crate::guard::Buffer;
#[cfg(not(all(feature = "guard", unix)))]
pub(crate) use buffer::Buffer;

use std::alloc::{Layout, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Every buffer starts on a cache line, the widest vector register's natural alignment.
const ALIGN: usize = 64;
/// An idle block serves a request of its class, or where there is none one that fills at least one part in so many of it:
/// better than new memory beside memory that nobody uses.
const ROOM: usize = 2;
/// Idle memory is returned to the system when it exceeds both this and the peak of live bytes.
const IDLE_FLOOR: usize = 256 << 20;

struct Pool {
    idle: BTreeMap<usize, Vec<Idle>>,
    idle_bytes: usize,
    live_bytes: usize,
    peak_bytes: usize,
}

impl Pool {
    /// The smallest idle block that may serve a request, with its size.
    fn take(&mut self, bytes: usize) -> Option<(usize, Idle)> {
        let mut fitting = self.idle.range_mut(bytes..=bytes.saturating_mul(ROOM));
        let (held, block) = fitting.find_map(|(held, blocks)| Some((*held, blocks.pop()?)))?;
        self.idle_bytes -= held;
        Some((held, block))
    }
}

/// An unused block; its size is the key of the list that holds it.
struct Idle(NonNull<f32>);

// SAFETY: an idle block is owned by the pool alone, nothing else points into it.
unsafe impl Send for Idle {}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { idle: BTreeMap::new(), idle_bytes: 0, live_bytes: 0, peak_bytes: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    // The counters and lists are consistent after every statement, so a panic elsewhere cannot have broken them.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes of buffers now held by arrays, rounded up to their size classes.
pub fn live_bytes() -> usize {
    pool().live_bytes
}

/// Largest value of [`live_bytes`] since the start or the last [`reset_peak`].
pub fn peak_bytes() -> usize {
    pool().peak_bytes
}

/// Sets the peak to what is live now.
pub fn reset_peak() {
    let mut pool = pool();
    pool.peak_bytes = pool.live_bytes;
}

/// Bytes kept for reuse.
pub fn idle_bytes() -> usize {
    pool().idle_bytes
}

/// Returns all idle memory to the allocator.
pub fn trim() {
    let mut pool = pool();
    pool.idle_bytes = 0;
    for (bytes, blocks) in std::mem::take(&mut pool.idle) {
        for block in blocks {
            release(block, bytes);
        }
    }
}

/// Size class of a request: an eighth of an octave, so at most an eighth is wasted and sizes that differ little
/// from batch to batch share blocks.
pub(crate) fn class(bytes: usize) -> usize {
    let bytes = bytes.max(ALIGN);
    let step = (bytes.next_power_of_two() / 16).max(ALIGN);
    bytes.next_multiple_of(step)
}

fn layout(bytes: usize) -> Layout {
    match Layout::from_size_align(bytes, ALIGN) {
        Ok(layout) => layout,
        Err(_) => handle_alloc_error(Layout::new::<f32>()),
    }
}

fn release(block: Idle, bytes: usize) {
    // SAFETY: the block was allocated by `Buffer::stale` with this layout and is owned here.
    unsafe { dealloc(block.0.as_ptr().cast(), layout(bytes)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_an_eighth() {
        for bytes in [1, 63, 64, 65, 1000, 4097, 1 << 20, (1 << 20) + 1, 47_000_001] {
            let rounded = class(bytes);
            assert!(rounded >= bytes && rounded.is_multiple_of(ALIGN), "{bytes} -> {rounded}");
            assert!(bytes < 256 || rounded * 8 <= bytes * 9 + 8 * ALIGN, "{bytes} -> {rounded}");
            assert_eq!(class(rounded), rounded);
        }
    }
}
