//! 3 bits with sign, and 6-bit scales with sign of parts of 16: `high[32], low[64], scales[12], d f16`, 110 bytes for
//! 256 weights.
//!
//! The low two bits of `code + 4` lie as in Q2_K; the third is bit i / 32 of byte i % 32 of `high`. Of `scale + 32` the
//! low small_blocks of parts 0 to 7 and 8 to 15 share bytes 0 to 7, and the upper two bits of part k are in byte 8 + k % 4,
//! from bit 2 (k / 4) on.

use super::Block;
use super::part::{around, blocks, join_high, join_nibbles, scaled, split_nibbles};
use super::q2_k::{join_twos, split_twos};
use crate::Half;

/// A block of 256 weights of value `d scale code`, with the scale of the part of 16.
#[derive(Clone, Debug, PartialEq)]
pub struct Q3K {
    /// The scale of the scales.
    pub d: Half,
    /// -32 to 31, one per part.
    pub scales: [i8; 16],
    /// -4 to 3.
    pub codes: [i8; 256],
}

impl Block for Q3K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 110;
    const PART: usize = 16;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q3K {
        let mut codes = split_twos(&bytes[32..96]);
        join_high(&mut codes, bytes, 2);
        let mut scales = [0; 16];
        split_nibbles::<8>(&bytes[96..104], &mut scales);
        // The upper two bits of four scales are in four bytes: one shift for all.
        let upper = u32::from_le_bytes([bytes[104], bytes[105], bytes[106], bytes[107]]);
        for (run, scales) in scales.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let upper = (upper >> (2 * run) & 0x0303_0303) << 4;
            for (scale, upper) in scales.iter_mut().zip(upper.to_le_bytes()) {
                *scale |= upper;
            }
        }
        Q3K { d: Half::read(bytes, 108), scales: around(&scales, 32), codes: around(&codes, 4) }
    }

    fn pack(&self, bytes: &mut [u8]) {
        let codes: [u8; 256] = std::array::from_fn(|i| self.codes[i].wrapping_add(4) as u8);
        let scales: [u8; 16] = std::array::from_fn(|k| self.scales[k].wrapping_add(32) as u8);
        bytes[..32].fill(0);
        bytes[104..108].fill(0);
        for (i, &code) in codes.iter().enumerate() {
            bytes[i % 32] |= (code >> 2 & 1) << (i / 32);
        }
        join_twos(&codes, &mut bytes[32..96]);
        join_nibbles(&scales, &mut bytes[96..104]);
        for (k, &scale) in scales.iter().enumerate() {
            bytes[104 + k % 4] |= (scale >> 4 & 3) << (k / 4 * 2);
        }
        self.d.write(bytes, 108);
    }

    #[inline(always)]
    fn expand(
        bytes: &[u8],
        codes: &mut [u8],
        steps: &mut [f32],
        shifts: &mut [f32],
        value: impl Fn(Half) -> f32,
    ) {
        for ((bytes, codes), (steps, shifts)) in blocks::<16>(bytes, Self::BYTES, codes, steps, shifts) {
            let block = Self::unpack(bytes);
            for (to, code) in codes.iter_mut().zip(&block.codes) {
                *to = code.wrapping_add(4) as u8;
            }
            let d = value(block.d);
            scaled(d, &block.scales, steps);
            scaled(4.0 * d, &block.scales, shifts);
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let d = self.d.value();
        for (i, (value, &code)) in values[..256].iter_mut().zip(&self.codes).enumerate() {
            *value = d * f32::from(self.scales[i / 16]) * f32::from(code);
        }
    }
}
