//! Four products of 8-bit numbers and their sum per lane and instruction (AVX-512 VNNI), for 64 columns at once.

use super::{Inputs, Row, each};
use crate::kernel::Wide;
use crate::kernel::expand::{Apart, COLUMNS, PARTS, with_apart};
use std::arch::x86_64::{
    __m512, _mm512_add_epi32, _mm512_add_ps, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps,
    _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_permutexvar_ps,
    _mm512_reduce_add_ps, _mm512_set1_epi32, _mm512_setr_epi32, _mm512_setzero_ps, _mm512_setzero_si512,
};

/// Sums that do not wait for each other.
const SUMS: usize = 4;

/// See [`super::products`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,avx512vnni")]
pub(super) fn products(row: &mut Row, bytes: &[u8], inputs: &[Inputs], out: &mut [f32]) {
    with_apart!(row.scheme(), A => of::<A>(row, bytes, inputs, out));
}

/// A function for each scheme, since the compiler does worse at all of them in one.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,avx512vnni")]
fn of<A: Apart>(row: &mut Row, bytes: &[u8], inputs: &[Inputs], out: &mut [f32]) {
    if row.part() == 16 {
        each::<Wide, A>(row, bytes, inputs, out, |row, inputs| sum::<16, 4>(row, inputs));
    } else {
        each::<Wide, A>(row, bytes, inputs, out, |row, inputs| sum::<32, 8>(row, inputs));
    }
}

/// `GROUP` registers of codes have as many parts as there are steps in one.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,avx512vnni")]
fn sum<const PART: usize, const GROUP: usize>(weights: &Row, inputs: &Inputs) -> f32 {
    const { assert!(GROUP * COLUMNS == PART * PARTS) };
    let mut sums = [_mm512_setzero_ps(); SUMS];
    let mut steps = weights.steps().as_chunks::<PARTS>().0.iter().zip(inputs.steps.as_chunks::<PARTS>().0);
    let (codes, last) = weights.codes().as_chunks::<COLUMNS>().0.as_chunks::<GROUP>();
    let (x, x_last) = inputs.codes.as_chunks::<COLUMNS>().0.as_chunks::<GROUP>();
    for ((codes, x), steps) in codes.iter().zip(x).zip(&mut steps) {
        group::<PART>(codes, x, steps, &mut sums);
    }
    if let Some(steps) = steps.next() {
        group::<PART>(last, x_last, steps, &mut sums);
    }
    let [a, b, c, d] = sums;
    let mut all = _mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d));
    let shifts = weights.shifts().as_chunks::<PARTS>().0.iter().zip(inputs.sums.as_chunks::<PARTS>().0);
    for (shifts, sums) in shifts {
        all = _mm512_fnmadd_ps(load(shifts), load(sums), all);
    }
    _mm512_reduce_add_ps(all)
}

/// Adds the products of columns whose steps fill one register at most.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,avx512vnni")]
fn group<const PART: usize>(
    codes: &[[u8; COLUMNS]],
    x: &[[i8; COLUMNS]],
    steps: (&[f32; PARTS], &[f32; PARTS]),
    sums: &mut [__m512; SUMS],
) {
    let steps = _mm512_mul_ps(load(steps.0), load(steps.1));
    // Lane l has columns 4 l to 4 l + 3: which of the steps belongs to it.
    let mut lanes = if PART == 16 {
        _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3)
    } else {
        _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
    };
    let further = _mm512_set1_epi32((COLUMNS / PART) as i32);
    for (at, (codes, x)) in codes.iter().zip(x).enumerate() {
        // SAFETY: both arrays have the 64 bytes of a register.
        let (codes, x) =
            unsafe { (_mm512_loadu_si512(codes.as_ptr().cast()), _mm512_loadu_si512(x.as_ptr().cast())) };
        let products = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, x));
        let to = &mut sums[at % SUMS];
        *to = _mm512_fmadd_ps(products, _mm512_permutexvar_ps(lanes, steps), *to);
        lanes = _mm512_add_epi32(lanes, further);
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(from: &[f32; PARTS]) -> __m512 {
    // SAFETY: the array has as many numbers as the register.
    unsafe { _mm512_loadu_ps(from.as_ptr()) }
}
