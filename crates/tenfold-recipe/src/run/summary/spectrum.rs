//! Spectra of matrices before and after a rewrite.

use crate::error::Error;
use crate::report::Spectrum;
use crate::result::WeightResult;
use crate::run::session::Variant;
use tenfold_linalg::{Matrix, MpoShape, entropy, parallel, spectra, stable_rank};
use tenfold_weight::{Path, Tree, dense_values};

/// Matrices whose spectra are shown: those that lost most. Each costs two singular value decompositions.
const SPECTRA: usize = 6;

/// Spectra before and after of the matrices that lost most of their output, in path order.
pub(super) fn spectra_of(original: &Tree, variant: &Variant) -> Result<Vec<Spectrum>, Error> {
    let mut lossy: Vec<&WeightResult> = variant
        .weights
        .iter()
        .filter(|one| one.error > 0.0 && original.contains(&Path::new(&one.path)))
        .collect();
    lossy.sort_by(|a, b| b.error.total_cmp(&a.error).then_with(|| a.path.cmp(&b.path)));
    lossy.truncate(SPECTRA);
    lossy.sort_by(|a, b| a.path.cmp(&b.path));
    let cost = |one: &&WeightResult| one.shape.iter().map(|size| *size as u64).product();
    parallel::map(&lossy, cost, |one| spectrum(original, &variant.tree, one)).into_iter().collect()
}

fn spectrum(original: &Tree, tree: &Tree, weight: &WeightResult) -> Result<Spectrum, Error> {
    let path = Path::new(&weight.path);
    let (before, after) = (singular_values(original, &path)?, singular_values(tree, &path)?);
    Ok(Spectrum {
        path: weight.path.clone(),
        cut: cut(&after),
        stable_rank_before: Some(stable_rank(&before)),
        stable_rank_after: Some(stable_rank(&after)),
        entropy_before: Some(entropy(&before)),
        entropy_after: Some(entropy(&after)),
        before,
        after,
    })
}

fn singular_values(tree: &Tree, path: &Path) -> Result<Vec<f64>, Error> {
    let values = dense_values(tree, path)?;
    let (rows, cols) = (values.height(), values.width());
    // An operator of two cores whose only bond joins all rows to all columns: its unfolding is the matrix.
    let shape = MpoShape::new(vec![rows, 1], vec![1, cols])?;
    let unfoldings = spectra(&Matrix::from_f32(values.data(), rows, cols)?, &shape)?;
    Ok(unfoldings.into_iter().next().unwrap_or_default())
}

/// How many singular values a cut left: those above what rounding to f32 leaves; nothing when all are.
fn cut(after: &[f64]) -> Option<u64> {
    let noise = after.first().copied().unwrap_or(0.0) * f64::from(f32::EPSILON) * 4.0;
    let kept = after.iter().filter(|value| **value > noise).count();
    (kept < after.len()).then_some(kept as u64)
}
