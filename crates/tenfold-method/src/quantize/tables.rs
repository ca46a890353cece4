//! Codes in groups as whole numbers with tables of scales, for methods that tune those.

use super::{SOLVER, Solver, Target, groups};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, matrix_shape};
use crate::option::{OptionInfo, Options};
use crate::size::dense_matrix;
use tenfold_tensor::{Affine, Array, Codes, Scheme};
use tenfold_weight::form::Grouped;
use tenfold_weight::{Form, Path};

/// How dense weights are rounded first, by the option that names it; weights that are codes ask for no text.
pub(crate) const FIRST: OptionInfo = OptionInfo {
    default: "rtn",
    doc: "how weights that are no codes yet are rounded: each number to the nearest level, or with feedback of errors in the metric of \
          the inputs, which takes calibration text",
    ..SOLVER
};

/// Where whole numbers and tables of a weight come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    target: Target,
    scheme: Affine,
    solver: Solver,
}

impl Tables {
    /// As options say.
    pub(crate) fn of(options: &Options, info: &'static Info) -> Result<Self, Error> {
        let (grid, scheme) = groups(options, options.count("bits").unwrap_or(4), info)?;
        let solver = match options.word(FIRST.name) {
            Some("gptq") => Solver::of(options),
            _ => Solver::Rtn,
        };
        Ok(Self { target: Target::Affine { grid, scheme }, scheme, solver })
    }

    /// Whether rounding reads activation statistics.
    pub(crate) fn needs_inputs(&self) -> bool {
        matches!(self.solver, Solver::Gptq(_))
    }

    /// Those of a weight: its own where it has some, those of its codes, or those that its matrix is rounded to. Their values are
    /// those of the codes, to the bit.
    ///
    /// # Errors
    /// [`Error::NotAMatrix`]; [`Error::NoGroups`] for codes that are no groups; [`Error::NotDense`] for what is neither a matrix
    /// nor codes; missing evidence.
    pub(crate) fn read(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Grouped, Error> {
        matrix_shape(path, form)?;
        if let Some(grouped) = form.as_grouped() {
            return Ok(grouped.clone());
        }
        if let Some(codes) = form.as_codes() {
            return apart(path, codes);
        }
        whole(path, form)?;
        let moment = if self.needs_inputs() { Some(&**evidence.moment(path)?) } else { None };
        let rounded = self.solver.encode(self.target, path, &dense_matrix(path, form)?, moment)?;
        match rounded.as_codes() {
            Some(codes) => apart(path, codes),
            None => Err(Error::NotDense { path: path.clone(), got: rounded.describe() }),
        }
    }

    /// Tables of the same shapes without the numbers: what a plan needs.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn planned(&self, path: &Path, form: &Form) -> Result<Grouped, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        if let Some(grouped) = form.as_grouped() {
            return Ok(grouped.clone());
        }
        match form.as_codes().map(|codes| (codes, codes.scheme())) {
            Some((_, Scheme::Affine(affine))) => blank(affine, rows, cols),
            // Which groups blocks make depends on their scales.
            Some((codes, _)) => apart(path, codes),
            None => {
                whole(path, form)?;
                blank(self.scheme, rows, cols)
            }
        }
    }
}

/// Forms with parts of their own are not rounded away.
fn whole(path: &Path, form: &Form) -> Result<(), Error> {
    match form.as_array() {
        Some(_) => Ok(()),
        None => Err(Error::NotDense { path: path.clone(), got: form.describe() }),
    }
}

fn apart(path: &Path, codes: &Codes) -> Result<Grouped, Error> {
    let (whole, scales) = codes.apart().map_err(|source| Error::NoGroups { path: path.clone(), source })?;
    Ok(Grouped::new(whole, Form::dense(scales), None)?)
}

fn blank(scheme: Affine, rows: usize, cols: usize) -> Result<Grouped, Error> {
    let whole = scheme.whole();
    let bytes = vec![0; rows * whole.row_bytes(cols)];
    let codes = Codes::new(Scheme::Affine(whole), rows, cols, bytes).map_err(tenfold_weight::Error::from)?;
    Ok(Grouped::new(codes, Form::dense(Array::zeros(&[rows, whole.groups(cols)])), None)?)
}
