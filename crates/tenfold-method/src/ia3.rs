//! Method `ia3`: a weight stays as it is, and a vector that stretches its outputs or its inputs trains.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_tensor::Array;
use tenfold_weight::{Address, Form, Path, Role, Wiring};

/// What the method is.
pub static INFO: Info = Info {
    name: "ia3",
    summary: "adds a trainable vector that stretches the outputs or the inputs of a weight that keeps its bits",
    equation: "outputs: y = l * (W x + b), stored as diag(l) W and l * b with one l; inputs: y = W (l * x) + b, stored as \
               W diag(l); * entry by entry, l starts at 1",
    when: "the smallest adaptation beside bitfit: a few vectors a layer, many tasks over one base, merged at no cost",
    when_not: "the task asks for other features than the model has; a low-rank update then goes further",
    trains: "the vectors; the weight and its bias keep their bits",
    sources: &[
        "Liu et al. 2022, Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning, \
         section 3.3: outputs of keys and values, inputs of the second feed-forward matrix",
    ],
    options: &[OptionInfo {
        name: "stretch",
        kind: Kind::Choice(&["outputs", "inputs"]),
        default: "outputs",
        doc: "outputs: one number per row, which stretches a bias that is selected with its matrix as well; inputs: one per \
              column",
    }],
};

/// A vector on one side of a weight.
#[derive(Clone, Debug)]
pub struct Ia3 {
    inputs: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Ia3 { inputs: options.word("stretch") == Some("inputs") }))
}

impl Ia3 {
    fn stretched(&self, path: &Path, form: &Form) -> Result<Form, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        Ok(if self.inputs {
            Form::scaled(form.clone(), Array::full(&[cols], 1.0))?
        } else {
            Form::row_scaled(form.clone(), Form::dense(Array::full(&[rows], 1.0)))?
        })
    }

    /// Whether a weight is the bias of a matrix whose outputs are stretched in the same step.
    fn is_bias(&self, path: &Path, form: &Form, weights: &[(Path, &Form)]) -> Result<bool, Error> {
        let &[count] = form.shape().as_slice() else { return Ok(false) };
        let Some(matrix) = matrix_of(path).filter(|_| !self.inputs) else { return Ok(false) };
        match weights.iter().find(|(path, _)| *path == matrix) {
            Some((_, form)) => Ok(matches!(form.shape().as_slice(), &[rows, _] if rows == count)),
            None => Err(Error::BiasAlone { path: path.clone(), weight: matrix }),
        }
    }
}

/// The matrix whose products a bias is added to.
fn matrix_of(path: &Path) -> Option<Path> {
    path.as_str().strip_suffix(".bias").map(|stem| Path::new(format!("{stem}.weight")))
}

impl Method for Ia3 {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, &self.stretched(path, form)?))
    }

    fn plan_together(&self, weights: &[(Path, &Form)], _wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        let plan = |(path, form): &(Path, &Form)| match self.is_bias(path, form, weights)? {
            true => Bias.plan(path, form),
            false => self.plan(path, form),
        };
        weights.iter().map(plan).collect()
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        _evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let choose = |(path, form): &(Path, &Form)| -> Result<Arc<dyn Method>, Error> {
            Ok(match self.is_bias(path, form, weights)? {
                true => Arc::new(Bias),
                false => Arc::new(self.clone()),
            })
        };
        weights.iter().map(choose).collect::<Result<_, _>>().map(Some)
    }

    fn rewrite(&self, path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        self.stretched(path, form)
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        if role == Role::Scale { Training::Trains(1.0) } else { Training::Frozen }
    }
}

/// A bias beside a stretched matrix: its vector is the matrix's.
#[derive(Clone, Copy, Debug)]
struct Bias;

impl Bias {
    fn stretched(path: &Path, form: &Form) -> Result<Form, Error> {
        // One that is stretched already would follow its address to the new vector and be stretched by it twice.
        let not_dense = || Error::NotDense { path: path.clone(), got: form.describe() };
        let count = form.as_array().map(Array::len).ok_or_else(not_dense)?;
        let matrix = matrix_of(path).ok_or_else(not_dense)?;
        let rows = Form::shared(Address::root(matrix).part("rows"), vec![count]);
        Ok(Form::row_scaled(form.clone(), rows)?)
    }
}

impl Method for Bias {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, &Self::stretched(path, form)?))
    }

    fn rewrite(&self, path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        Self::stretched(path, form)
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}
