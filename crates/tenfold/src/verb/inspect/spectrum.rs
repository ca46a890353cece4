//! What a matrix could spare: its spectrum, the entropy of its operator's bonds, and what each form loses at a size.

use anyhow::Result;
use serde::Serialize;
use tenfold_linalg::{
    Bonds, Gauge, Matrix, Metric, MpoShape, decompose, entropy, output_error, spectra, stable_rank,
    svd_in_metric,
};
use tenfold_weight::{Form, Path, Tree, dense_values};

/// The share of the energy (sum of squared singular values) by which ranks are compared.
const ENERGY: f64 = 0.99;
/// Cores of the operator that is looked at, as in the papers.
const CORES: usize = 5;
/// The sizes at which forms are compared, as shares of the matrix's parameters.
pub(super) const SHARES: [f64; 3] = [0.7, 0.5, 0.3];

/// What is known of one matrix.
#[derive(Clone, Serialize)]
pub(super) struct Spectrum {
    largest: f64,
    pub(super) stable_rank: f64,
    pub(super) entropy: f64,
    pub(super) rank_99: usize,
    pub(super) full_rank: usize,
    /// Entanglement entropy of each inner bond of the five-core operator, in nats.
    pub(super) bond_entropy: Vec<f64>,
    /// What low rank and the published operator lose at equal size, relative Frobenius norms.
    pub(super) losses: Vec<Loss>,
}

/// Errors at one size.
#[derive(Clone, Serialize)]
pub(super) struct Loss {
    /// Share of the matrix's parameters that is stored.
    share: f64,
    pub(super) low_rank: f64,
    /// Nothing where no bonds make an operator so small.
    pub(super) mpo: Option<f64>,
}

/// Decomposes a weight in every way that is shown; nothing for what is no matrix.
///
/// # Errors
/// Numerical failure.
pub(super) fn of(tree: &Tree, path: &Path, form: &Form) -> Result<Option<Spectrum>> {
    let &[rows, cols] = form.shape().as_slice() else { return Ok(None) };
    let values = dense_values(tree, path)?;
    let matrix = Matrix::from_f32(values.data(), rows, cols)?;
    let factors = svd_in_metric(&matrix, &Metric::Weights)?;
    let spectrum = factors.spectrum();
    let total: f64 = spectrum.iter().map(|value| value * value).sum();
    let kept = spectrum.iter().scan(0.0, |sum, value| {
        *sum += value * value;
        Some(*sum)
    });
    let shape = MpoShape::automatic(rows, cols, CORES);
    let loss = |share: f64| {
        let budget = (share * (rows * cols) as f64) as usize;
        let mpo = match shape.cap_for(budget) {
            Some(cap) => {
                let operator = decompose(&matrix, &shape, &Bonds::Cap(cap), Gauge::Sequential)?;
                Some(output_error(&matrix, &operator.rebuild(), &Metric::Weights))
            }
            None => None,
        };
        Ok(Loss { share, low_rank: factors.error(budget / (rows + cols)), mpo })
    };
    Ok(Some(Spectrum {
        largest: spectrum.first().copied().unwrap_or(0.0),
        stable_rank: stable_rank(spectrum),
        entropy: entropy(spectrum),
        rank_99: kept.take_while(|sum| *sum < ENERGY * total).count() + usize::from(total > 0.0),
        full_rank: rows.min(cols),
        bond_entropy: spectra(&matrix, &shape)?.iter().map(|bond| entropy(bond)).collect(),
        losses: SHARES.into_iter().map(loss).collect::<Result<_>>()?,
    }))
}
