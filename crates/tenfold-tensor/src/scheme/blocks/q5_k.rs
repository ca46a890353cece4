//! 5 bits, and 6-bit scales and minima of parts of 32: `d f16, dmin f16, scales[12], high[32], low[128]`, 176 bytes
//! for 256 weights. The low four bits lie as in Q4_K; the fifth of weight i is bit i / 32 of byte i % 32 of `high`.

use super::Block;
use super::part::{blocks, join_high, join_nibbles, join_sixes, scaled, split_nibbles, split_sixes};
use crate::Half;

/// A block of 256 weights of value `d scale code - dmin minimum`, with scale and minimum of the part of 32.
#[derive(Clone, Debug, PartialEq)]
pub struct Q5K {
    /// The scale of the scales.
    pub d: Half,
    /// The scale of the minima.
    pub dmin: Half,
    /// 0 to 63, one per part.
    pub scales: [u8; 8],
    /// 0 to 63, one per part.
    pub minima: [u8; 8],
    /// 0 to 31.
    pub codes: [u8; 256],
}

impl Block for Q5K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 176;
    const PART: usize = 32;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q5K {
        let (scales, minima) = split_sixes(&bytes[4..16]);
        let mut codes = [0; 256];
        for (bytes, codes) in bytes[48..176].chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
            split_nibbles::<32>(bytes, codes);
        }
        join_high(&mut codes, &bytes[16..48], 4);
        Q5K { d: Half::read(bytes, 0), dmin: Half::read(bytes, 2), scales, minima, codes }
    }

    fn pack(&self, bytes: &mut [u8]) {
        self.d.write(bytes, 0);
        self.dmin.write(bytes, 2);
        join_sixes(&self.scales, &self.minima, &mut bytes[4..16]);
        bytes[16..48].fill(0);
        for (i, &code) in self.codes.iter().enumerate() {
            bytes[16 + i % 32] |= (code >> 4 & 1) << (i / 32);
        }
        for (codes, bytes) in self.codes.chunks_exact(64).zip(bytes[48..176].chunks_exact_mut(32)) {
            join_nibbles(codes, bytes);
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
        for ((bytes, codes), (steps, shifts)) in blocks::<8>(bytes, Self::BYTES, codes, steps, shifts) {
            let block = Self::unpack(bytes);
            *codes = block.codes;
            scaled(value(block.d), &block.scales, steps);
            scaled(value(block.dmin), &block.minima, shifts);
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let (d, dmin) = (self.d.value(), self.dmin.value());
        for (i, (value, &code)) in values[..256].iter_mut().zip(&self.codes).enumerate() {
            let (scale, minimum) =
                (d * f32::from(self.scales[i / 32]), dmin * f32::from(self.minima[i / 32]));
            *value = scale * f32::from(code) - minimum;
        }
    }
}
