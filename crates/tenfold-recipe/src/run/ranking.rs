//! How important weights are, and which come next: sums over steps, ranked among weights of one kind.

use crate::recipe::Importance;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use tenfold_tensor::Array;
use tenfold_train::{Monitor, MonitorFault};
use tenfold_weight::{Form, LeafId, Path, Tree};

/// The score of every candidate, summed over the steps since the last selection.
pub(super) struct Ranking {
    score: Importance,
    paths: Vec<Path>,
    sums: RefCell<Sums>,
}

#[derive(Default)]
struct Sums {
    scores: Vec<f64>,
    steps: f64,
}

impl Ranking {
    /// No sums yet.
    pub(super) fn new(score: Importance, paths: Vec<Path>) -> Self {
        Self { score, paths, sums: RefCell::default() }
    }

    /// The scores since the last time, which begin anew.
    pub(super) fn take(&self) -> Vec<f64> {
        let sums = self.sums.take();
        let mean = if self.score == Importance::Fisher { sums.steps.max(1.0) } else { 1.0 };
        sums.scores.iter().map(|sum| sum / mean).collect()
    }
}

impl Monitor for &Ranking {
    fn gradients(&mut self, _step: u64, tree: &Tree, gradients: &BTreeMap<LeafId, Array>) {
        let mut sums = self.sums.borrow_mut();
        sums.scores.resize(self.paths.len(), 0.0);
        sums.steps += 1.0;
        for (at, path) in self.paths.iter().enumerate() {
            let Some(value) = tree.get(path).ok().and_then(Form::as_array) else { continue };
            for (_, gradient) in gradients.iter().filter(|(id, _)| id.path == *path) {
                sums.scores[at] += seen(self.score, value.data(), gradient.data());
            }
        }
    }

    fn splits(&self, _step: u64) -> bool {
        false
    }

    fn between(&mut self, _step: u64, _tree: &Tree) -> Result<(), MonitorFault> {
        Ok(())
    }

    fn after(&mut self, _step: u64, _tree: &Tree) -> Result<Vec<LeafId>, MonitorFault> {
        Ok(Vec::new())
    }

    fn state(&self) -> BTreeMap<String, Vec<f64>> {
        let sums = self.sums.borrow();
        BTreeMap::from([("scores".to_owned(), sums.scores.clone()), ("steps".to_owned(), vec![sums.steps])])
    }

    fn restore(&mut self, mut state: BTreeMap<String, Vec<f64>>) -> bool {
        let (Some(scores), Some(steps)) = (state.remove("scores"), state.remove("steps")) else {
            return false;
        };
        let fits = scores.is_empty() || scores.len() == self.paths.len();
        let fits = fits && state.is_empty() && steps.len() == 1;
        *self.sums.borrow_mut() = Sums { scores, steps: steps.first().copied().unwrap_or(0.0) };
        fits
    }
}

/// What one step adds to a score.
fn seen(score: Importance, value: &[f32], gradient: &[f32]) -> f64 {
    let sum = |f: fn(f64, f64) -> f64| {
        value.iter().zip(gradient).map(|(w, g)| f(f64::from(*w), f64::from(*g))).sum::<f64>()
    };
    match score {
        Importance::Zero => 0.0,
        Importance::Taylor => sum(|w, g| w * g).abs(),
        Importance::Gradient => sum(|_, g| g.abs()),
        Importance::Fisher => sum(|_, g| g * g) / gradient.len().max(1) as f64,
    }
}

/// The size of the largest kind.
pub(super) fn largest_kind<'p>(paths: impl Iterator<Item = &'p Path>) -> usize {
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for path in paths {
        *sizes.entry(path.kind().0).or_default() += 1;
    }
    sizes.into_values().max().unwrap_or(0)
}

/// The `count` highest scores of each kind among the weights that are not taken, as long as no more than `most` of the
/// kind are; of equal scores the first.
pub(super) fn choose(
    paths: &[&str],
    scores: &[f64],
    taken: &BTreeSet<String>,
    count: usize,
    most: usize,
) -> Vec<usize> {
    let mut kinds: BTreeMap<String, (usize, Vec<usize>)> = BTreeMap::new();
    for (at, path) in paths.iter().enumerate() {
        let (had, left) = kinds.entry(Path::new(path).kind().0).or_default();
        match taken.contains(*path) {
            true => *had += 1,
            false => left.push(at),
        }
    }
    let of = |(had, mut left): (usize, Vec<usize>)| {
        left.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        left.truncate(count.min(most.saturating_sub(had)));
        left
    };
    kinds.into_values().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_ranked_within_their_kind_and_ties_go_to_the_first() {
        let paths = [
            "layer.0.a.weight",
            "layer.0.b.weight",
            "layer.1.a.weight",
            "layer.1.b.weight",
            "layer.2.a.weight",
        ];
        let scores = [1.0, 5.0, 2.0, 5.0, 2.0];
        let none = BTreeSet::new();
        assert_eq!(choose(&paths, &scores, &none, 1, 9), [2, 1]);
        assert_eq!(choose(&paths, &scores, &none, 2, 9), [2, 4, 1, 3]);
        let taken = BTreeSet::from(["layer.1.a.weight".to_owned(), "layer.0.b.weight".to_owned()]);
        assert_eq!(choose(&paths, &scores, &taken, 2, 2), [4, 3], "one more of each kind");
        assert_eq!(choose(&paths, &scores, &taken, 2, 1), [0usize; 0], "both kinds are full");
    }

    #[test]
    fn the_first_order_score_is_the_derivative_along_the_weight() {
        // L(W) = sum w^3, so that d L(a W) / da at 1 is 3 L.
        let value = [0.5f32, -1.0, 2.0];
        let gradient = value.map(|w| 3.0 * w * w);
        let loss: f64 = value.iter().map(|w| f64::from(w * w * w)).sum();
        assert!((seen(Importance::Taylor, &value, &gradient) - (3.0 * loss).abs()).abs() < 1e-6);
        assert_eq!(seen(Importance::Taylor, &[0.0; 3], &gradient), 0.0);
        assert_eq!(seen(Importance::Gradient, &value, &[-1.0, 2.0, 0.0]), 3.0);
        assert_eq!(seen(Importance::Fisher, &value, &[-1.0, 2.0, 1.0]), 2.0);
    }
}
