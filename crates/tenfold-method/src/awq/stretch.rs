//! A matrix under factors of its columns.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned};
use crate::quantize::{Solver, Target};
use crate::size::{dense_matrix, multiplied};
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_linalg::quant::half;
use tenfold_tensor::{Array, Codes};
use tenfold_weight::{Form, Path, form};

/// Where the inverse factors stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// With the matrix, in half precision.
    Held,
    /// In the norm that its inputs come from.
    Norm,
    /// This is that norm: a gain or a bias.
    Vector,
}

impl Where {
    /// A factor as its inverse can be stored.
    pub(super) fn stored(self, factor: f64) -> f64 {
        match self {
            Self::Held => half(factor.recip()).recip(),
            Self::Norm | Self::Vector => f64::from(factor.recip() as f32).recip(),
        }
    }
}

/// Factors of columns, one each, above 0.
pub(super) struct Stretch<'f> {
    pub(super) factors: &'f [f64],
}

impl Stretch<'_> {
    /// The codes of W diag(s), for inputs that are shrunk by s.
    pub(super) fn encode(
        &self,
        solver: Solver,
        target: Target,
        path: &Path,
        w: &Matrix,
        moment: &Matrix,
    ) -> Result<Form, Error> {
        let s = self.factors;
        let stretched = Matrix::from_fn(w.rows(), w.cols(), |r, c| w.get(r, c) * s[c]);
        let shrunk = Matrix::from_fn(s.len(), s.len(), |i, j| moment.get(i, j) / (s[i] * s[j]));
        solver.encode(target, path, &stretched, Some(&shrunk))
    }

    /// The matrix that codes of a stretched one stand for.
    pub(super) fn shrunk(&self, values: &Matrix) -> Matrix {
        Matrix::from_fn(values.rows(), values.cols(), |r, c| values.get(r, c) / self.factors[c])
    }
}

static INFO: Info = Info {
    name: "stretched",
    summary: "rounds under the factors that were settled",
    equation: "W' = Q(W diag(s)) diag(1/s)",
    when: "chosen by awq",
    when_not: "never named in a recipe: use awq",
    trains: "nothing",
    sources: &[],
    options: &[],
};

/// What becomes of a weight once the factors are known.
#[derive(Clone, Debug)]
pub(super) struct Stretched {
    pub(super) factors: Arc<Vec<f64>>,
    pub(super) target: Target,
    pub(super) solver: Solver,
    pub(super) at: Where,
}

impl Method for Stretched {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.at != Where::Vector
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, form))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        if self.at == Where::Vector {
            let values = multiplied(path, form)?;
            let shrink = |(value, factor): (&f32, &f64)| (f64::from(*value) * factor.recip()) as f32;
            let values = values.data().iter().zip(self.factors.iter()).map(shrink).collect();
            return Ok(Form::dense(Array::from_vec(values, &[self.factors.len()])));
        }
        let w = dense_matrix(path, form)?;
        let stretch = Stretch { factors: &self.factors };
        let codes = stretch.encode(self.solver, self.target, path, &w, evidence.moment(path)?)?;
        if self.at == Where::Norm {
            return Ok(codes);
        }
        let inverse: Vec<f32> = self.factors.iter().map(|factor| factor.recip() as f32).collect();
        let halves = Codes::halves(&inverse, 1, inverse.len()).map_err(tenfold_weight::Error::from)?;
        let columns = Form::Quant(form::Quant::new(halves, vec![inverse.len()])?);
        Ok(Form::Scaled(form::Scaled::columns(codes, columns)?))
    }
}
