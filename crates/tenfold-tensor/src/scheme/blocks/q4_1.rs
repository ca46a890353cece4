//! 4 bits, a scale and a minimum for 32 weights: `d f16, m f16, codes[16]`, 20 bytes.

use super::part::{join_nibbles, small_blocks, split_nibbles};
use super::{Block, Nearest, code, inverse, range};
use crate::Half;

/// A block of 32 weights of value `d code + m`.
#[derive(Clone, Debug, PartialEq)]
pub struct Q4_1 {
    /// The scale.
    pub d: Half,
    /// What code 0 means.
    pub m: Half,
    /// 0 to 15.
    pub codes: [u8; 32],
}

impl Block for Q4_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 20;
    const PART: usize = 32;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q4_1 {
        let mut codes = [0; 32];
        split_nibbles::<16>(&bytes[4..20], &mut codes);
        Q4_1 { d: Half::read(bytes, 0), m: Half::read(bytes, 2), codes }
    }

    fn pack(&self, bytes: &mut [u8]) {
        self.d.write(bytes, 0);
        self.m.write(bytes, 2);
        join_nibbles(&self.codes, &mut bytes[4..20]);
    }

    #[inline(always)]
    fn expand(
        bytes: &[u8],
        codes: &mut [u8],
        steps: &mut [f32],
        shifts: &mut [f32],
        value: impl Fn(Half) -> f32,
    ) {
        for ((bytes, codes), (step, shift)) in small_blocks(bytes, Self::BYTES, codes, steps, shifts) {
            split_nibbles::<16>(&bytes[4..20], codes);
            (*step, *shift) = (value(Half::read(bytes, 0)), -value(Half::read(bytes, 2)));
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let (d, m) = (self.d.value(), self.m.value());
        for (value, &code) in values[..32].iter_mut().zip(&self.codes) {
            *value = d * f32::from(code) + m;
        }
    }
}

impl Nearest for Q4_1 {
    fn nearest(weights: &[f32]) -> Q4_1 {
        let (low, high) = range(&weights[..32]);
        let d = (high - low) / 15.0;
        let inverse = inverse(d);
        let codes = std::array::from_fn(|i| code(weights[i] - low, inverse, 0.5, 15));
        Q4_1 { d: Half::nearest(d), m: Half::nearest(low), codes }
    }

    fn is_finite(&self) -> bool {
        self.d.is_finite() && self.m.is_finite()
    }
}
