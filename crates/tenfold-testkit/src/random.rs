//! Deterministic random numbers by name, the same on every machine.

use std::f64::consts::TAU;
use tenfold_tensor::Array;

/// The generator `splitmix64` (Steele, Lea and Flood 2014): tiny, and every seed is a good one.
#[derive(Clone, Debug)]
pub struct Splitmix {
    state: u64,
}

impl Splitmix {
    /// A generator from a seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A generator from a name, hashed by FNV-1a.
    pub fn named(name: &str) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self::new(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.uniform() * end as f64) as usize
    }

    /// A number from the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// Standard normal numbers.
    pub fn normals(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.normal() as f32).collect()
    }
}

/// An array of standard normal numbers that depend on the name only.
pub fn array(name: &str, shape: &[usize]) -> Array {
    Array::from_vec(Splitmix::named(name).normals(shape.iter().product()), shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for seed 1234567 as the reference implementation prints them.
    #[test]
    fn agrees_with_the_reference() {
        let mut random = Splitmix::new(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(got, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Splitmix::named("moments");
        let uniform: f64 = (0..20_000).map(|_| random.uniform()).sum::<f64>() / 20_000.0;
        let normals: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / 20_000.0;
        let square = normals.iter().map(|n| n * n).sum::<f64>() / 20_000.0;
        assert!((uniform - 0.5).abs() < 0.01 && mean.abs() < 0.03 && (square - 1.0).abs() < 0.04);
    }

    #[test]
    fn names_tell_apart() {
        assert_eq!(array("a", &[3]), array("a", &[3]));
        assert_ne!(array("a", &[3]), array("b", &[3]));
    }
}
