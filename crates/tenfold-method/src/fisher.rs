//! Which entries of the leaves that train learn, and the choice of those by the Fisher information.

use std::collections::BTreeMap;
use tenfold_tensor::Array;
use tenfold_weight::LeafId;

/// Which entries of the leaves that train learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learning {
    /// Those with the most Fisher information before training; the others keep their bits.
    Fisher {
        /// Share of all entries, above 0 and at most 1.
        share: f64,
        /// Batches whose gradients decide; nothing: one pass over the training data.
        batches: Option<u64>,
    },
    /// A fresh draw at every step: a gradient stays with this probability and is divided by it, or is 0.
    Drawn {
        /// The probability, above 0 and at most 1.
        share: f64,
        /// What is drawn from.
        seed: u64,
    },
}

impl Learning {
    /// Entries of `count` that an update moves, about.
    pub fn entries(&self, count: usize) -> usize {
        match self {
            Self::Fisher { share, .. } => kept(*share, count),
            Self::Drawn { .. } => count,
        }
    }
}

/// Collects the diagonal of the empirical Fisher information: the mean over batches of squared gradients. All sums are
/// over as many batches, so their order is that of the means.
///
/// # Source
/// Xu et al. 2021, equation 5, with the gradients of batches as in the released code.
#[derive(Clone, Debug, Default)]
pub struct Fisher {
    sums: BTreeMap<LeafId, Vec<f32>>,
}

impl Fisher {
    /// One that has seen nothing of these leaves, each with so many entries.
    pub fn of(leaves: impl IntoIterator<Item = (LeafId, usize)>) -> Self {
        Self { sums: leaves.into_iter().map(|(id, count)| (id, vec![0.0; count])).collect() }
    }

    /// Adds the gradients of one batch; those of other leaves are left alone.
    ///
    /// # Panics
    /// When a gradient has another length than its leaf.
    #[track_caller]
    pub fn add(&mut self, gradients: &BTreeMap<LeafId, Array>) {
        for (id, sums) in &mut self.sums {
            if let Some(gradient) = gradients.get(id) {
                assert_eq!(gradient.len(), sums.len(), "the gradient of {id}");
                sums.iter_mut().zip(gradient.data()).for_each(|(sum, slope)| *sum += slope * slope);
            }
        }
    }

    /// The share of all entries together with the most information, by leaf and rising number. Of entries with equal
    /// information the first in the order of leaves and numbers count. Always at least one.
    pub fn select(&self, share: f64) -> BTreeMap<LeafId, Vec<u32>> {
        let mut all: Vec<f32> = self.sums.values().flatten().copied().collect();
        let count = kept(share, all.len());
        if count == 0 {
            return BTreeMap::new();
        }
        let (_, least, _) = all.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
        let least = *least;
        let above = |sum: f32| sum.total_cmp(&least).is_gt();
        let mut equal = count - self.sums.values().flatten().filter(|sum| above(**sum)).count();
        let mut chosen = BTreeMap::new();
        for (id, sums) in &self.sums {
            let mut numbers = Vec::new();
            for (at, sum) in (0u32..).zip(sums) {
                let tied = equal > 0 && sum.total_cmp(&least).is_eq();
                equal -= usize::from(tied);
                if tied || above(*sum) {
                    numbers.push(at);
                }
            }
            chosen.insert(id.clone(), numbers);
        }
        chosen
    }
}

/// A share of a count, rounded, at least one of any.
fn kept(share: f64, count: usize) -> usize {
    ((share * count as f64).round() as usize).clamp(usize::from(count > 0), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_weight::Path;

    fn id(name: &str) -> LeafId {
        LeafId::root(Path::new(name))
    }

    fn gradients(a: [f32; 4], b: [f32; 2]) -> BTreeMap<LeafId, Array> {
        [("a", a.to_vec()), ("b", b.to_vec()), ("c", vec![9.0])]
            .map(|(name, values)| (id(name), Array::from_slice(&values, &[values.len()])))
            .into_iter()
            .collect()
    }

    #[test]
    fn the_largest_mean_squares_are_chosen_over_all_leaves_together() {
        let mut fisher = Fisher::of([(id("a"), 4), (id("b"), 2)]);
        fisher.add(&gradients([1.0, -3.0, 0.0, 2.0], [0.0, 2.5]));
        fisher.add(&gradients([-1.0, 0.0, 0.5, 2.0], [0.1, 0.0]));
        // Sums of squares: 2, 9, 0.25, 8 and 0.01, 6.25.
        let of = |share| fisher.select(share);
        assert_eq!(of(0.5), BTreeMap::from([(id("a"), vec![1, 3]), (id("b"), vec![1])]));
        assert_eq!(of(0.01), BTreeMap::from([(id("a"), vec![1]), (id("b"), vec![])]));
        assert_eq!(of(1.0), BTreeMap::from([(id("a"), vec![0, 1, 2, 3]), (id("b"), vec![0, 1])]));
    }

    #[test]
    fn ties_go_to_the_first_and_the_share_is_met() {
        let fisher = Fisher::of([(id("a"), 4), (id("b"), 2)]);
        let chosen = fisher.select(0.7);
        assert_eq!(chosen, BTreeMap::from([(id("a"), vec![0, 1, 2, 3]), (id("b"), vec![])]));
        assert!(Fisher::default().select(0.5).is_empty());
        assert_eq!(Learning::Fisher { share: 0.3, batches: None }.entries(10), 3);
        assert_eq!(Learning::Drawn { share: 0.3, seed: 0 }.entries(10), 10);
    }
}
