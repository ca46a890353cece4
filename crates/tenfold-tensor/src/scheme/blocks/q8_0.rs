//! 8 bits and one scale for 32 weights: `d f16, codes i8[32]`, 34 bytes.

use super::part::small_blocks;
use super::{Block, Nearest, extreme, inverse};
use crate::Half;

/// A block of 32 weights of value `d code`.
#[derive(Clone, Debug, PartialEq)]
pub struct Q8_0 {
    /// The scale.
    pub d: Half,
    /// -128 to 127; [`Nearest`] uses -127 to 127.
    pub codes: [i8; 32],
}

impl Block for Q8_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 34;
    const PART: usize = 32;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q8_0 {
        let mut codes = [0; 32];
        for (code, &byte) in codes.iter_mut().zip(&bytes[2..34]) {
            *code = byte as i8;
        }
        Q8_0 { d: Half::read(bytes, 0), codes }
    }

    fn pack(&self, bytes: &mut [u8]) {
        self.d.write(bytes, 0);
        for (byte, &code) in bytes[2..34].iter_mut().zip(&self.codes) {
            *byte = code as u8;
        }
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
            codes.copy_from_slice(&bytes[2..34]);
            for code in codes {
                *code ^= 128;
            }
            *step = value(Half::read(bytes, 0));
            *shift = 128.0 * *step;
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let d = self.d.value();
        for (value, &code) in values[..32].iter_mut().zip(&self.codes) {
            *value = d * f32::from(code);
        }
    }
}

impl Nearest for Q8_0 {
    /// Halves are rounded away from zero.
    fn nearest(weights: &[f32]) -> Q8_0 {
        let d = extreme(&weights[..32]).abs() / 127.0;
        let inverse = inverse(d);
        Q8_0 { d: Half::nearest(d), codes: std::array::from_fn(|i| (weights[i] * inverse).round() as i8) }
    }

    fn is_finite(&self) -> bool {
        self.d.is_finite()
    }
}
