//! 4 bits, and 6-bit scales and minima of parts of 32: `d f16, dmin f16, scales[12], codes[128]`, 144 bytes for 256
//! weights. Each 64 weights have 32 bytes of codes: the low small_blocks are the first part, the high small_blocks the second.

use super::Block;
use super::part::{blocks, join_nibbles, join_sixes, scaled, split_nibbles, split_sixes};
use crate::Half;

/// A block of 256 weights of value `d scale code - dmin minimum`, with scale and minimum of the part of 32.
#[derive(Clone, Debug, PartialEq)]
pub struct Q4K {
    /// The scale of the scales.
    pub d: Half,
    /// The scale of the minima.
    pub dmin: Half,
    /// 0 to 63, one per part.
    pub scales: [u8; 8],
    /// 0 to 63, one per part.
    pub minima: [u8; 8],
    /// 0 to 15.
    pub codes: [u8; 256],
}

impl Block for Q4K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 144;
    const PART: usize = 32;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q4K {
        let (scales, minima) = split_sixes(&bytes[4..16]);
        let mut codes = [0; 256];
        for (bytes, codes) in bytes[16..144].chunks_exact(32).zip(codes.chunks_exact_mut(64)) {
            split_nibbles::<32>(bytes, codes);
        }
        Q4K { d: Half::read(bytes, 0), dmin: Half::read(bytes, 2), scales, minima, codes }
    }

    fn pack(&self, bytes: &mut [u8]) {
        self.d.write(bytes, 0);
        self.dmin.write(bytes, 2);
        join_sixes(&self.scales, &self.minima, &mut bytes[4..16]);
        for (codes, bytes) in self.codes.chunks_exact(64).zip(bytes[16..144].chunks_exact_mut(32)) {
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
