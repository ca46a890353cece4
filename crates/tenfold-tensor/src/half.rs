//! Half precision numbers as files store them: conversions, no arithmetic.

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
        let bits = value.to_bits();
        let sign = (bits >> 16 & 0x8000) as u16;
        let magnitude = bits & 0x7fff_ffff;
        if magnitude > 0x7f80_0000 {
            return Half(sign | 0x7e00);
        }
        if magnitude >= 0x477f_f000 {
            return Half(sign | 0x7c00);
        }
        if magnitude < 0x3880_0000 {
            // Below 2^-14 halves are multiples of 2^-24. Adding 0.5 to a number below 2^-14 leaves steps of 2^-24 in
            // the sum, so that the addition itself rounds to the nearest one, ties to even.
            let sum = f32::from_bits(magnitude) + 0.5;
            return Half(sign | (sum.to_bits() - 0x3f00_0000) as u16);
        }
        let rebased = magnitude - (112 << 23);
        let nearest = rebased + 0x0fff + (rebased >> 13 & 1);
        Half(sign | (nearest >> 13) as u16)
    }

    /// The value, exactly.
    pub fn value(self) -> f32 {
        let sign = u32::from(self.0 & 0x8000) << 16;
        let exponent = u32::from(self.0 >> 10 & 0x1f);
        let fraction = u32::from(self.0 & 0x3ff);
        let magnitude = match exponent {
            0 => return f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
            31 => 0x7f80_0000 | fraction << 13,
            _ => (exponent + 112) << 23 | fraction << 13,
        };
        f32::from_bits(sign | magnitude)
    }

    /// Whether it is neither infinite nor a NaN.
    pub const fn is_finite(self) -> bool {
        self.0 & 0x7c00 != 0x7c00
    }

    /// The number stored, little-endian, at `at`.
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
            if half.is_finite() {
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
