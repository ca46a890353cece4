//! Bias and activation over blocks of rows, forward and backward.

use super::{Fused, math, multiversion};
use crate::Activation;

/// sqrt(2 / pi).
const TANH_SCALE: f32 = 0.797_884_6;
const TANH_CUBIC: f32 = 0.044_715;

multiversion! {
    /// z += bias, row by row.
    pub(crate) fn add_bias<F>(z: &mut [f32], bias: &[f32]) {
        if bias.is_empty() {
            return;
        }
        for row in z.chunks_exact_mut(bias.len()) {
            for (z, &b) in row.iter_mut().zip(bias) {
                *z += b;
            }
        }
    }
}

multiversion! {
    /// Replaces z by f(z).
    pub(crate) fn apply<F>(z: &mut [f32], act: Activation) {
        match act {
            Activation::Identity => {}
            Activation::Gelu => map(z, |z| gelu::<F>(z).0),
            Activation::GeluTanh => map(z, |z| gelu_tanh::<F>(z).0),
            Activation::Silu => map(z, |z| silu::<F>(z).0),
            Activation::Relu => map(z, |z| relu(z).0),
            Activation::Tanh => map(z, |z| tanh::<F>(z).0),
        }
    }
}

multiversion! {
    /// y = f(z), and z is replaced by f'(z), which the backward pass multiplies by.
    pub(crate) fn apply_with_slope<F>(y: &mut [f32], z: &mut [f32], act: Activation) {
        match act {
            Activation::Identity => map_pair(y, z, |z| (z, 1.0)),
            Activation::Gelu => map_pair(y, z, gelu::<F>),
            Activation::GeluTanh => map_pair(y, z, gelu_tanh::<F>),
            Activation::Silu => map_pair(y, z, silu::<F>),
            Activation::Relu => map_pair(y, z, relu),
            Activation::Tanh => map_pair(y, z, tanh::<F>),
        }
    }
}

multiversion! {
    /// slope *= gradient, and every row of the result is added to `sum` when that is not empty.
    pub(crate) fn chain<F>(slope: &mut [f32], gradient: &[f32], width: usize, sum: &mut [f32]) {
        if sum.is_empty() {
            for (s, &g) in slope.iter_mut().zip(gradient) {
                *s *= g;
            }
            return;
        }
        for (slope, gradient) in slope.chunks_exact_mut(width).zip(gradient.chunks_exact(width)) {
            for ((s, &g), total) in slope.iter_mut().zip(gradient).zip(sum.iter_mut()) {
                *s *= g;
                *total += *s;
            }
        }
    }
}

#[inline(always)]
fn map(z: &mut [f32], f: impl Fn(f32) -> f32) {
    for z in z {
        *z = f(*z);
    }
}

#[inline(always)]
fn map_pair(y: &mut [f32], z: &mut [f32], f: impl Fn(f32) -> (f32, f32)) {
    for (y, z) in y.iter_mut().zip(z) {
        (*y, *z) = f(*z);
    }
}

#[inline(always)]
fn gelu<F: Fused>(z: f32) -> (f32, f32) {
    let (below, density) = math::normal::<F>(z);
    (z * below, F::mul_add(z, density, below))
}

#[inline(always)]
fn gelu_tanh<F: Fused>(z: f32) -> (f32, f32) {
    let square = z * z;
    let t = math::tanh::<F>(TANH_SCALE * z * F::mul_add(TANH_CUBIC, square, 1.0));
    let below = 0.5 * (1.0 + t);
    let inner = TANH_SCALE * F::mul_add(3.0 * TANH_CUBIC, square, 1.0);
    (z * below, F::mul_add(0.5 * z * (1.0 - t * t), inner, below))
}

#[inline(always)]
fn silu<F: Fused>(z: f32) -> (f32, f32) {
    let s = math::sigmoid::<F>(z);
    let y = z * s;
    (y, F::mul_add(y, 1.0 - s, s))
}

#[inline(always)]
fn relu(z: f32) -> (f32, f32) {
    // Written so that NaN passes through.
    (if z <= 0.0 { 0.0 } else { z }, if z > 0.0 { 1.0 } else { 0.0 })
}

#[inline(always)]
fn tanh<F: Fused>(z: f32) -> (f32, f32) {
    let t = math::tanh::<F>(z);
    (t, F::mul_add(-t, t, 1.0))
}
