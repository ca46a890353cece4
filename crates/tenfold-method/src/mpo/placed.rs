//! The operator of one weight in its place: decomposed in the coordinates and the metric that were settled for it.

use super::{INFO, Mpo, Placement, rotation_of};
use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, matrix_shape};
use crate::size::dense_matrix;
use crate::squeeze::form_of;
use std::sync::Arc;
use tenfold_linalg::{Bonds, Gauge, Matrix, Metric, RefineOptions, decompose, refine};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, form};

/// Directions of the inputs with less than this share of the largest spread count as having that much: calibration
/// text says little about them, and their inverse must stay a harmless number in single precision.
const SPREAD_FLOOR: f64 = 1e-4;

/// An orthogonal matrix before the operator, stored by one of the weights that have it.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    /// I x I, rows are directions.
    pub(super) q: Arc<Matrix>,
    /// The weight that stores it.
    pub(super) owner: Path,
}

/// What was settled for one weight.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) mpo: Mpo,
    /// Whether columns are scaled by the spread of the inputs.
    pub(super) scaled: bool,
    pub(super) rotation: Option<Rotation>,
}

impl Method for Placed {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.mpo.inputs
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let owner = self.rotation.as_ref().map(|rotation| &rotation.owner);
        self.mpo.planned(path, form, &Placement { scaled: self.scaled, space: None, owner })
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let stored = dense_matrix(path, form)?;
        let metric = if self.mpo.inputs { evidence.metric(path)? } else { Metric::Weights };
        let turned = self.rotation.as_ref().map(|rotation| stored.matmul(&rotation.q.transpose()));
        let moment = match (&metric, &self.rotation) {
            (Metric::Inputs(c), Some(rotation)) => Some(rotation.q.matmul(c).matmul(&rotation.q.transpose())),
            (Metric::Inputs(c), None) => Some(Matrix::clone(c)),
            _ => None,
        };
        let spread = self.scaled.then(|| spread(moment.as_ref(), cols));
        let mut matrix = turned.unwrap_or(stored);
        if let Some(spread) = &spread {
            for row in matrix.data_mut().chunks_exact_mut(cols) {
                row.iter_mut().zip(spread).for_each(|(value, spread)| *value *= spread);
            }
        }
        let shape = self.mpo.shape(path, rows, cols)?;
        let bonds = self.mpo.bonds(&shape, rows, cols, if self.scaled { cols } else { 0 });
        let mut kept = decompose(&matrix, &shape, &Bonds::Each(bonds), self.mpo.gauge).at(path)?;
        if self.mpo.sweeps > 0 {
            let whitened = moment.map(|c| match &spread {
                Some(d) => Matrix::from_fn(cols, cols, |i, j| c.get(i, j) / (d[i] * d[j])),
                None => c,
            });
            let metric = match (&whitened, metric) {
                (Some(c), _) => Metric::Inputs(c),
                (None, Metric::Rows(weights)) => Metric::Rows(weights),
                _ => Metric::Weights,
            };
            let options = RefineOptions { sweeps: self.mpo.sweeps, ..RefineOptions::default() };
            kept = refine(&matrix, &kept, &metric, None, &options).at(path)?.mpo;
            if self.mpo.gauge == Gauge::Symmetric {
                kept = tenfold_linalg::Mpo::from_cores(&shape, rows, cols, kept.cores).at(path)?;
            }
        }
        let mut made = form_of(&kept)?;
        if let Some(spread) = spread {
            let columns = spread.iter().map(|value| (1.0 / value) as f32).collect();
            made = Form::scaled(made, Array::from_vec(columns, &[cols]))?;
        }
        let Some(rotation) = &self.rotation else { return Ok(made) };
        let down = if rotation.owner == *path {
            Form::dense(Array::from_vec(rotation.q.to_f32(), &[cols, cols]))
        } else {
            Form::shared(rotation_of(&rotation.owner), vec![cols, cols])
        };
        Ok(Form::Lowrank(form::Lowrank::new(down, made)?))
    }
}

/// How far the inputs spread in each direction: the root of the second moment's diagonal, floored, with a root mean square
/// of 1 so that cores keep the scale of the weight. All ones where there is no moment.
fn spread(moment: Option<&Matrix>, cols: usize) -> Vec<f64> {
    let Some(c) = moment else { return vec![1.0; cols] };
    let squares: Vec<f64> = (0..cols).map(|k| c.get(k, k).max(0.0)).collect();
    let mean = squares.iter().sum::<f64>() / cols as f64;
    if mean <= 0.0 {
        return vec![1.0; cols];
    }
    let largest = squares.iter().fold(0.0f64, |most, one| most.max(*one)).sqrt();
    squares.iter().map(|square| square.sqrt().max(SPREAD_FLOOR * largest) / mean.sqrt()).collect()
}
