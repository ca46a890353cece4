//! Buffers whose blocks come from the pool and go back to it.

use std::alloc::{alloc_zeroed, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{IDLE_FLOOR, Idle, class, layout, pool, trim};

/// An owned block of `len` floats, always initialized. Dropping it gives it back to the pool.
pub(crate) struct Buffer {
    start: NonNull<f32>,
    len: usize,
    bytes: usize,
}

// SAFETY: a buffer owns its block like a `Box<[f32]>` does.
unsafe impl Send for Buffer {}
// SAFETY: shared access only reads plain floats.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A buffer with unspecified (but initialized) contents: what an earlier owner left there, or zeros.
    pub(crate) fn stale(len: usize) -> Buffer {
        if len == 0 {
            return Buffer { start: NonNull::dangling(), len, bytes: 0 };
        }
        let bytes = class(len.saturating_mul(size_of::<f32>()));
        let mut pool = pool();
        let found = pool.take(bytes);
        pool.live_bytes += found.as_ref().map_or(bytes, |(held, _)| *held);
        pool.peak_bytes = pool.peak_bytes.max(pool.live_bytes);
        if let Some((bytes, Idle(start))) = found {
            return Buffer { start, len, bytes };
        }
        let surplus = pool.idle_bytes > IDLE_FLOOR.max(pool.peak_bytes);
        drop(pool);
        if surplus {
            trim();
        }
        // SAFETY: the layout has a non-zero size, `class` never returns less than one cache line.
        let start = unsafe { alloc_zeroed(layout(bytes)) };
        match NonNull::new(start.cast()) {
            Some(start) => Buffer { start, len, bytes },
            None => handle_alloc_error(layout(bytes)),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut pool = pool();
        pool.live_bytes -= self.bytes;
        pool.idle_bytes += self.bytes;
        pool.idle.entry(self.bytes).or_default().push(Idle(self.start));
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: the block holds at least `len` initialized floats, none when it is dangling, and lives as long as
        // `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and `self` is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}
