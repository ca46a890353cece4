//! 2 bits, and 4-bit scales and minima of parts of 16: `scales[16], codes[64], d f16, dmin f16`, 84 bytes for 256
//! weights.
//!
//! Byte k of `scales` has the scale of part k in its low half and the minimum in its high half. Each half of the
//! block, 128 weights, has 32 bytes of codes; bits 2r and 2r + 1 of its bytes are the r-th run of 32 weights.

use super::Block;
use super::part::{blocks, scaled};
use crate::Half;

/// A block of 256 weights of value `d scale code - dmin minimum`, with scale and minimum of the part of 16.
#[derive(Clone, Debug, PartialEq)]
pub struct Q2K {
    /// The scale of the scales.
    pub d: Half,
    /// The scale of the minima.
    pub dmin: Half,
    /// 0 to 15, one per part.
    pub scales: [u8; 16],
    /// 0 to 15, one per part.
    pub minima: [u8; 16],
    /// 0 to 3.
    pub codes: [u8; 256],
}

/// 256 codes of 2 bits from 64 bytes.
#[inline(always)]
pub(super) fn split_twos(bytes: &[u8]) -> [u8; 256] {
    let mut codes = [0; 256];
    for (bytes, half) in bytes[..64].as_chunks::<32>().0.iter().zip(codes.as_chunks_mut::<128>().0) {
        let runs = half.as_chunks_mut::<32>().0;
        runs[0] = twos::<0>(*bytes);
        runs[1] = twos::<2>(*bytes);
        runs[2] = twos::<4>(*bytes);
        runs[3] = twos::<6>(*bytes);
    }
    codes
}

/// The two bits of every byte from `FROM` on. By value, as arrays of known size: the loop becomes single instructions.
#[inline(always)]
fn twos<const FROM: usize>(bytes: [u8; 32]) -> [u8; 32] {
    let mut codes = [0; 32];
    for (code, byte) in codes.iter_mut().zip(&bytes) {
        *code = byte >> FROM & 3;
    }
    codes
}

/// The inverse of [`split_twos`]; of larger codes only the low 2 bits count.
pub(super) fn join_twos(codes: &[u8; 256], bytes: &mut [u8]) {
    bytes[..64].fill(0);
    for (i, &code) in codes.iter().enumerate() {
        bytes[i / 128 * 32 + i % 32] |= (code & 3) << (i % 128 / 32 * 2);
    }
}

impl Block for Q2K {
    const WEIGHTS: usize = 256;
    const BYTES: usize = 84;
    const PART: usize = 16;

    #[inline(always)]
    fn unpack(bytes: &[u8]) -> Q2K {
        let (mut scales, mut minima) = ([0; 16], [0; 16]);
        for (scale, byte) in scales.iter_mut().zip(&bytes[..16]) {
            *scale = byte & 15;
        }
        for (minimum, byte) in minima.iter_mut().zip(&bytes[..16]) {
            *minimum = byte >> 4;
        }
        let codes = split_twos(&bytes[16..80]);
        Q2K { d: Half::read(bytes, 80), dmin: Half::read(bytes, 82), scales, minima, codes }
    }

    fn pack(&self, bytes: &mut [u8]) {
        for k in 0..16 {
            bytes[k] = self.scales[k] & 15 | self.minima[k] << 4;
        }
        join_twos(&self.codes, &mut bytes[16..80]);
        self.d.write(bytes, 80);
        self.dmin.write(bytes, 82);
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
            *codes = block.codes;
            scaled(value(block.d), &block.scales, steps);
            scaled(value(block.dmin), &block.minima, shifts);
        }
    }

    fn decode(&self, values: &mut [f32]) {
        let (d, dmin) = (self.d.value(), self.dmin.value());
        for (i, (value, &code)) in values[..256].iter_mut().zip(&self.codes).enumerate() {
            let (scale, minimum) =
                (d * f32::from(self.scales[i / 16]), dmin * f32::from(self.minima[i / 16]));
            *value = scale * f32::from(code) - minimum;
        }
    }
}
