//! The innermost loops: a band of rows of the left operand times one panel of the right one, sums in registers.
//!
//! A further level is one more file here with a function of type [`Kernel`], and one line in [`kernel`].

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod generic;

use super::pack::PANEL;
use crate::cpu::{self, Level};

/// One call of a kernel: c (+)= a b for up to [`PANEL`] columns.
pub(super) struct Band<'a> {
    /// First element of c.
    c: *mut f32,
    /// From row to row of c.
    c_step: usize,
    rows: usize,
    cols: usize,
    /// Whether the products are added to what c holds.
    add: bool,
    /// Rows of `units` units, `a_step` apart.
    a: &'a [u32],
    a_step: usize,
    /// `units` times [`PANEL`].
    b: &'a [u32],
    units: usize,
}

/// What a level does with a band.
pub(super) type Kernel = fn(&Band<'_>);

/// The kernel of the active level.
pub(super) fn kernel() -> Kernel {
    match cpu::active() {
        // Both only active where the machine reported the instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Amx => amx::pairs,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Bf16 => avx512_bf16::pairs,
        _ => generic::pairs,
    }
}

impl<'a> Band<'a> {
    /// # Safety
    /// `rows` rows of `cols` elements, `c_step` apart from `c` on, must be writable and touched by nobody else.
    ///
    /// # Panics
    /// When an operand is too short or there are more columns than a panel has.
    #[expect(clippy::too_many_arguments, reason = "both operands and the place of the result")]
    pub(super) unsafe fn new(
        c: *mut f32,
        c_step: usize,
        rows: usize,
        cols: usize,
        add: bool,
        a: &'a [u32],
        a_step: usize,
        b: &'a [u32],
    ) -> Band<'a> {
        let units = b.len() / PANEL;
        assert!(cols <= PANEL && b.len() == units * PANEL, "{cols} columns in a panel");
        assert!(rows == 0 || a.len() >= (rows - 1) * a_step + units, "a left operand that is too short");
        Band { c, c_step, rows, cols, add, a, a_step, b, units }
    }
}
