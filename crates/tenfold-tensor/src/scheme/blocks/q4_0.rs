//! 4 bits around 8 and one scale for 32 weights: `d f16, codes[16]`, 18 bytes.

use super::part::{join_nibbles, small_blocks, split_nibbles};
use super::{Block, Nearest, code, extreme, inverse};
use crate::Half;

/// A block of 32 weights of value `d (code - 8)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Q4_0 {
    /// The scale.
    pub d: Half,
    /// 0 to 15.
    pub codes: [u8; 32],
}

impl Block for Q4_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 18;
    const PART: usize = 32;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q4_0 {
        let mut codes = [0; 32];
        split_nibbles::<16>(&bytes[2..18], &mut codes);
        Q4_0 { d: Half::read(bytes, 0), codes }
    }

    fn pack(&self, bytes: &mut [u8]) {
        self.d.write(bytes, 0);
        join_nibbles(&self.codes, &mut bytes[2..18]);
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
            split_nibbles::<16>(&bytes[2..18], codes);
            *step = value(Half::read(bytes, 0));
            *shift = 8.0 * *step;
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let d = self.d.value();
        for (value, &code) in values[..32].iter_mut().zip(&self.codes) {
            *value = d * (f32::from(code) - 8.0);
        }
    }
}

impl Nearest for Q4_0 {
    /// The weight of largest magnitude gets code 0, so that side of the grid reaches it exactly.
    fn nearest(weights: &[f32]) -> Q4_0 {
        let d = extreme(&weights[..32]) / -8.0;
        let inverse = inverse(d);
        Q4_0 { d: Half::nearest(d), codes: std::array::from_fn(|i| code(weights[i], inverse, 8.5, 15)) }
    }

    fn is_finite(&self) -> bool {
        self.d.is_finite()
    }
}
