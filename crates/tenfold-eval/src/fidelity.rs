//! Fidelity: how much of the original's sentence vectors a changed model still has.

use crate::error::Error;
use crate::metric;
use crate::neighbor::nearest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tenfold_tensor::Array;

/// Neighbors of a text that are compared, where there are that many others.
const NEIGHBORS: usize = 10;

/// The vectors of one list of texts under two models, compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Mean over the texts of the cosine of both vectors; 1 means unchanged directions.
    pub mean_cosine: f64,
    /// The least of those cosines: the text that suffered most.
    pub least_cosine: f64,
    /// Mean over the texts of the share of its 10 nearest neighbors (by cosine, among the other texts; all
    /// others where there are fewer) that are the same under both models. 0 to 1; what search results would
    /// notice.
    pub neighbor_agreement: f64,
    /// Texts compared.
    pub texts: usize,
}

/// Compares the vectors of the same texts under the original (`before`, B x D) and the changed model
/// (`after`, B x D).
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, [`Error::TooFew`] below two texts, [`Error::NotFinite`] naming
/// the first text that has a vector with NaN or infinity.
pub fn fidelity(before: &Array, after: &Array) -> Result<Fidelity, Error> {
    if before.shape() != after.shape() {
        return Err(Error::Shape { expected: before.shape().to_vec(), got: after.shape().to_vec() });
    }
    let (texts, width) = (before.height(), before.width().max(1));
    if texts < 2 {
        return Err(Error::TooFew { metric: "fidelity", least: 2, got: texts });
    }
    let pairs = before.data().chunks_exact(width).zip(after.data().chunks_exact(width)).enumerate();
    let cosine = |(index, (one, other))| {
        metric::cosine(one, other).map_err(|_| Error::NotFinite { metric: "fidelity", index })
    };
    let cosines = pairs.map(cosine).collect::<Result<Vec<f64>, _>>()?;
    let k = NEIGHBORS.min(texts - 1);
    let overlap: usize = nearest(before, k).into_iter().zip(nearest(after, k)).map(common).sum();
    Ok(Fidelity {
        mean_cosine: cosines.iter().sum::<f64>() / texts as f64,
        least_cosine: cosines.iter().fold(1.0, |least, value| value.min(least)),
        neighbor_agreement: overlap as f64 / (texts * k) as f64,
        texts,
    })
}

/// How many positions both lists hold.
fn common((one, other): (Vec<usize>, Vec<usize>)) -> usize {
    let known = BTreeSet::from_iter(one);
    other.iter().filter(|at| known.contains(at)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circle(angles: &[f32]) -> Array {
        let rows = angles.iter().flat_map(|angle| [angle.cos(), angle.sin()]).collect();
        Array::from_vec(rows, &[angles.len(), 2])
    }

    #[test]
    fn a_model_is_faithful_to_itself() {
        let vectors = circle(&[0.0, 0.5, 1.5, 3.0]);
        let kept = fidelity(&vectors, &vectors).unwrap();
        assert!((kept.mean_cosine - 1.0).abs() < 1e-12 && kept.least_cosine > 1.0 - 1e-12);
        assert_eq!((kept.neighbor_agreement, kept.texts), (1.0, 4));
    }

    #[test]
    fn rotation_changes_vectors_but_no_neighbors() {
        let angles: Vec<f32> = (0..30).map(|at| (at * at) as f32 * 0.005).collect();
        let turned: Vec<f32> = angles.iter().map(|angle| angle + 0.5).collect();
        let kept = fidelity(&circle(&angles), &circle(&turned)).unwrap();
        assert!((kept.mean_cosine - 0.5f64.cos()).abs() < 1e-6);
        assert!(kept.neighbor_agreement > 0.99);
    }

    #[test]
    fn agreement_is_the_share_of_common_neighbors() {
        // Twelve texts, ten neighbors: each text leaves exactly one other out, its farthest.
        let mut angles: Vec<f32> = (0..12).map(|at| at as f32 * 0.1).collect();
        let before = circle(&angles);
        angles.swap(0, 11);
        let kept = fidelity(&before, &circle(&angles)).unwrap();
        // Every text's farthest was the first or the last; after the swap it is the other one.
        assert!((kept.neighbor_agreement - (10.0 * 9.0 + 2.0 * 10.0) / 120.0).abs() < 1e-12);
    }

    #[test]
    fn faults_are_named() {
        let two = circle(&[0.0, 1.0]);
        assert!(matches!(fidelity(&two, &circle(&[0.0])), Err(Error::Shape { .. })));
        assert!(matches!(fidelity(&circle(&[0.0]), &circle(&[0.0])), Err(Error::TooFew { got: 1, .. })));
        let broken = Array::from_vec(vec![1.0, 0.0, f32::NAN, 1.0], &[2, 2]);
        assert!(matches!(fidelity(&two, &broken), Err(Error::NotFinite { index: 1, .. })));
    }
}
