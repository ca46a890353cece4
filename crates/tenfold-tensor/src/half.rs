//! Half precision numbers as files store them: conversions, no arithmetic.

use half::f16;

/// An IEEE 754 half precision number, kept as its bits so that every pattern survives reading and writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Half(u16);

impl Half {
    /// The largest finite value.
    pub const MAX: f32 = 65504.0;

    /// The number with these bits.
    pub const fn from_bits(bits: u16) -> Half {
        Half(bits)
    }

    /// Its bits: sign, five of exponent, ten of fraction.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// The nearest half to `value`, ties to even; infinite from 65520 on, and a NaN stays a NaN.
    pub fn nearest(value: f32) -> Half {
        Half(f16::from_f32(value).to_bits())
    }

    /// The value, exactly. In a few instructions without a branch, unlike the library's, since it stands in inner loops.
    #[inline(always)]
    pub fn value(self) -> f32 {
        /// What the exponents of the two formats differ by, as a factor; it makes numbers of subnormal halves too.
        const UP: f32 = f32::from_bits((127 + 127 - 15) << 23);
        let bits = u32::from(self.0 & 0x7fff) << 13;
        let finite = (f32::from_bits(bits) * UP).to_bits();
        let value = if self.is_finite() { finite } else { bits | 0x7f80_0000 };
        f32::from_bits(value | u32::from(self.0 & 0x8000) << 16)
    }

    /// Whether it is neither infinite nor a NaN.
    pub const fn is_finite(self) -> bool {
        self.0 & 0x7c00 != 0x7c00
    }

    /// The number stored, little-endian, at `at`.
    #[inline(always)]
    pub(crate) fn read(bytes: &[u8], at: usize) -> Half {
        Half(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
    }

    /// Stores the number, little-endian, at `at`.
    pub(crate) fn write(self, bytes: &mut [u8], at: usize) {
        bytes[at..at + 2].copy_from_slice(&self.0.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finite_half_is_its_own_nearest() {
        for bits in 0..=u16::MAX {
            let half = Half::from_bits(bits);
            assert_eq!(half.value().to_bits() | 1 << 22, f16::from_bits(bits).to_f32().to_bits() | 1 << 22);
            if half.is_finite() {
                assert_eq!(half.value(), f16::from_bits(bits).to_f32());
                assert_eq!(Half::nearest(half.value()), half, "{bits:#06x}");
            } else {
                assert_eq!(half.value().is_nan(), bits & 0x3ff != 0);
                assert!(!Half::nearest(half.value()).is_finite());
            }
        }
    }

    #[test]
    fn ties_between_neighbors_go_to_even_and_all_else_to_the_nearer() {
        for bits in 0..0x7bffu16 {
            let (low, high) = (Half::from_bits(bits), Half::from_bits(bits + 1));
            // Both neighbors and their middle are exact in f32.
            let middle = (low.value() + high.value()) / 2.0;
            let even = if bits.is_multiple_of(2) { low } else { high };
            assert_eq!(Half::nearest(middle), even);
            assert_eq!(Half::nearest(-middle).bits(), even.bits() | 0x8000);
            assert_eq!(Half::nearest(middle.next_down()), low);
            assert_eq!(Half::nearest(middle.next_up()), high);
        }
        assert_eq!(Half::nearest(65519.996).value(), Half::MAX);
        assert!(!Half::nearest(65520.0).is_finite());
    }
}
