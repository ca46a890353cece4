//! Which entries of a leaf learn: all, some that stay the same, or a fresh draw at every step.

use std::sync::Arc;
use tenfold_tensor::Array;
use tenfold_tensor::optim::AdamWState;
use tenfold_tensor::random::Random;
use tenfold_weight::LeafId;

/// The stream of random numbers that entries are drawn from.
const ENTRIES: u64 = 0x454E_5452;

/// Entries of a leaf, by their numbers in memory order, rising.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entries(Arc<[u32]>);

impl Entries {
    /// Flags that are stored in one number: as many as every f32 holds exactly, with room to spare.
    pub(crate) const FLAGS: usize = 16;

    /// Entries in any order; what is named twice counts once.
    pub fn new(mut numbers: Vec<u32>) -> Self {
        numbers.sort_unstable();
        numbers.dedup();
        Self(numbers.into())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their numbers, rising.
    pub fn numbers(&self) -> &[u32] {
        &self.0
    }

    /// These entries of an array, in order, as a vector.
    pub(crate) fn gather(&self, from: &Array) -> Array {
        let data = from.data();
        Array::from_vec(self.0.iter().map(|at| data[*at as usize]).collect(), &[self.len()])
    }

    /// Puts a vector of these entries in their places.
    pub(crate) fn scatter(&self, from: &Array, into: &mut Array) {
        let data = into.data_mut();
        for (at, value) in self.0.iter().zip(from.data()) {
            data[*at as usize] = *value;
        }
    }

    /// One flag for each of `len` entries, sixteen in a number, the first in the lowest bit.
    pub(crate) fn flags(&self, len: usize) -> Vec<f32> {
        let mut words = vec![0u16; len.div_ceil(Self::FLAGS)];
        for at in self.0.iter() {
            words[*at as usize / Self::FLAGS] |= 1 << (*at as usize % Self::FLAGS);
        }
        words.into_iter().map(f32::from).collect()
    }

    /// The entries of flags; nothing where a number is no word of flags or names an entry beyond `len`.
    pub(crate) fn of_flags(words: &[f32], len: usize) -> Option<Self> {
        let mut numbers = Vec::new();
        for (word, found) in words.iter().enumerate() {
            let flags = *found as u16;
            if f32::from(flags) != *found {
                return None;
            }
            numbers.extend(
                (0..Self::FLAGS).filter(|at| flags >> at & 1 == 1).map(|at| (word * Self::FLAGS + at) as u32),
            );
        }
        let fits =
            words.len() == len.div_ceil(Self::FLAGS) && numbers.last().is_none_or(|at| (*at as usize) < len);
        fits.then(|| Self(numbers.into()))
    }
}

/// What of a leaf goes on training once training goes light.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// These entries; the others keep their bits, and no moments are held for them.
    Entries(Entries),
    /// Nothing of it.
    Nothing,
}

/// Entries that are drawn anew at every step: each gradient stays with this probability, or is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// The probability, above 0 and at most 1.
    pub share: f64,
    /// What is drawn from, with the step and the leaf.
    pub seed: u64,
    /// Whether what stays is divided by the probability, so that the mean over draws is the gradient itself.
    pub raised: bool,
}

impl Drawn {
    /// The gradient of a leaf after the draw of a step.
    pub(crate) fn thin(&self, mut gradient: Array, step: u64, leaf: &LeafId) -> Array {
        let mut labels = vec![ENTRIES, step];
        labels.extend(leaf.to_string().bytes().map(u64::from));
        let mut random = Random::labelled(self.seed, &labels);
        // Two draws of 32 bits each: the share is met to a part in four thousand million.
        let limit = (self.share * 2f64.powi(32)) as u64;
        let factor = if self.raised { (1.0 / self.share) as f32 } else { 1.0 };
        for pair in gradient.data_mut().chunks_mut(2) {
            let bits = random.bits();
            for (value, draw) in pair.iter_mut().zip([bits >> 32, bits & 0xFFFF_FFFF]) {
                *value *= if draw < limit { factor } else { 0.0 };
            }
        }
        gradient
    }
}

/// The moments of some entries alone.
pub(crate) fn gathered(moments: &AdamWState, entries: &Entries) -> AdamWState {
    AdamWState { m: entries.gather(&moments.m), v: entries.gather(&moments.v) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_weight::Path;

    #[test]
    fn flags_name_the_same_entries() {
        for len in [1usize, 15, 16, 17, 100] {
            let entries =
                Entries::new((0..len as u32).filter(|at| at % 3 == 0 || *at as usize + 1 == len).collect());
            assert_eq!(Entries::of_flags(&entries.flags(len), len), Some(entries));
        }
        assert_eq!(Entries::of_flags(&[0.5], 3), None);
        assert_eq!(Entries::of_flags(&[8.0], 3), None);
        assert_eq!(Entries::of_flags(&[-1.0], 3), None);
        assert_eq!(Entries::of_flags(&[f32::NAN], 3), None);
        assert_eq!(Entries::of_flags(&[1.0, 0.0], 3), None);
    }

    #[test]
    fn a_draw_keeps_its_share_and_the_mean() {
        let leaf = LeafId::root(Path::new("w"));
        let drawn = Drawn { share: 0.3, seed: 5, raised: true };
        let len = 20_001;
        let thinned = |step| drawn.thin(Array::full(&[len], 1.0), step, &leaf);
        let first = thinned(3);
        assert_eq!(first, thinned(3));
        assert_ne!(first, thinned(4));
        let kept = first.data().iter().filter(|value| **value != 0.0).count() as f64 / len as f64;
        assert!((kept - 0.3).abs() < 0.015, "{kept}");
        assert!(first.data().iter().all(|value| *value == 0.0 || *value == (1.0f64 / 0.3) as f32));
        let all = Drawn { share: 1.0, seed: 5, raised: true }.thin(Array::full(&[7], 2.0), 0, &leaf);
        assert_eq!(all, Array::full(&[7], 2.0));
    }
}
