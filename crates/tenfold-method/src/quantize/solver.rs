//! How a matrix is rounded to a scheme: plainly, or with feedback of errors.

use super::Target;
use crate::error::Error;
use crate::gptq;
use crate::option::{Kind, OptionInfo, Options};
use tenfold_linalg::Matrix;
use tenfold_linalg::quant::{self, GptqOptions, Quantized};
use tenfold_weight::{Form, Path};

/// Rounds a matrix on any grid.
pub(crate) trait Round {
    /// The codes of `w` on a grid of the matrix crate.
    fn round<S: quant::Grid>(&self, w: &Matrix, grid: &S) -> tenfold_linalg::Result<Quantized<S::Group>>;

    /// Whether nothing better than the weights themselves says which of them count.
    fn is_blind(&self) -> bool;
}

/// Every weight by itself; ranges are searched with one number per column, where there are any.
pub(crate) struct Plain {
    pub(crate) importance: Option<Vec<f64>>,
}

impl Round for Plain {
    fn round<S: quant::Grid>(&self, w: &Matrix, grid: &S) -> tenfold_linalg::Result<Quantized<S::Group>> {
        quant::rtn(w, grid, self.importance.as_deref())
    }

    fn is_blind(&self) -> bool {
        self.importance.is_none()
    }
}

/// Columns to come make up for errors, in the metric of a moment of inputs.
pub(crate) struct Feedback<'e> {
    pub(crate) moment: &'e Matrix,
    pub(crate) options: &'e GptqOptions,
}

impl Round for Feedback<'_> {
    fn round<S: quant::Grid>(&self, w: &Matrix, grid: &S) -> tenfold_linalg::Result<Quantized<S::Group>> {
        quant::gptq(w, self.moment, grid, self.options)
    }

    fn is_blind(&self) -> bool {
        false
    }
}

/// The option that names a solver.
pub(crate) const SOLVER: OptionInfo = OptionInfo {
    name: "solver",
    kind: Kind::Choice(&["gptq", "rtn"]),
    default: "gptq",
    doc: "how matrices are rounded: with feedback of errors in the metric of the inputs, or each weight to the nearest level",
};

/// One of the two, as options ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Solver {
    Rtn,
    Gptq(GptqOptions),
}

impl Solver {
    /// The solver that options name, with theirs of feedback.
    pub(crate) fn of(options: &Options) -> Self {
        match options.word("solver") {
            Some("rtn") => Self::Rtn,
            _ => Self::Gptq(gptq::feedback(options)),
        }
    }

    /// A matrix as codes; plainly where nothing is known of its inputs.
    pub(crate) fn encode(
        &self,
        target: Target,
        path: &Path,
        w: &Matrix,
        moment: Option<&Matrix>,
    ) -> Result<Form, Error> {
        match (self, moment) {
            (Self::Gptq(options), Some(moment)) => target.encode(path, w, &Feedback { moment, options }),
            (_, moment) => {
                let importance =
                    moment.map(|moment| (0..moment.cols()).map(|at| moment.get(at, at)).collect());
                target.encode(path, w, &Plain { importance })
            }
        }
    }
}
