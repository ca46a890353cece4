//! One matrix's candidates: what each form and size would cost and lose.

use super::compose::{Nested, Repaired};
use crate::budget::{Candidate, Curve};
use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::keep::Keep;
use crate::method::{Method, matrix_shape};
use crate::mpo::Mpo;
use crate::size::{dense_matrix, multiplied};
use crate::svd::Svd;
use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, output_error, svd_in_metric};
use tenfold_weight::{Form, Path};

/// Steps of the rank grid over the range in which low rank saves anything.
const RANK_STEPS: usize = 64;
/// Numbers of cores tried for an MPO.
const CORES: [usize; 3] = [2, 3, 5];
/// The share at which MPOs are first compared with low rank; the losers are not refined.
const PROBE_SHARE: f64 = 0.5;
/// Cores of operators inside composed forms.
const COMPOSED_CORES: usize = 3;
/// Passes of refinement of an operator in the metric of the inputs.
const SWEEPS: usize = 2;
/// The part of a sum that is low rank.
const LOW_PART: f64 = 0.7;
/// The share of a low-rank factor that its operator keeps.
const FACTOR_SHARE: f64 = 0.7;
/// The shares at which a surviving family is measured.
const SHARES: [f64; 6] = [0.15, 0.3, 0.45, 0.6, 0.75, 0.9];

/// A family of forms: the method that makes its member of about a share of the matrix.
type Family = Box<dyn Fn(f64) -> Arc<dyn Method>>;

/// Measures the candidates of one matrix, by parameters; `composed` ones too where that is asked for.
pub(crate) fn measure(
    path: &Path,
    form: &Form,
    evidence: &Evidence,
    composed: bool,
) -> Result<Curve<Arc<dyn Method>>, Error> {
    let (rows, cols) = matrix_shape(path, form)?;
    let matrix = dense_matrix(path, form)?;
    let metric = evidence.metric(path)?;
    let dense = rows * cols;
    let keep = Candidate { size: dense, loss: 0.0, how: Arc::new(Keep) as Arc<dyn Method> };
    let mut candidates = vec![keep];
    let factors = svd_in_metric(&matrix, &metric).at(path)?;
    let useful = dense / (rows + cols);
    let step = (useful / RANK_STEPS).max(1);
    for rank in (1..=useful).step_by(step) {
        let method = Arc::new(Svd::in_inputs(rank));
        let loss = factors.error(rank).powi(2);
        candidates.push(Candidate { size: rank * (rows + cols), loss, how: method });
    }
    let probe = (PROBE_SHARE * dense as f64) as usize;
    let bar = factors.error(probe / (rows + cols)).powi(2);
    let table = matches!(metric, Metric::Rows(_));
    for family in families(rows, cols, composed && !table) {
        let measured = |share: f64| {
            let method = family(share);
            let made = method.rewrite(path, form, evidence)?;
            let values = multiplied(path, &made)?;
            let values = Matrix::from_f32(values.data(), rows, cols).at(path)?;
            let loss = output_error(&matrix, &values, &metric).powi(2);
            Ok::<_, Error>(Candidate { size: made.parameters(), loss, how: method })
        };
        // At equal size: a member that came out smaller than the probe is held to the same bar.
        if measured(PROBE_SHARE)?.loss < bar {
            for share in SHARES {
                candidates.push(measured(share)?);
            }
        }
    }
    // One factor for the whole curve: it decides between matrices, not between forms of one.
    let sensitivity = evidence.sensitivity(path);
    candidates.iter_mut().for_each(|candidate| candidate.loss *= sensitivity);
    Ok(Curve::of(candidates))
}

/// The families beside dense and low rank: published operators of several numbers of cores; composed ones are operators
/// refined in the metric of the inputs, sums and nestings.
fn families(rows: usize, cols: usize, composed: bool) -> Vec<Family> {
    let published = |cores: usize| -> Family { Box::new(move |share| Arc::new(Mpo::of_share(cores, share))) };
    let mut all: Vec<Family> = CORES.map(published).into();
    if composed {
        let rank = move |share: f64| ((share * (rows * cols) as f64) as usize / (rows + cols)).max(1);
        all.push(Box::new(|share| Arc::new(Mpo::refined(COMPOSED_CORES, share, SWEEPS))));
        all.push(Box::new(move |share| {
            let rest = Mpo::of_share(COMPOSED_CORES, share * (1.0 - LOW_PART));
            Arc::new(Repaired { low: Svd::in_inputs(rank(share * LOW_PART)), rest })
        }));
        all.push(Box::new(move |share| {
            // The small factor is stored whole, the large one by a share of its own.
            let (small, large) = (rows.min(cols) as f64, rows.max(cols) as f64);
            let each = small + FACTOR_SHARE * large;
            let rank = ((share * (rows * cols) as f64) / each) as usize;
            let low = Svd::in_inputs(rank.clamp(1, rows.min(cols)));
            Arc::new(Nested { low, factor: Mpo::of_share(COMPOSED_CORES, FACTOR_SHARE) })
        }));
    }
    all
}
