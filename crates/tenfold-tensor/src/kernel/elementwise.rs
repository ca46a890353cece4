//! Elementwise loops over slices of equal length.

use super::multiversion;

multiversion! {
    /// sum += other.
    pub(crate) fn add_assign<F>(sum: &mut [f32], other: &[f32]) {
        for (s, &o) in sum.iter_mut().zip(other) {
            *s += o;
        }
    }
}

multiversion! {
    /// sum += factor * other.
    pub(crate) fn add_scaled<F>(sum: &mut [f32], other: &[f32], factor: f32) {
        for (s, &o) in sum.iter_mut().zip(other) {
            *s = F::mul_add(factor, o, *s);
        }
    }
}

multiversion! {
    /// out = a + factor * b.
    pub(crate) fn combine<F>(out: &mut [f32], a: &[f32], b: &[f32], factor: f32) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = F::mul_add(factor, b, a);
        }
    }
}

multiversion! {
    /// out = factor * (a - b).
    pub(crate) fn difference<F>(out: &mut [f32], a: &[f32], b: &[f32], factor: f32) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = factor * (a - b);
        }
    }
}

multiversion! {
    /// out = a * b.
    pub(crate) fn multiply<F>(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = a * b;
        }
    }
}

multiversion! {
    /// out = a / b, and 0 where b is 0.
    pub(crate) fn divide<F>(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = if b == 0.0 { 0.0 } else { a / b };
        }
    }
}

multiversion! {
    /// a *= b.
    pub(crate) fn multiply_assign<F>(a: &mut [f32], b: &[f32]) {
        for (a, &b) in a.iter_mut().zip(b) {
            *a *= b;
        }
    }
}

multiversion! {
    /// out += a * b.
    pub(crate) fn add_product<F>(out: &mut [f32], a: &[f32], b: &[f32]) {
        for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *o = F::mul_add(a, b, *o);
        }
    }
}

multiversion! {
    /// out = factor * a.
    pub(crate) fn scale<F>(out: &mut [f32], a: &[f32], factor: f32) {
        for (o, &a) in out.iter_mut().zip(a) {
            *o = factor * a;
        }
    }
}

multiversion! {
    /// Whether no element is infinite or NaN.
    pub(crate) fn all_finite<F>(a: &[f32]) -> bool {
        const EXPONENT: u32 = 0x7f80_0000;
        let mut bad = 0u32;
        for x in a {
            bad |= u32::from(x.to_bits() & EXPONENT == EXPONENT);
        }
        bad == 0
    }
}

multiversion! {
    /// out = a where the hash of seed and position says keep, scaled by `keep_scale`, else 0. `threshold` is the
    /// drop probability times 2^32; `start` is the position of the first element.
    pub(crate) fn drop_some<F>(
        out: &mut [f32], a: &[f32], start: u32, seed: [u32; 2], threshold: u32, keep_scale: f32,
    ) {
        for (i, (o, &a)) in out.iter_mut().zip(a).enumerate() {
            let kept = hash(start.wrapping_add(i as u32), seed) >= threshold;
            *o = if kept { a * keep_scale } else { 0.0 };
        }
    }
}

multiversion! {
    /// The same, added to `out`.
    pub(crate) fn add_drop_some<F>(
        out: &mut [f32], a: &[f32], start: u32, seed: [u32; 2], threshold: u32, keep_scale: f32,
    ) {
        for (i, (o, &a)) in out.iter_mut().zip(a).enumerate() {
            let kept = hash(start.wrapping_add(i as u32), seed) >= threshold;
            *o += if kept { a * keep_scale } else { 0.0 };
        }
    }
}

/// A mix of position and seed with uniform bits: three multiply-xorshift rounds with odd constants.
#[inline(always)]
fn hash(position: u32, seed: [u32; 2]) -> u32 {
    let mut h = position ^ seed[0];
    h = (h ^ (h >> 16)).wrapping_mul(0x21f0_aaad);
    h = (h ^ (h >> 15)).wrapping_mul(0x735a_2d97) ^ seed[1];
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h ^ (h >> 15)
}
