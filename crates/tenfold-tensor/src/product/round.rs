//! Numbers as units of the inner dimension of a product: two bf16 numbers side by side.

/// How numbers become units.
pub(super) trait Unit {
    /// The unit of two neighbors.
    fn of(first: f32, second: f32) -> u32;
}

/// Two numbers rounded to bf16.
pub(super) struct High;
/// What rounding two numbers to bf16 leaves, rounded to bf16.
pub(super) struct Low;

impl Unit for High {
    #[inline(always)]
    fn of(first: f32, second: f32) -> u32 {
        rounded(first) >> 16 | rounded(second)
    }
}

impl Unit for Low {
    #[inline(always)]
    fn of(first: f32, second: f32) -> u32 {
        rounded(rest(first)) >> 16 | rounded(rest(second))
    }
}

/// The nearest bf16, ties to even, in the upper half of the bits; the lower half is 0. NaN stays NaN, and what is
/// too large becomes infinite.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let kept = if x.is_nan() { bits | 0x0040_0000 } else { nearest };
    kept & 0xffff_0000
}

/// x minus its nearest bf16, exactly; 0 where that is infinite.
#[inline(always)]
fn rest(x: f32) -> f32 {
    let rest = x - f32::from_bits(rounded(x));
    if rest.is_finite() { rest } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn high(x: f32) -> f32 {
        f32::from_bits(High::of(0.0, x) & 0xffff_0000)
    }

    #[test]
    fn ties_go_to_even_and_special_values_stay() {
        // bf16 has 8 significant bits: between 1 and 2 its steps are 2^-7.
        let step = 2f32.powi(-7);
        assert_eq!(high(1.0 + 0.5 * step), 1.0);
        assert_eq!(high(1.0 + 1.5 * step), 1.0 + 2.0 * step);
        assert_eq!(high(1.0 + 0.5 * step + f32::EPSILON), 1.0 + step);
        assert_eq!(high(-1.0 - 1.5 * step), -1.0 - 2.0 * step);
        assert_eq!((high(f32::MAX), high(f32::NEG_INFINITY)), (f32::INFINITY, f32::NEG_INFINITY));
        assert!(high(f32::NAN).is_nan() && high(f32::from_bits(0x7f80_0001)).is_nan());
        assert_eq!(high(-0.0).to_bits(), (-0.0f32).to_bits());
    }

    #[test]
    fn both_parts_together_hold_sixteen_bits() {
        for i in 0..1000u32 {
            let x = (i as f32 - 500.0) * 0.123_456_7;
            let both = |part: u32| f32::from_bits(part & 0xffff_0000);
            let sum = both(High::of(0.0, x)) + both(Low::of(0.0, x));
            assert!((x - sum).abs() <= x.abs() * 2f32.powi(-16), "{x}: {sum}");
        }
        assert_eq!(Low::of(f32::INFINITY, f32::MAX), 0);
    }

    #[test]
    fn the_first_of_a_pair_lies_below() {
        assert_eq!(High::of(1.0, 2.0), 1f32.to_bits() >> 16 | 2f32.to_bits());
    }
}
