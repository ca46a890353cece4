//! 5 bits, a scale and a minimum for 32 weights: `d f16, m f16, high u32, low[16]`, 24 bytes.

use super::part::small_blocks;
use super::q5_0::{join_fives, split_fives};
use super::{Block, Nearest, code, inverse, range};
use crate::Half;

/// A block of 32 weights of value `d code + m`.
#[derive(Clone, Debug, PartialEq)]
pub struct Q5_1 {
    /// The scale.
    pub d: Half,
    /// What code 0 means.
    pub m: Half,
    /// 0 to 31.
    pub codes: [u8; 32],
}

impl Block for Q5_1 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 24;
    const PART: usize = 32;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q5_1 {
        Q5_1 { d: Half::read(bytes, 0), m: Half::read(bytes, 2), codes: split_fives(&bytes[4..24]) }
    }

    fn pack(&self, bytes: &mut [u8]) {
        self.d.write(bytes, 0);
        self.m.write(bytes, 2);
        join_fives(&self.codes, &mut bytes[4..24]);
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
            let block = Self::unpack(bytes);
            *codes = block.codes;
            (*step, *shift) = (value(block.d), -value(block.m));
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let (d, m) = (self.d.value(), self.m.value());
        for (value, &code) in values[..32].iter_mut().zip(&self.codes) {
            *value = d * f32::from(code) + m;
        }
    }
}

impl Nearest for Q5_1 {
    fn nearest(weights: &[f32]) -> Q5_1 {
        let (low, high) = range(&weights[..32]);
        let d = (high - low) / 31.0;
        let inverse = inverse(d);
        let codes = std::array::from_fn(|i| code(weights[i] - low, inverse, 0.5, 31));
        Q5_1 { d: Half::nearest(d), m: Half::nearest(low), codes }
    }

    fn is_finite(&self) -> bool {
        self.d.is_finite() && self.m.is_finite()
    }
}
