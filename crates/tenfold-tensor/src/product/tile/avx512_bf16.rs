//! Bands of bf16 pairs by the dot products of AVX-512 BF16: both products of a pair and their sum in one instruction.

use std::arch::x86_64::{__m512, __m512bh, _mm512_castps_si512, _mm512_dpbf16_ps, _mm512_set1_epi32};

use super::Band;
use super::generic::{self, Multiply};

struct Dot;

impl Multiply<__m512> for Dot {
    type Left = __m512bh;
    type Right = __m512bh;
    #[inline(always)]
    fn left(unit: u32) -> __m512bh {
        // SAFETY: only reached from `compiled`; the types are the same 64 bytes.
        unsafe { std::mem::transmute(_mm512_set1_epi32(unit as i32)) }
    }
    #[inline(always)]
    fn right(units: __m512) -> __m512bh {
        // SAFETY: as above.
        unsafe { std::mem::transmute(_mm512_castps_si512(units)) }
    }
    #[inline(always)]
    fn add(sum: __m512, left: __m512bh, right: __m512bh) -> __m512 {
        // SAFETY: only reached from `compiled`, whose machine has the instruction.
        unsafe { _mm512_dpbf16_ps(sum, left, right) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
fn compiled(band: &Band<'_>) {
    generic::all::<__m512, Dot>(band);
}

/// Units of two bf16 numbers. Subnormal operands and results count as 0.
pub(super) fn pairs(band: &Band<'_>) {
    // SAFETY: chosen only at a level that the machine reported.
    unsafe { compiled(band) }
}
