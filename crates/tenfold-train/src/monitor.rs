//! Looking on while training goes, and saying when it goes light.

use std::collections::BTreeMap;
use tenfold_tensor::Array;
use tenfold_weight::{LeafId, Tree};

/// Why a monitor could not do its work.
pub type MonitorFault = Box<dyn std::error::Error + Send + Sync>;

/// Looks at the tree at fixed points of every step. It changes nothing of it, nor of the optimizer or of random streams:
/// a monitor that never names a leaf leaves training as it is, to the bit.
pub trait Monitor {
    /// The gradients of a step (from 0), before its update.
    fn gradients(&mut self, _step: u64, _tree: &Tree, _gradients: &BTreeMap<LeafId, Array>) {}

    /// Whether the update of a step (from 0) is made in two parts, so that [`between`](Self::between) can look.
    fn splits(&self, step: u64) -> bool;

    /// The tree with the [light parts](crate::Part) of its leaves updated and the rest as before the step.
    ///
    /// # Errors
    /// What keeps it from looking; training stops after the step.
    fn between(&mut self, step: u64, tree: &Tree) -> Result<(), MonitorFault>;

    /// The tree after a step. Of the leaves named, the light part alone trains from the next step on.
    ///
    /// # Errors
    /// As [`between`](Self::between).
    fn after(&mut self, step: u64, tree: &Tree) -> Result<Vec<LeafId>, MonitorFault>;

    /// What it must know to go on, as named lists; checkpoints keep every bit of them.
    fn state(&self) -> BTreeMap<String, Vec<f64>>;

    /// Takes up what [`state`](Self::state) gave; whether that fits.
    fn restore(&mut self, state: BTreeMap<String, Vec<f64>>) -> bool;
}

/// Numbers an f32 array holds exactly: sixteen bits each, the lowest first.
const WORDS: usize = 4;

/// The bits of numbers, as an array of checkpoints.
pub(crate) fn packed(numbers: &[f64]) -> Vec<f32> {
    let words = |number: &f64| {
        let bits = number.to_bits();
        [0, 16, 32, 48].map(|at| f32::from((bits >> at & 0xFFFF) as u16))
    };
    numbers.iter().flat_map(words).collect()
}

/// The numbers of such an array; nothing where it is none.
pub(crate) fn unpacked(array: &[f32]) -> Option<Vec<f64>> {
    let (groups, rest) = array.as_chunks::<WORDS>();
    let number = |words: &[f32; WORDS]| {
        let mut bits = 0;
        for (at, word) in words.iter().enumerate() {
            let whole = *word as u16;
            if f32::from(whole) != *word {
                return None;
            }
            bits |= u64::from(whole) << (16 * at);
        }
        Some(f64::from_bits(bits))
    };
    if rest.is_empty() { groups.iter().map(number).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_to_the_bit() {
        let numbers = [0.0, -0.0, 1.0 / 3.0, f64::MIN_POSITIVE / 3.0, -1e300, f64::INFINITY];
        let back = unpacked(&packed(&numbers)).unwrap();
        assert!(numbers.iter().zip(&back).all(|(a, b)| a.to_bits() == b.to_bits()), "{back:?}");
        assert_eq!(unpacked(&[1.0, 2.0]), None);
        assert_eq!(unpacked(&[1.5, 0.0, 0.0, 0.0]), None);
    }
}
