//! Method `svd`: the best low-rank form of a weight, in the metric of the weights or of the layer's inputs.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::size::{Size, dense_matrix, size_options};
use std::sync::Arc;
use tenfold_linalg::{Metric, svd_in_metric};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "svd",
    summary: "replaces a matrix by the product of two thin ones that keep most of its output",
    equation: "W ~ up down; metric weights: truncated SVD of W; metric inputs: truncated SVD of W C^(1/2), undone \
               by C^(-1/2), C the second moment of the layer's inputs, so that E|Wx - W'x|^2 is least",
    when: "compression at equal size on trained weights; embedding tables, weighted by token frequency",
    when_not: "the matrix is nearly full rank in its inputs' metric, or two products per layer cost more than one",
    trains: "both factors",
    sources: &[
        "Eckart and Young 1936, The approximation of one matrix by another of lower rank",
        "Wang et al. 2025, SVD-LLM: Truncation-aware Singular Value Decomposition",
    ],
    options: &[
        OptionInfo {
            name: "rank",
            kind: Kind::Integer(1, i64::MAX),
            default: "full rank",
            doc: "rank r of the product",
        },
        OptionInfo {
            name: "share",
            kind: Kind::Share,
            default: "full rank",
            doc: "the largest rank whose factors hold at most this share of the matrix's parameters",
        },
        OptionInfo {
            name: "metric",
            kind: Kind::Choice(&["weights", "inputs"]),
            default: "weights",
            doc: "what the error is measured in; inputs needs calibration text",
        },
    ],
};

/// Truncated SVD of a weight.
#[derive(Clone, Debug)]
pub struct Svd {
    size: Size,
    inputs: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let inputs = options.word("metric") == Some("inputs");
    Ok(Arc::new(Svd { size: size_options(options, &INFO, "rank")?, inputs }))
}

impl Svd {
    /// Rank `rank` in the metric of the inputs.
    pub fn in_inputs(rank: usize) -> Self {
        Self { size: Size::Limit(rank), inputs: true }
    }

    fn rank(&self, rows: usize, cols: usize) -> usize {
        let most = rows.min(cols);
        match self.size {
            Size::Full => most,
            Size::Limit(rank) => rank.min(most),
            Size::Share(share) => ((share * (rows * cols) as f64) as usize / (rows + cols)).clamp(1, most),
        }
    }
}

impl Method for Svd {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.inputs
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let rank = self.rank(rows, cols);
        let roles = vec![(Role::Down, rank * cols), (Role::Up, rank * rows)];
        Ok(Planned::certain(format!("low rank {rank}"), roles))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let matrix = dense_matrix(path, form)?;
        let metric = if self.inputs { evidence.metric(path)? } else { Metric::Weights };
        let kept = svd_in_metric(&matrix, &metric).at(path)?.truncate(self.rank(rows, cols));
        let array = |m: &tenfold_linalg::Matrix| Array::from_vec(m.to_f32(), &[m.rows(), m.cols()]);
        Ok(Form::lowrank(array(&kept.down), array(&kept.up))?)
    }
}
