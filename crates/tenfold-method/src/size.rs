//! How much of a matrix a truncating method keeps, and the matrix itself in double precision.

use crate::error::{At, Error};
use crate::method::Info;
use crate::option::Options;
use tenfold_linalg::Matrix;
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Tree, dense_values};

/// The size of a truncated form.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    /// Nothing is cut.
    Full,
    /// One limit on every bond, or the rank.
    Limit(usize),
    /// A share of the matrix's own parameters.
    Share(f64),
}

/// Reads `share` and the method's own limit, which exclude each other.
pub(crate) fn size_options(options: &Options, info: &Info, limit: &'static str) -> Result<Size, Error> {
    match (options.count(limit), options.number("share")) {
        (Some(_), Some(_)) => Err(Error::Exclusive { method: info.name, first: limit, second: "share" }),
        (Some(limit), None) => Ok(Size::Limit(limit)),
        (None, Some(share)) => Ok(Size::Share(share)),
        (None, None) => Ok(Size::Full),
    }
}

/// A form multiplied out. One that shares leaves with other weights cannot be read alone.
pub(crate) fn multiplied(path: &Path, form: &Form) -> Result<Array, Error> {
    if let Some(values) = form.as_array() {
        return Ok(values.clone());
    }
    let alone = Tree::from_iter([(path.clone(), form.clone())]);
    dense_values(&alone, path).map_err(|_| Error::NotDense { path: path.clone(), got: form.describe() })
}

/// The values of a weight, multiplied out, in double precision.
pub(crate) fn dense_matrix(path: &Path, form: &Form) -> Result<Matrix, Error> {
    let values = multiplied(path, form)?;
    match values.shape() {
        &[rows, cols] => Matrix::from_f32(values.data(), rows, cols).at(path),
        got => Err(Error::NotAMatrix { path: path.clone(), got: got.to_vec() }),
    }
}
