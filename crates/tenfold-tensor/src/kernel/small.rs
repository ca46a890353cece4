//! Products of matrices small enough for the caches, as in one head of attention: no packing, no allocation, no
//! threads. The right factor and the result are contiguous in their rows, the left factor has any steps.

use super::{Fused, multiversion};
use crate::product::{View, ViewMut};

/// A vector register of a level. Sums are held in values of this type because the compiler keeps those in registers,
/// which it does not for arrays of floats.
pub(crate) trait Vector: Copy {
    /// Floats in it.
    const LANES: usize;
    /// All lanes equal.
    fn splat(x: f32) -> Self;
    /// # Safety
    /// As many floats as there are lanes must be readable.
    unsafe fn load(from: *const f32) -> Self;
    /// # Safety
    /// As many floats as there are lanes must be writable.
    unsafe fn store(self, to: *mut f32);
    /// Loads the first `count` lanes, fewer than all; the rest is 0.
    ///
    /// # Safety
    /// `count` floats must be readable.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// Stores the first `count` lanes, fewer than all.
    ///
    /// # Safety
    /// `count` floats must be writable.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    /// self b + c.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// The lower halves of all lanes, as the upper halves of numbers: lanes hold pairs of bf16.
    fn low_halves(self) -> Self;
    /// The upper halves of all lanes, the lower ones cleared.
    fn high_halves(self) -> Self;
}

multiversion! {
    /// c (+)= a b, where the rows of b are contiguous.
    pub(crate) fn product<F>(c: ViewMut<'_, f32>, add: bool, a: View<'_, f32>, b: View<'_, f32>) {
        assert!(
            c.rows == a.rows && c.cols == b.cols && a.cols == b.rows && (b.col_step == 1 || b.cols < 2),
            "product of {} x {} and {} x {} into {} x {}", a.rows, a.cols, b.rows, b.cols, c.rows, c.cols
        );
        let lanes = F::Vector::LANES;
        let mut col = 0;
        while col < c.cols {
            let left = c.cols - col;
            // The tile of sums fills the registers of the level: 32 of 16 floats, or 16 of 8 or 4.
            col += match (lanes, left / lanes) {
                (_, 0) => band::<F, 4, 1>(&c, col, left, add, a, b),
                (16, 4..) => band::<F, 6, 4>(&c, col, lanes, add, a, b),
                (16, 2..) => band::<F, 12, 2>(&c, col, lanes, add, a, b),
                (16, _) => band::<F, 12, 1>(&c, col, lanes, add, a, b),
                (_, 2..) => band::<F, 6, 2>(&c, col, lanes, add, a, b),
                _ => band::<F, 6, 1>(&c, col, lanes, add, a, b),
            };
        }
    }
}

/// All rows of `V` vectors of columns from `col` on; the last vector holds only `last` columns. Returns the columns
/// done.
#[inline(always)]
fn band<F: Fused, const R: usize, const V: usize>(
    c: &ViewMut<'_, f32>,
    col: usize,
    last: usize,
    add: bool,
    a: View<'_, f32>,
    b: View<'_, f32>,
) -> usize {
    let mut row = 0;
    while row + R <= c.rows {
        tile::<F, R, V>(c, row, col, last, add, a, b);
        row += R;
    }
    while row + 4 <= c.rows {
        tile::<F, 4, V>(c, row, col, last, add, a, b);
        row += 4;
    }
    while row < c.rows {
        tile::<F, 1, V>(c, row, col, last, add, a, b);
        row += 1;
    }
    (V - 1) * F::Vector::LANES + last
}

