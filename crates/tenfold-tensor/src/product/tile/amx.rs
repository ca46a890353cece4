//! Bands of bf16 pairs by matrix units: one instruction multiplies 16 rows of 16 units by 16 units of 16 columns.
//!
//! Of the eight tile registers four hold sums, 32 rows by 32 columns; two hold rows of the left operand and two halves
//! of a panel. Tiles are always whole: what does not fill one goes through a copy with zeros.

#[cfg(all(test, target_os = "linux"))]
pub(crate) mod emulated;

use super::super::pack::PANEL;
use super::Band;
use std::arch::asm;

/// Rows of a tile, units of a row of the left operand's, columns of a right operand's.
const TILE: usize = 16;
/// Rows of sums that are held at once.
const ROWS: usize = 2 * TILE;
/// Bytes of a number, and of a unit.
const WORD: usize = 4;

/// The shapes of all tiles, in the layout that the processor reads.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of 16 rows of 64 bytes.
static WHOLE: Shapes = Shapes {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// A copy of part of an operand, or of the sums, that fills whole tiles.
#[repr(align(64))]
struct Block<const N: usize>([u32; N]);

/// Units of two bf16 numbers. Subnormal operands and results count as 0.
pub(super) fn pairs(band: &Band<'_>) {
    if band.rows == 0 || band.cols == 0 {
        return;
    }
    let whole = band.units / TILE;
    let rest = band.units % TILE;
    let mut right = Block([0; TILE * PANEL]);
    right.0[..rest * PANEL].copy_from_slice(&band.b[whole * TILE * PANEL..]);
    // SAFETY: this level is only active where the processor and the system allow tiles; `WHOLE` is a valid
    // configuration, and nothing between here and the release uses tiles but `multiply`.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const WHOLE, options(nostack, readonly, preserves_flags)) };
    for row in (0..band.rows).step_by(ROWS) {
        let height = ROWS.min(band.rows - row);
        if height == ROWS && band.cols == PANEL {
            rows(band, row, band.c.wrapping_add(row * band.c_step), band.c_step, band.add, &right, rest);
            continue;
        }
        let mut sums = Block([0; ROWS * PANEL]);
        let place = |i: usize| band.c.wrapping_add((row + i) * band.c_step).cast::<u32>();
        if band.add {
            for (i, sums) in sums.0.chunks_exact_mut(PANEL).take(height).enumerate() {
                // SAFETY: these rows and columns are inside c, by the promise of `Band::new`.
                unsafe { sums.as_mut_ptr().copy_from_nonoverlapping(place(i), band.cols) };
            }
        }
        rows(band, row, sums.0.as_mut_ptr().cast(), PANEL, true, &right, rest);
        for (i, sums) in sums.0.chunks_exact(PANEL).take(height).enumerate() {
            // SAFETY: as above.
            unsafe { place(i).copy_from_nonoverlapping(sums.as_ptr(), band.cols) };
        }
    }
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
}

/// Up to 32 rows of a band from `row` on, into 32 x 32 sums at `c`; `right` holds the panel's last `rest` units.
#[inline(always)]
fn rows(
    band: &Band<'_>,
    row: usize,
    c: *mut f32,
    c_step: usize,
    add: bool,
    right: &Block<{ TILE * PANEL }>,
    rest: usize,
) {
    let height = ROWS.min(band.rows - row);
    let whole = band.units / TILE;
    let mut more = add;
    // Units of the given rows from `begin` on, with zeros below and beside them.
    let copy = |begin: usize, count: usize| {
        let mut left = Block([0; ROWS * TILE]);
        for (i, left) in left.0.chunks_exact_mut(TILE).take(height).enumerate() {
            let start = (row + i) * band.a_step + begin;
            left[..count].copy_from_slice(&band.a[start..start + count]);
        }
        left
    };
    if height == ROWS {
        let a = band.a.as_ptr().wrapping_add(row * band.a_step);
        // SAFETY: `Band::new` checked that 32 rows from `row` on and the panel hold so many units; the caller gives
        // 32 x 32 sums.
        unsafe { multiply(c, c_step, a, band.a_step, band.b.as_ptr(), whole, more) };
        more = true;
    } else {
        for chunk in 0..whole {
            let left = copy(chunk * TILE, TILE);
            let b = band.b.as_ptr().wrapping_add(chunk * TILE * PANEL);
            // SAFETY: as above, with a copy of the rows that has 32.
            unsafe { multiply(c, c_step, left.0.as_ptr(), TILE, b, 1, more) };
            more = true;
        }
    }
    if rest > 0 || !more {
        let left = copy(whole * TILE, rest);
        // SAFETY: both copies fill whole tiles.
        unsafe { multiply(c, c_step, left.0.as_ptr(), TILE, right.0.as_ptr(), 1, more) };
    }
}

/// 32 x 32 sums at c, `c_step` apart from row to row, of 32 rows of a, `a_step` apart, and a panel b, over `chunks` times
/// 16 units. With `add` the products are added to what c holds.
///
/// # Safety
/// All of that must be there, c exclusively, and the tiles configured as [`WHOLE`] says.
#[inline(always)]
unsafe fn multiply(
    c: *mut f32,
    c_step: usize,
    a: *const u32,
    a_step: usize,
    b: *const u32,
    chunks: usize,
    add: bool,
) {
    // SAFETY: promised by the caller. One block of code, so that no tile lives from one to the next.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 2f",
            "tileloadd tmm0, [{c} + {c_step}]",
            "tileloadd tmm1, [{c} + {c_step} + 64]",
            "tileloadd tmm2, [{lower} + {c_step}]",
            "tileloadd tmm3, [{lower} + {c_step} + 64]",
            "jmp 3f",
            "2:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "3:",
            "test {chunks}, {chunks}",
            "jz 5f",
            "4:",
            "tileloadd tmm4, [{a} + {a_step}]",
            "tileloadd tmm6, [{b} + {b_step}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {b_step} + 64]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a_lower} + {a_step}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {a_bytes}",
            "add {a_lower}, {a_bytes}",
            "add {b}, {b_bytes}",
            "dec {chunks}",
            "jnz 4b",
            "5:",
            "tilestored [{c} + {c_step}], tmm0",
            "tilestored [{c} + {c_step} + 64], tmm1",
            "tilestored [{lower} + {c_step}], tmm2",
            "tilestored [{lower} + {c_step} + 64], tmm3",
            add = in(reg) u32::from(add),
            c = in(reg) c,
            lower = in(reg) c.wrapping_add(TILE * c_step),
            c_step = in(reg) c_step * WORD,
            a = inout(reg) a => _,
            a_lower = inout(reg) a.wrapping_add(TILE * a_step) => _,
            a_step = in(reg) a_step * WORD,
            b = inout(reg) b => _,
            b_step = in(reg) PANEL * WORD,
            chunks = inout(reg) chunks => _,
            a_bytes = const TILE * WORD,
            b_bytes = const TILE * PANEL * WORD,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
