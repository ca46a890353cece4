//! One matrix's candidates: what each form and size would cost and lose.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::keep::Keep;
use crate::method::{Method, matrix_shape};
use crate::mpo::Mpo;
use crate::size::dense_matrix;
use crate::svd::Svd;
use std::sync::Arc;
use tenfold_linalg::{Bonds, Gauge, Matrix, Metric, MpoShape, decompose, output_error, svd_in_metric};
use tenfold_weight::{Form, Path};

/// Steps of the rank grid over the range in which low rank saves anything.
const RANK_STEPS: usize = 64;
/// Numbers of cores tried for an MPO.
const CORES: [usize; 3] = [2, 3, 5];
/// The share at which MPOs are first compared with low rank; the losers are not refined.
const PROBE_SHARE: f64 = 0.5;
/// The shares at which a surviving MPO is measured.
const MPO_SHARES: [f64; 6] = [0.15, 0.3, 0.45, 0.6, 0.75, 0.9];

/// A form of a certain size: stored parameters and squared relative output error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) parameters: usize,
    pub(crate) loss: f64,
    choice: Choice,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    Dense,
    Lowrank { rank: usize },
    Mpo { cores: usize, cap: usize },
}

/// A matrix's candidates, cheapest first, each losing less than the one before.
pub(crate) struct Curve {
    candidates: Vec<Candidate>,
    dense: usize,
}

impl Curve {
    /// Measures the candidates of one matrix.
    pub(crate) fn measure(path: &Path, form: &Form, evidence: &Evidence) -> Result<Self, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let matrix = dense_matrix(path, form)?;
        let metric = evidence.metric(path)?;
        let dense = rows * cols;
        let mut candidates = vec![Candidate { parameters: dense, loss: 0.0, choice: Choice::Dense }];
        let factors = svd_in_metric(&matrix, &metric).at(path)?;
        let useful = dense / (rows + cols);
        let step = (useful / RANK_STEPS).max(1);
        for rank in (1..=useful).step_by(step) {
            let loss = factors.error(rank).powi(2);
            candidates.push(Candidate {
                parameters: rank * (rows + cols),
                loss,
                choice: Choice::Lowrank { rank },
            });
        }
        let probe = (PROBE_SHARE * dense as f64) as usize;
        let bar = factors.error(probe / (rows + cols));
        for cores in CORES {
            let shape = MpoShape::automatic(rows, cols, cores);
            let measured = |share: f64| mpo(path, &matrix, &metric, &shape, (share * dense as f64) as usize);
            if measured(PROBE_SHARE)?.is_some_and(|found| found.loss.sqrt() < bar) {
                for share in MPO_SHARES {
                    candidates.extend(measured(share)?);
                }
            }
        }
        Ok(Self { candidates: frontier(candidates), dense })
    }

    pub(crate) fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    pub(crate) fn dense_parameters(&self) -> usize {
        self.dense
    }

    /// The method that makes the candidate at an index.
    pub(crate) fn method(&self, at: usize) -> Arc<dyn Method> {
        match self.candidates[at].choice {
            Choice::Dense => Arc::new(Keep),
            Choice::Lowrank { rank } => Arc::new(Svd::in_inputs(rank)),
            Choice::Mpo { cores, cap } => Arc::new(Mpo::capped(cores, cap)),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(points: &[(usize, f64)]) -> Self {
        let candidate =
            |&(parameters, loss): &(usize, f64)| Candidate { parameters, loss, choice: Choice::Dense };
        let dense = points.iter().map(|point| point.0).max().unwrap_or(0);
        Self { candidates: frontier(points.iter().map(candidate).collect()), dense }
    }
}

fn mpo(
    path: &Path,
    matrix: &Matrix,
    metric: &Metric<'_>,
    shape: &MpoShape,
    budget: usize,
) -> Result<Option<Candidate>, Error> {
    let Some(cap) = shape.cap_for(budget) else { return Ok(None) };
    let kept = decompose(matrix, shape, &Bonds::Cap(cap), Gauge::Sequential).at(path)?;
    let loss = output_error(matrix, &kept.rebuild(), metric).powi(2);
    let choice = Choice::Mpo { cores: shape.cores(), cap };
    Ok(Some(Candidate { parameters: shape.parameters(&shape.capped(cap)), loss, choice }))
}

/// The lower convex hull of (parameters, loss): the only points that any budget can prefer.
fn frontier(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| a.parameters.cmp(&b.parameters).then(a.loss.total_cmp(&b.loss)));
    let mut hull: Vec<Candidate> = Vec::new();
    for point in candidates {
        if hull.last().is_some_and(|last| last.loss <= point.loss) {
            continue;
        }
        while let [.., a, b] = hull.as_slice() {
            if slope(a, b) <= slope(b, &point) {
                break;
            } else {
                hull.pop()
            };
        }
        hull.push(point);
    }
    hull
}

/// Loss per parameter from one candidate to a larger one; negative, steeper is better.
pub(crate) fn slope(from: &Candidate, to: &Candidate) -> f64 {
    (to.loss - from.loss) / (to.parameters - from.parameters).max(1) as f64
}