#[inline(always)]
fn tile<F: Fused, const R: usize, const V: usize>(
    c: &ViewMut<'_, f32>,
    row: usize,
    col: usize,
    last: usize,
    add: bool,
    a: View<'_, f32>,
    b: View<'_, f32>,
) {
    let lanes = F::Vector::LANES;
    let place = |r: usize, v: usize| c.start.wrapping_add((row + r) * c.row_step + col + v * lanes);
    // Only a single vector is ever cut short, so that whole ones cost no test inside the loops.
    let part = V == 1 && last < lanes;
    let mut sums = [[F::Vector::splat(0.0); V]; R];
    if add {
        for r in 0..R {
            for v in 0..V {
                // SAFETY: these rows and columns are inside c, which is borrowed exclusively.
                sums[r][v] = unsafe {
                    if part { F::Vector::load_first(place(r, v), last) } else { F::Vector::load(place(r, v)) }
                };
            }
        }
    }
    let mut left = a.data.as_ptr().wrapping_add(row * a.row_step);
    let mut right = b.data.as_ptr().wrapping_add(col);
    for _ in 0..a.cols {
        let mut vectors = [F::Vector::splat(0.0); V];
        for v in 0..V {
            let from = right.wrapping_add(v * lanes);
            // SAFETY: these columns of this row are inside b, whose view was checked.
            vectors[v] =
                unsafe { if part { F::Vector::load_first(from, last) } else { F::Vector::load(from) } };
        }
        for r in 0..R {
            // SAFETY: row and column are inside a, whose view was checked.
            let x = F::Vector::splat(unsafe { *left.add(r * a.row_step) });
            for v in 0..V {
                sums[r][v] = x.mul_add(vectors[v], sums[r][v]);
            }
        }
        left = left.wrapping_add(a.col_step);
        right = right.wrapping_add(b.row_step);
    }
    for r in 0..R {
        for v in 0..V {
            // SAFETY: as for loading.
            unsafe {
                if part {
                    sums[r][v].store_first(place(r, v), last);
                } else {
                    sums[r][v].store(place(r, v));
                }
            }
        }
    }
}

