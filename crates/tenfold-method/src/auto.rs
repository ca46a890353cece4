//! Method `auto`: for each matrix the form that loses least output, all matrices under one budget.

mod compose;
mod curve;

use crate::budget::{self, Curve};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_linalg::parallel;
use tenfold_weight::{Form, Path};

/// What the method is.
pub static INFO: Info = Info {
    name: "auto",
    summary: "chooses for each matrix between dense, low rank and MPO, and its size, by measured output error under \
              one budget",
    equation: "minimize sum_m s_m e_m(form_m, size_m)^2 subject to sum_m parameters_m <= share * total, \
               e_m^2 = E|Wx - W'x|^2 / E|Wx|^2 over calibration text, s_m the relative change of the model's output per \
               e_m^2, measured by disturbing each matrix once",
    when: "one size is asked for and nothing says which matrices can spare it",
    when_not: "every matrix must have the same form, as light fine-tuning and shared cores require",
    trains: "all leaves",
    sources: &[
        "Wang et al. 2025, SVD-LLM (metric)",
        "Shoham and Gersho 1988, Efficient bit allocation for an arbitrary set of quantizers",
    ],
    options: &[
        OptionInfo {
            name: "share",
            kind: Kind::Share,
            default: "0.7",
            doc: "stored parameters of all selected matrices together, as a share of their dense count",
        },
        OptionInfo {
            name: "forms",
            kind: Kind::Choice(&["common", "all"]),
            default: "common",
            doc: "what is tried: dense, low rank and published operators; all adds operators refined in the metric of the \
              inputs, low rank with an operator for the rest, and low rank with an operator as factor",
        },
        OptionInfo {
            name: "weigh",
            kind: Kind::Choice(&["outputs", "alike"]),
            default: "outputs",
            doc: "what an error counts: outputs, as much as it changes the model's output, measured by disturbing each \
                  matrix once; alike, the same in every matrix",
        },
    ],
};

/// The share kept when a recipe does not say.
const SHARE_DEFAULT: f64 = 0.7;

/// Choice of form and size per matrix under one budget.
#[derive(Clone, Debug)]
pub struct Auto {
    share: f64,
    /// Whether composed forms are tried.
    composed: bool,
    /// Whether errors are weighed by what they do to the model's output.
    weighed: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let share = options.number("share").unwrap_or(SHARE_DEFAULT);
    let composed = options.word("forms") == Some("all");
    Ok(Arc::new(Auto { share, composed, weighed: options.word("weigh") != Some("alike") }))
}

impl Method for Auto {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn spans_layers(&self) -> bool {
        true
    }

    fn needs_sensitivity(&self) -> bool {
        self.weighed
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let parameters = (self.share * (rows * cols) as f64) as usize;
        let form = match self.composed {
            true => "dense, low rank, mpo, sums or nestings",
            false => "dense, low rank or mpo",
        };
        Ok(Planned::at_most(form.to_owned(), parameters))
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let work = |(_, form): &(Path, &Form)| match form.shape().as_slice() {
            &[rows, cols] => (rows * cols * rows.min(cols)) as u64,
            _ => 0,
        };
        let curves =
            parallel::map(weights, work, |(path, form)| curve::measure(path, form, evidence, self.composed));
        let curves = curves.into_iter().collect::<Result<Vec<_>, _>>()?;
        let dense: usize = weights.iter().map(|(_, form)| form.shape().iter().product::<usize>()).sum();
        let chosen = budget::choose(&curves, (self.share * dense as f64) as usize, "parameters")?;
        let method = |(curve, at): (&Curve<Arc<dyn Method>>, usize)| Arc::clone(&curve.candidates()[at].how);
        Ok(Some(curves.iter().zip(chosen).map(method).collect()))
    }

    /// Rewrites a single weight under the same share.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([method]) => method.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }
}
