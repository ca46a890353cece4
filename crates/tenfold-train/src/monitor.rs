//! Looking on while training goes, and saying when it goes light.

use std::collections::BTreeMap;
use tenfold_tensor::Array;
use tenfold_weight::{LeafId, Load, Tree};

/// Why a monitor could not do its work.
pub type MonitorFault = Box<dyn std::error::Error + Send + Sync>;

/// Looks at the tree at fixed points of every step. It changes nothing of it, nor of the optimizer or of random streams:
/// a monitor that never names a leaf leaves training as it is, to the bit.
pub trait Monitor {
    /// How the routers of the model have used their experts in the batch of a step (from 0), or in this rank's share of it.
    fn loads(&mut self, _step: u64, _loads: BTreeMap<String, Load>) {}

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

/// Two monitors at once.
pub struct Both<'m>(pub &'m mut dyn Monitor, pub &'m mut dyn Monitor);

/// What the names of either one's state begin with.
const SIDES: [&str; 2] = ["first.", "second."];

impl Both<'_> {
    fn each(&mut self) -> [&mut dyn Monitor; 2] {
        [&mut *self.0, &mut *self.1]
    }
}

impl Monitor for Both<'_> {
    fn loads(&mut self, step: u64, loads: BTreeMap<String, Load>) {
        self.0.loads(step, loads.clone());
        self.1.loads(step, loads);
    }

    fn gradients(&mut self, step: u64, tree: &Tree, gradients: &BTreeMap<LeafId, Array>) {
        self.each().into_iter().for_each(|one| one.gradients(step, tree, gradients));
    }

    fn splits(&self, step: u64) -> bool {
        self.0.splits(step) || self.1.splits(step)
    }

    fn between(&mut self, step: u64, tree: &Tree) -> Result<(), MonitorFault> {
        let asked = |one: &&mut dyn Monitor| one.splits(step);
        self.each().into_iter().filter(asked).try_for_each(|one| one.between(step, tree))
    }

    fn after(&mut self, step: u64, tree: &Tree) -> Result<Vec<LeafId>, MonitorFault> {
        let mut named = self.0.after(step, tree)?;
        named.extend(self.1.after(step, tree)?);
        Ok(named)
    }

    fn state(&self) -> BTreeMap<String, Vec<f64>> {
        let named = |(monitor, side): (&dyn Monitor, &str)| {
            monitor
                .state()
                .into_iter()
                .map(|(name, list)| (format!("{side}{name}"), list))
                .collect::<Vec<_>>()
        };
        let both: [&dyn Monitor; 2] = [&*self.0, &*self.1];
        both.into_iter().zip(SIDES).flat_map(named).collect()
    }

    fn restore(&mut self, state: BTreeMap<String, Vec<f64>>) -> bool {
        let mut own = [BTreeMap::new(), BTreeMap::new()];
        for (name, list) in state {
            let side = SIDES.iter().position(|side| name.starts_with(side));
            let Some((side, name)) = side.and_then(|at| Some((at, name.strip_prefix(SIDES[at])?))) else {
                return false;
            };
            own[side].insert(name.to_owned(), list);
        }
        let [first, second] = own;
        self.0.restore(first) && self.1.restore(second)
    }
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