/// Four floats, for every machine.
impl Vector for [f32; 4] {
    const LANES: usize = 4;
    #[inline(always)]
    fn splat(x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        // SAFETY: readable by the caller's promise.
        unsafe { *from.cast() }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: writable by the caller's promise.
        unsafe { *to.cast() = self };
    }
    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> [f32; 4] {
        // SAFETY: `count` floats are readable by the caller's promise.
        std::array::from_fn(|i| if i < count { unsafe { *from.add(i) } } else { 0.0 })
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        for (i, &x) in self.iter().take(count).enumerate() {
            // SAFETY: `count` floats are writable by the caller's promise.
            unsafe { *to.add(i) = x };
        }
    }
    #[inline(always)]
    fn mul_add(self, b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        [self[0] * b[0] + c[0], self[1] * b[1] + c[1], self[2] * b[2] + c[2], self[3] * b[3] + c[3]]
    }
    #[inline(always)]
    fn low_halves(self) -> [f32; 4] {
        self.map(|x| f32::from_bits(x.to_bits() << 16))
    }
    #[inline(always)]
    fn high_halves(self) -> [f32; 4] {
        self.map(|x| f32::from_bits(x.to_bits() & 0xffff_0000))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The registers of AVX2 and AVX-512. Their operations are only reached from code compiled for those levels,
    //! which runs only where the machine reported them.

    use std::arch::x86_64::{
        __m256, __m256i, __m512, _mm256_and_si256, _mm256_castps_si256, _mm256_castsi256_ps,
        _mm256_cmpgt_epi32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_maskload_ps, _mm256_maskstore_ps,
        _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_slli_epi32, _mm256_storeu_ps,
        _mm512_and_si512, _mm512_castps_si512, _mm512_castsi512_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_slli_epi32,
        _mm512_storeu_ps,
    };

    use super::Vector;

    macro_rules! register {
        (
            $type:ty, $lanes:literal, $splat:ident, $load:ident, $store:ident, $mul_add:ident,
            $load_first:expr, $store_first:expr, $low:expr, $high:expr
        ) => {
            impl Vector for $type {
                const LANES: usize = $lanes;
                #[inline(always)]
                fn splat(x: f32) -> $type {
                    // SAFETY: the level has the instruction.
                    unsafe { $splat(x) }
                }
                #[inline(always)]
                unsafe fn load(from: *const f32) -> $type {
                    // SAFETY: the level has the instruction; readable by the caller's promise.
                    unsafe { $load(from) }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut f32) {
                    // SAFETY: the level has the instruction; writable by the caller's promise.
                    unsafe { $store(to, self) };
                }
                #[inline(always)]
                unsafe fn load_first(from: *const f32, count: usize) -> $type {
                    // SAFETY: the level has the instruction; lanes that are masked out are not read.
                    unsafe { $load_first(from, count) }
                }
                #[inline(always)]
                unsafe fn store_first(self, to: *mut f32, count: usize) {
                    // SAFETY: the level has the instruction; lanes that are masked out are not written.
                    unsafe { $store_first(to, self, count) };
                }
                #[inline(always)]
                fn mul_add(self, b: $type, c: $type) -> $type {
                    // SAFETY: the level has the instruction.
                    unsafe { $mul_add(self, b, c) }
                }
                #[inline(always)]
                fn low_halves(self) -> $type {
                    // SAFETY: the level has the instructions.
                    unsafe { $low(self) }
                }
                #[inline(always)]
                fn high_halves(self) -> $type {
                    // SAFETY: the level has the instructions.
                    unsafe { $high(self) }
                }
            }
        };
    }
    register!(
        __m256,
        8,
        _mm256_set1_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_fmadd_ps,
        |from, count| _mm256_maskload_ps(from, mask8(count)),
        |to, x, count| _mm256_maskstore_ps(to, mask8(count), x),
        |x| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(x))),
        |x| _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(HIGH)))
    );
    register!(
        __m512,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_fmadd_ps,
        |from, count| _mm512_maskz_loadu_ps(mask16(count), from),
        |to, x, count| _mm512_mask_storeu_ps(to, mask16(count), x),
        |x| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(x))),
        |x| _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(HIGH)))
    );
    /// The upper half of a lane.
    const HIGH: i32 = 0xffff_0000_u32 as i32;

    /// All bits of the first `count` lanes.
    #[inline(always)]
    fn mask8(count: usize) -> __m256i {
        // SAFETY: the level has the instructions.
        unsafe {
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
        }
    }

    /// One bit for each of the first `count` lanes.
    #[inline(always)]
    fn mask16(count: usize) -> u16 {
        ((1u32 << count) - 1) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu;

    #[test]
    fn odd_sizes_steps_and_offsets_agree_with_sums() {
        cpu::at_every_level(|level| {
            for (m, n, k) in [
                (1, 1, 1),
                (7, 33, 31),
                (33, 7, 1),
                (13, 64, 5),
                (31, 130, 8),
                (4, 3, 2),
                (9, 47, 6),
                (5, 16, 0),
                (0, 4, 4),
            ] {
                let (b_step, c_step) = (n + 3, n + 5);
                let value = |i: usize| (i * 37 % 19) as f32 - 9.0;
                let a: Vec<f32> = (0..m * k + 1).map(value).collect();
                let b: Vec<f32> = (0..k * b_step + 1).map(|i| value(i + 5)).collect();
                for (transposed, add) in [(false, false), (true, true)] {
                    let (row_step, col_step) = if transposed { (1, m) } else { (k, 1) };
                    let mut c = vec![1.0f32; m * c_step + 1];
                    product(
                        ViewMut::strided(&mut c[1..], m, n, c_step),
                        add,
                        View::strided(&a[1..], m, k, row_step, col_step),
                        View::strided(&b[1..], k, n, b_step, 1),
                    );
                    for i in 0..m {
                        for j in 0..c_step {
                            let entry = |l: usize| {
                                a[1 + i * row_step + l * col_step] * b[1 + l * b_step + j.min(n - 1)]
                            };
                            let sum = f32::from(u8::from(add)) + (0..k).map(entry).sum::<f32>();
                            let want = if j >= n { 1.0 } else { sum };
                            assert_eq!(c[1 + i * c_step + j], want, "{m} {n} {k} at {i} {j}, {level:?}");
                        }
                    }
                }
            }
        });
    }
}
