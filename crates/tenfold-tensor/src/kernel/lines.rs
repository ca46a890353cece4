//! Scratch from the beginning of a cache line on, so that no register of it lies in two lines.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// Types of which every bit pattern is a value.
pub(crate) trait Number: Copy + private::Sealed {}

mod private {
    pub(crate) trait Sealed {}
}

macro_rules! numbers {
    ($($type:ty),*) => {
        $(impl Number for $type {}
        impl private::Sealed for $type {})*
    };
}
numbers!(u8, i8, f32);

/// A cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[expect(dead_code, reason = "read as numbers of other types")] [u8; 64]);

/// Zeros at first. Not from the pool: many threads ask for a little of it at once.
pub(crate) struct Lines<T> {
    lines: Vec<Line>,
    len: usize,
    type_of: PhantomData<T>,
}

impl<T: Number> Lines<T> {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let count = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        Self { lines: vec![Line([0; 64]); count], len, type_of: PhantomData }
    }
}

impl<T: Number> Deref for Lines<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the lines hold at least so many bytes, at an alignment above that of T; every bit pattern is a T.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Number> DerefMut for Lines<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, borrowed exclusively; any bytes are lines.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_begin_where_lines_do_and_hold_what_is_written() {
        for len in [0, 1, 3, 64, 4096] {
            let mut bytes = Lines::<i8>::zeros(len);
            assert_eq!(bytes.len(), len);
            assert!(bytes.iter().all(|byte| *byte == 0) && bytes.as_ptr().addr().is_multiple_of(64));
            bytes.iter_mut().for_each(|byte| *byte = -7);
            assert!(bytes.iter().all(|byte| *byte == -7));
        }
    }
}
