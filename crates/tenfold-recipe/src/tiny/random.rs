//! SplitMix64 (Steele, Lea and Flood 2014, Fast splittable pseudorandom number generators): one word of state, the same
//! numbers on every machine.

use std::f64::consts::TAU;

/// A stream of numbers.
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The stream that a seed and the labels of a use have to themselves.
    pub(super) fn new(seed: u64, labels: &[u64]) -> Self {
        let start = Self { state: seed };
        labels.iter().fold(start, |mut before, label| Self { state: before.bits() ^ label })
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number from the standard normal distribution (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_match_the_published_generator() {
        let mut random = Random::new(0, &[]);
        assert_eq!(random.bits(), 0xE220_A839_7B1D_CDAF);
        assert_eq!(random.bits(), 0x6E78_9E6A_A1B9_65F4);
    }

    #[test]
    fn labels_tell_streams_apart() {
        let first = |seed, labels: &[u64]| Random::new(seed, labels).bits();
        assert_eq!(first(1, &[2, 3]), first(1, &[2, 3]));
        let all = [
            first(1, &[]),
            first(1, &[0]),
            first(1, &[2]),
            first(1, &[2, 3]),
            first(1, &[3, 2]),
            first(2, &[2]),
        ];
        assert!((0..all.len()).all(|a| (0..a).all(|b| all[a] != all[b])), "{all:?}");
    }

    #[test]
    fn normal_numbers_have_their_moments() {
        let mut random = Random::new(5, &[]);
        let drawn: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let square = drawn.iter().map(|number| number * number).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.04, "mean {mean}, square {square}");
    }
}
