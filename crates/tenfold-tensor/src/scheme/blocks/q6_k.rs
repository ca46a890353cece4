//! 6 bits with sign, and 8-bit scales with sign of parts of 16: `low[128], high[64], scales i8[16], d f16`, 210 bytes
//! for 256 weights.
//!
//! Each half of the block, 128 weights in four runs of 32, has 64 bytes of `low` and 32 of `high`. Of `code + 32` the low
//! four bits of runs 0 and 1 are the low small_blocks of the bytes of `low`, those of runs 2 and 3 the high small_blocks; the upper
//! two bits of run r are bits 2r and 2r + 1 of the bytes of `high`.

use super::Block;
use super::part::{around, blocks, join_nibbles, scaled, split_nibbles};
use super::q2_k::split_twos;
use crate::Half;

/// A block of 256 weights of value `d scale code`, with the scale of the part of 16.
#[derive(Clone, Debug, PartialEq)]
pub struct Q6K {
    /// The scale of the scales.
    pub d: Half,
    /// -128 to 127, one per part.
    pub scales: [i8; 16],
    /// -32 to 31.
    pub codes: [i8; 256],
}

impl Block for Q6K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 210;
    const PART: usize = 16;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q6K {
        let mut codes = [0; 256];
        for (bytes, codes) in bytes[..128].chunks_exact(64).zip(codes.chunks_exact_mut(128)) {
            split_nibbles::<64>(bytes, codes);
        }
        for (code, upper) in codes.iter_mut().zip(&split_twos(&bytes[128..192])) {
            *code |= upper << 4;
        }
        let mut scales = [0; 16];
        scales.copy_from_slice(&bytes[192..208]);
        Q6K { d: Half::read(bytes, 208), scales: around(&scales, 0), codes: around(&codes, 32) }
    }

    fn pack(&self, bytes: &mut [u8]) {
        let codes: [u8; 256] = std::array::from_fn(|i| self.codes[i].wrapping_add(32) as u8);
        for (codes, bytes) in codes.chunks_exact(128).zip(bytes[..128].chunks_exact_mut(64)) {
            join_nibbles(codes, bytes);
        }
        bytes[128..192].fill(0);
        for (i, &code) in codes.iter().enumerate() {
            bytes[128 + i / 128 * 32 + i % 32] |= (code >> 4 & 3) << (i % 128 / 32 * 2);
        }
        for (byte, &scale) in bytes[192..208].iter_mut().zip(&self.scales) {
            *byte = scale as u8;
        }
        self.d.write(bytes, 208);
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
                *to = code.wrapping_add(32) as u8;
            }
            let d = value(block.d);
            scaled(d, &block.scales, steps);
            scaled(32.0 * d, &block.scales, shifts);
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let d = self.d.value();
        for (i, (value, &code)) in values[..256].iter_mut().zip(&self.codes).enumerate() {
            *value = d * f32::from(self.scales[i / 16]) * f32::from(code);
        }
    }
}
