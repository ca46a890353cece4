//! First values of weights that a method adds: drawn by a seed and the weight's path.

use crate::option::{Kind, OptionInfo};
use tenfold_tensor::Array;
use tenfold_tensor::random::Random;
use tenfold_weight::Path;

/// The option of methods that draw several things by one seed.
pub(crate) const SEED: OptionInfo =
    OptionInfo { name: "seed", kind: Kind::Integer(0, i64::MAX), default: "0", doc: "seed of what is drawn" };

/// A matrix as PyTorch draws the weight of a linear map: uniform in 1 / sqrt I.
pub(crate) fn uniform(seed: u64, path: &Path, shape: &[usize]) -> Array {
    let cols = shape.last().copied().unwrap_or(1).max(1);
    let bound = 1.0 / (cols as f64).sqrt();
    filled(seed, path, shape, |random| bound * (2.0 * random.uniform() - 1.0))
}

/// Normal numbers around 0.
pub(crate) fn normal(seed: u64, path: &Path, shape: &[usize], deviation: f64) -> Array {
    filled(seed, path, shape, |random| deviation * random.normal())
}

fn filled(seed: u64, path: &Path, shape: &[usize], mut next: impl FnMut(&mut Random) -> f64) -> Array {
    let labels: Vec<u64> = path.as_str().bytes().map(u64::from).collect();
    let mut random = Random::labelled(seed, &labels);
    let values = (0..shape.iter().product()).map(|_| next(&mut random) as f32).collect();
    Array::from_vec(values, shape)
}
