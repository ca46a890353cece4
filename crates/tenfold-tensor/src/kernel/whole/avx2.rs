//! Pairs of 16-bit products and their sums (AVX2), for 16 columns at once.

use super::{Inputs, Row, each};
use crate::kernel::Half;
use crate::kernel::expand::{Apart, with_apart};
use std::arch::x86_64::{
    __m128, __m256, _mm_add_ps, _mm_cvtss_f32, _mm_hadd_ps, _mm_loadu_si128, _mm256_add_ps,
    _mm256_castps256_ps128, _mm256_cvtepi8_epi16, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi16,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps, _mm256_madd_epi16,
    _mm256_set1_ps, _mm256_setzero_ps,
};

/// Columns at once.
const COLUMNS: usize = 16;

/// See [`super::products`].
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn products(row: &mut Row, bytes: &[u8], inputs: &[Inputs], out: &mut [f32]) {
    with_apart!(row.scheme(), A => of::<A>(row, bytes, inputs, out));
}

/// A function for each scheme.
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
fn of<A: Apart>(row: &mut Row, bytes: &[u8], inputs: &[Inputs], out: &mut [f32]) {
    each::<Half, A>(row, bytes, inputs, out, |row, inputs| sum(row, inputs));
}

/// Codes are widened before they are multiplied: pairs of 8-bit products may not fit 16 bits.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum(weights: &Row, inputs: &Inputs) -> f32 {
    let mut sums = [_mm256_setzero_ps(); 2];
    let per_part = inputs.part / COLUMNS;
    let columns =
        weights.codes().as_chunks::<{ COLUMNS }>().0.iter().zip(inputs.codes.as_chunks::<{ COLUMNS }>().0);
    for (at, (codes, x)) in columns.enumerate() {
        // SAFETY: both arrays have the 16 bytes of a register.
        let (codes, x) =
            unsafe { (_mm_loadu_si128(codes.as_ptr().cast()), _mm_loadu_si128(x.as_ptr().cast())) };
        let products = _mm256_madd_epi16(_mm256_cvtepu8_epi16(codes), _mm256_cvtepi8_epi16(x));
        let step = weights.steps()[at / per_part] * inputs.steps[at / per_part];
        let to = &mut sums[at % 2];
        *to = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(step), *to);
    }
    let mut shifted = _mm256_setzero_ps();
    let shifts = weights.shifts().as_chunks::<8>().0.iter().zip(inputs.sums.as_chunks::<8>().0);
    for (shifts, sums) in shifts {
        shifted = _mm256_fnmadd_ps(load(shifts), load(sums), shifted);
    }
    let all = _mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), shifted);
    total(_mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all)))
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn load(from: &[f32; 8]) -> __m256 {
    // SAFETY: the array has as many numbers as the register.
    unsafe { _mm256_loadu_ps(from.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn total(lanes: __m128) -> f32 {
    let pairs = _mm_hadd_ps(lanes, lanes);
    _mm_cvtss_f32(_mm_hadd_ps(pairs, pairs))
}
