//! Low-rank repair of what rounding missed.

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::metric::{Metric, TruncatedSvd, svd_in_metric};

/// Factors of rank `rank` whose product, added to the rounded matrix `q`, comes nearest to `w` for inputs with second moment
/// `h`; `error_relative` and the spectrum are those of W - Q. A moment that is zero throughout counts as the identity.
///
/// # Errors
/// [`Error::ShapeMismatch`] when `q` or `h` do not fit, and those of [`svd_in_metric`].
///
/// # Source
/// EoRA (Liu et al. 2024, arXiv 2410.21271), without the root of the moment or its inverse.
pub fn repair(w: &Matrix, q: &Matrix, h: &Matrix, rank: usize) -> Result<TruncatedSvd> {
    if (w.rows(), w.cols()) != (q.rows(), q.cols()) {
        return Err(Error::ShapeMismatch {
            expected_rows: w.rows(),
            expected_cols: w.cols(),
            got_rows: q.rows(),
            got_cols: q.cols(),
        });
    }
    q.check()?;
    let metric = if h.max_abs() == 0.0 { Metric::Weights } else { Metric::Inputs(h) };
    Ok(svd_in_metric(&w.subtract(q), &metric)?.truncate(rank))
}
