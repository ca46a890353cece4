//! Memory between two pages that must not be touched, for tests: a read or write outside ends the program.

use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

/// A multiple of every page size in use.
const PAGE: usize = 1 << 16;

/// `len` floats that end right before a forbidden page, or begin right after one.
pub(crate) struct Guarded {
    base: *mut libc::c_void,
    bytes: usize,
    start: *mut f32,
    len: usize,
}

// SAFETY: it owns its mapping as a box does.
unsafe impl Send for Guarded {}
// SAFETY: shared access only reads plain floats.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// Filled by `value(i)`; `at_end` says which side touches the forbidden page.
    pub(crate) fn new(len: usize, at_end: bool, value: impl Fn(usize) -> f32) -> Guarded {
        // SAFETY: a fresh mapping of our own.
        let (base, bytes) = unsafe {
            let inner = (len * size_of::<f32>()).next_multiple_of(PAGE).max(PAGE);
            let bytes = inner + 2 * PAGE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let base = libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            let readable = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(libc::mprotect(base.byte_add(PAGE), inner, readable), 0);
            (base, bytes)
        };
        let offset = if at_end { bytes - PAGE - len * size_of::<f32>() } else { PAGE };
        let mut guarded = Guarded { base, bytes, start: base.wrapping_byte_add(offset).cast(), len };
        guarded.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = value(i));
        guarded
    }

    pub(crate) fn data(&self) -> &[f32] {
        // SAFETY: the floats lie in the readable part of the mapping, zero-filled at first, owned by `self`.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }

    pub(crate) fn data_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping of `new`, which nothing else refers to.
        unsafe { libc::munmap(self.base, self.bytes) };
    }
}

/// Stands in for the pool's buffers: one side after the other touches a forbidden page, what was freed is forbidden
/// too, and contents are NaN until they are written.
#[cfg_attr(not(feature = "guard"), allow(dead_code, reason = "only then in place of the pool's"))]
pub(crate) struct Buffer(Guarded);

#[cfg_attr(not(feature = "guard"), allow(dead_code, reason = "only then in place of the pool's"))]
impl Buffer {
    pub(crate) fn stale(len: usize) -> Buffer {
        static AT_END: AtomicBool = AtomicBool::new(false);
        Buffer(Guarded::new(len, AT_END.fetch_not(Ordering::Relaxed), |_| f32::NAN))
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        self.0.data()
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        self.0.data_mut()
    }
}

/// Calls `f` with both sides, for every level, and ends at the detected level.
#[cfg(test)]
pub(crate) fn at_every_level_and_side(f: impl Fn(bool)) {
    crate::cpu::at_every_level(|_| [false, true].into_iter().for_each(&f));
}
