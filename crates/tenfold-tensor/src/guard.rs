//! Memory between two pages that must not be touched, for tests: a read or write outside ends the program.

use std::ptr;

/// `len` floats that end right before a forbidden page, or begin right after one.
pub(crate) struct Guarded {
    base: *mut libc::c_void,
    bytes: usize,
    start: *mut f32,
    len: usize,
}

impl Guarded {
    /// Filled by `value(i)`; `at_end` says which side touches the forbidden page.
    pub(crate) fn new(len: usize, at_end: bool, value: impl Fn(usize) -> f32) -> Guarded {
        // SAFETY: plain queries and a fresh mapping of our own.
        let (page, base, bytes) = unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let inner = (len * size_of::<f32>()).next_multiple_of(page).max(page);
            let bytes = inner + 2 * page;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let base = libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(base, libc::MAP_FAILED);
            let readable = libc::PROT_READ | libc::PROT_WRITE;
            assert_eq!(libc::mprotect(base.byte_add(page), inner, readable), 0);
            (page, base, bytes)
        };
        let offset = if at_end { bytes - page - len * size_of::<f32>() } else { page };
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

/// Calls `f` with both sides, for every level, and ends at the detected level.
pub(crate) fn at_every_level_and_side(f: impl Fn(bool)) {
    for level in crate::cpu::Level::ALL {
        crate::cpu::force(Some(level));
        for at_end in [false, true] {
            f(at_end);
        }
    }
    crate::cpu::force(None);
}
