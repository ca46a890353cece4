//! Branch-free scalar functions that vectorize.

use super::Fused;

/// 1.5 * 2^23: adding it rounds an f32 of magnitude below 2^22 to an integer and leaves that in the low bits.
const ROUND: f32 = 12_582_912.0;
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// exp(x). NaN stays NaN; below -104 the result is 0, above 89 infinite.
#[inline(always)]
pub(crate) fn exp<F: Fused>(x: f32) -> f32 {
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = F::mul_add(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = F::mul_add(n, -LN2_HIGH, x);
    let r = F::mul_add(n, -LN2_LOW, r);
    let mut p = 1.0 / 5040.0;
    p = F::mul_add(p, r, 1.0 / 720.0);
    p = F::mul_add(p, r, 1.0 / 120.0);
    p = F::mul_add(p, r, 1.0 / 24.0);
    p = F::mul_add(p, r, 1.0 / 6.0);
    p = F::mul_add(p, r, 0.5);
    p = F::mul_add(p, r, 1.0);
    p = F::mul_add(p, r, 1.0);
    // Two factors, because 2^n itself may be too large or too small for a normal number.
    let n = shifted.to_bits() as i32 - ROUND.to_bits() as i32;
    let low = n >> 1;
    p * power_of_two(low) * power_of_two(n - low)
}

#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits(((n + 127) << 23) as u32)
}

/// erf(x).
#[inline(always)]
pub(crate) fn erf<F: Fused>(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / F::mul_add(a, 0.327_591_1, 1.0);
    let mut p = 1.061_405_4;
    p = F::mul_add(p, t, -1.453_152_1);
    p = F::mul_add(p, t, 1.421_413_8);
    p = F::mul_add(p, t, -0.284_496_72);
    p = F::mul_add(p, t, 0.254_829_6);
    (1.0 - p * t * exp::<F>(-a * a)).copysign(x)
}

/// tanh(x).
#[inline(always)]
pub(crate) fn tanh<F: Fused>(x: f32) -> f32 {
    let a = x.abs();
    (1.0 - 2.0 / (exp::<F>(2.0 * a) + 1.0)).copysign(x)
}

/// 1 / (1 + exp(-x)).
#[inline(always)]
pub(crate) fn sigmoid<F: Fused>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<F>(-x))
}
