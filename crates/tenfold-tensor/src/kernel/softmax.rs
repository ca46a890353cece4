//! Softmax over one row.

use super::{Fused, LANES, fold, math, multiversion};

multiversion! {
    /// Replaces the row by exp(scale x - max) / sum and returns the logarithm of the sum of exp(scale x). An empty
    /// row stays empty and returns minus infinity.
    pub(crate) fn softmax<F>(row: &mut [f32], scale: f32) -> f32 {
        let max = scale * maximum::<F>(row, scale);
        let sum = exponentials::<F>(row, scale, max);
        let factor = 1.0 / sum;
        for x in row.iter_mut() {
            *x *= factor;
        }
        if sum > 0.0 { max + sum.ln() } else { f32::NEG_INFINITY }
    }
}

multiversion! {
    /// Logarithm of the sum of exp(x) over a row, which is left alone.
    pub(crate) fn log_sum_exp<F>(row: &[f32]) -> f32 {
        let max = maximum::<F>(row, 1.0);
        let mut lanes = [0.0f32; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        for chunk in chunks {
            for j in 0..LANES {
                lanes[j] += math::exp_negative::<F>(chunk[j] - max);
            }
        }
        for (j, &x) in rest.iter().enumerate() {
            lanes[j] += math::exp_negative::<F>(x - max);
        }
        let sum = fold(&lanes);
        if sum > 0.0 { max + sum.ln() } else { f32::NEG_INFINITY }
    }
}

multiversion! {
    /// out = factor exp(scale x - shift).
    pub(crate) fn exp_shifted<F>(out: &mut [f32], x: &[f32], scale: f32, shift: f32, factor: f32) {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = factor * math::exp::<F>(F::mul_add(scale, x, -shift));
        }
    }
}

multiversion! {
    /// Replaces the row by exp(scale x - shift).
    pub(crate) fn exp_in_place<F>(row: &mut [f32], scale: f32, shift: f32) {
        for x in row {
            *x = math::exp::<F>(F::mul_add(scale, *x, -shift));
        }
    }
}

multiversion! {
    /// Gradient of a softmax row: gradient = scale p (gradient - inner), where inner is the sum of p gradient.
    pub(crate) fn softmax_backward<F>(gradient: &mut [f32], p: &[f32], inner: f32, scale: f32) {
        for (g, &p) in gradient.iter_mut().zip(p) {
            *g = scale * p * (*g - inner);
        }
    }
}

/// The element that is largest after scaling.
#[inline(always)]
fn maximum<F: Fused>(row: &[f32], scale: f32) -> f32 {
    let sign = if scale < 0.0 { -1.0 } else { 1.0 };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for j in 0..LANES {
            let x = sign * chunk[j];
            lanes[j] = if x > lanes[j] { x } else { lanes[j] };
        }
    }
    for (j, &x) in rest.iter().enumerate() {
        let x = sign * x;
        lanes[j] = if x > lanes[j] { x } else { lanes[j] };
    }
    sign * lanes.iter().fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a })
}

/// Replaces the row by exp(scale x - max) and returns the sum.
#[inline(always)]
fn exponentials<F: Fused>(row: &mut [f32], scale: f32, max: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    for chunk in chunks {
        for j in 0..LANES {
            let e = math::exp_negative::<F>(F::mul_add(scale, chunk[j], -max));
            chunk[j] = e;
            lanes[j] += e;
        }
    }
    for (j, x) in rest.iter_mut().enumerate() {
        *x = math::exp_negative::<F>(F::mul_add(scale, *x, -max));
        lanes[j] += *x;
    }
    fold(&lanes)
}
