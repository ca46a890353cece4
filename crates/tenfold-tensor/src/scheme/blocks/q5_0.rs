//! 5 bits around 16 and one scale for 32 weights: `d f16, high u32, low[16]`, 22 bytes. Bit i of `high` is the fifth
//! bit of code i.

use super::part::{join_nibbles, small_blocks, split_nibbles};
use super::{Block, Nearest, code, extreme, inverse};
use crate::Half;

/// A block of 32 weights of value `d (code - 16)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Q5_0 {
    /// The scale.
    pub d: Half,
    /// 0 to 31.
    pub codes: [u8; 32],
}

/// The codes of the four bytes of fifth bits and the sixteen of low small_blocks behind them.
#[inline(always)]
pub(super) fn split_fives(bytes: &[u8]) -> [u8; 32] {
    let mut codes = [0; 32];
    split_nibbles::<16>(&bytes[4..20], &mut codes);
    let high = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((high >> i & 1) << 4) as u8;
    }
    codes
}

/// The inverse of [`split_fives`]; of larger codes only the low 5 bits count.
pub(super) fn join_fives(codes: &[u8; 32], bytes: &mut [u8]) {
    bytes[..4].fill(0);
    for (i, &code) in codes.iter().enumerate() {
        bytes[i / 8] |= (code >> 4 & 1) << (i % 8);
    }
    join_nibbles(codes, &mut bytes[4..20]);
}

impl Block for Q5_0 {
    const WEIGHTS: usize = 32;
    const BYTES: usize = 22;
    const PART: usize = 32;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q5_0 {
        Q5_0 { d: Half::read(bytes, 0), codes: split_fives(&bytes[2..22]) }
    }

    fn pack(&self, bytes: &mut [u8]) {
        self.d.write(bytes, 0);
        join_fives(&self.codes, &mut bytes[2..22]);
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
            *step = value(block.d);
            *shift = 16.0 * *step;
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let d = self.d.value();
        for (value, &code) in values[..32].iter_mut().zip(&self.codes) {
            *value = d * (f32::from(code) - 16.0);
        }
    }
}

impl Nearest for Q5_0 {
    /// The weight of largest magnitude gets code 0, so that side of the grid reaches it exactly.
    fn nearest(weights: &[f32]) -> Q5_0 {
        let d = extreme(&weights[..32]) / -16.0;
        let inverse = inverse(d);
        Q5_0 { d: Half::nearest(d), codes: std::array::from_fn(|i| code(weights[i], inverse, 16.5, 31)) }
    }

    fn is_finite(&self) -> bool {
        self.d.is_finite()
    }
}
