//! Low-rank factors of a matrix that are best in a metric, and errors measured in it.
//!
//! The best rank-r approximation in a metric is a projection of the matrix itself: onto the leading left
//! singular vectors U of W C^{1/2} when columns are weighted (W' = U U^T W), onto the leading right singular
//! vectors V of D^{1/2} W when rows are (W' = W V V^T). So no root or inverse of the metric enters the
//! factors, and directions that the metric does not see are still represented: where it leaves the choice of
//! a vector open, the plain SVD of what remains of W makes it.

use faer::{Mat, MatRef};

use crate::error::{Error, Result};
use crate::kernel;
use crate::matrix::Matrix;
use crate::spectrum;

/// Singular values in the metric below this share of the largest count as not seen by it.
const SEEN: f64 = 1e-13;

/// What an error of a weight costs.
#[derive(Clone, Copy, Debug)]
pub enum Metric<'a> {
    /// Every entry alike: the Frobenius norm.
    Weights,
    /// Output error for inputs with this I x I second moment C: |E|^2 = tr(E C E^T). Any positive multiple of
    /// C gives the same factors.
    Inputs(&'a Matrix),
    /// Rows weighted by these O non-negative numbers, for instance token frequencies of an embedding table:
    /// |E|^2 = sum_r w_r |E_r|^2. Rows of weight zero do not count in the error; they are represented by
    /// their projection on the subspace that the others choose.
    Rows(&'a [f64]),
}

/// Two factors whose product `up * down` approximates a matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct TruncatedSvd {
    /// O x r.
    pub up: Matrix,
    /// r x I; row j has the norm of column j of `up`.
    pub down: Matrix,
    /// All min(O, I) singular values in the metric, falling.
    pub spectrum: Vec<f64>,
    /// Error over norm, both in the metric; 0 for a zero matrix.
    pub error_relative: f64,
}

/// A complete factorization in a metric, to be cut at any rank.
#[derive(Clone, Debug, PartialEq)]
pub struct SvdFactors {
    up: Matrix,
    down: Matrix,
    spectrum: Vec<f64>,
}

impl SvdFactors {
    /// Singular values in the metric, falling; min(O, I) of them.
    pub fn spectrum(&self) -> &[f64] {
        &self.spectrum
    }

    /// Relative error, in the metric, of keeping `rank` terms; 0 for a zero matrix.
    pub fn error(&self, rank: usize) -> f64 {
        ratio(spectrum::tail(&self.spectrum, rank), spectrum::tail(&self.spectrum, 0))
    }

    /// The first `rank` terms (all of them when `rank` is larger).
    pub fn truncate(&self, rank: usize) -> TruncatedSvd {
        let rank = rank.min(self.spectrum.len());
        TruncatedSvd {
            up: Matrix::from_fn(self.up.rows(), rank, |r, c| self.up.get(r, c)),
            down: Matrix::from_fn(rank, self.down.cols(), |r, c| self.down.get(r, c)),
            spectrum: self.spectrum.clone(),
            error_relative: self.error(rank),
        }
    }
}

/// Factors a matrix so that every truncation is the best of its rank in the metric.
///
/// # Accuracy
/// f64; [`SvdFactors::error`] agrees with [`output_error`] to 1e-8 of the norm.
///
/// # Errors
/// [`Error::EmptyMatrix`] and [`Error::NonFinite`] for the matrix or the metric, [`Error::ShapeMismatch`] for
/// a metric of the wrong size, [`Error::NegativeWeight`], [`Error::NoConvergence`].
///
/// # Source
/// Eckart-Young in a weighted norm; for inputs as in SVD-LLM (Wang et al. 2024), without its Cholesky
/// inverse.
pub fn svd_in_metric(w: &Matrix, metric: &Metric<'_>) -> Result<SvdFactors> {
    w.check()?;
    check(w, metric)?;
    let tall = w.rows() > w.cols();
    match metric {
        // The shorter side is the cheaper one to project on.
        Metric::Weights if tall => rows_projected(w, w.view()),
        Metric::Weights => columns_projected(w.view(), left(kernel::gram(w.view()), || Ok(owned(w.view())))?),
        Metric::Rows(weights) => rows_projected(w, scaled_rows(w, weights).view()),
        Metric::Inputs(c) if tall => {
            // W = Q R: the factors of R, a square of the shorter side, are those of W but for Q.
            let (q, r) = kernel::thin_qr(w.view());
            let inner = through_inputs(r.as_ref(), c)?;
            let up = kernel::product(q.as_ref(), inner.up.view());
            Ok(SvdFactors { up: Matrix::new(w.rows(), w.cols(), up)?, ..inner })
        }
        Metric::Inputs(c) => through_inputs(w.view(), c),
    }
}

/// Error of `approx` over the norm of `w`, both in the metric: sqrt(tr(E C E^T) / tr(W C W^T)). 0/0 is 0.
///
/// # Panics
/// When the shapes of `w`, `approx` and the metric do not match.
#[track_caller]
pub fn output_error(w: &Matrix, approx: &Matrix, metric: &Metric<'_>) -> f64 {
    let error = w.subtract(approx);
    ratio(norm(&error, metric), norm(w, metric))
}

#[track_caller]
fn norm(m: &Matrix, metric: &Metric<'_>) -> f64 {
    match metric {
        Metric::Weights => m.frobenius(),
        Metric::Inputs(c) => {
            let through = m.matmul(c);
            let square: f64 = through.data().iter().zip(m.data()).map(|(a, b)| a * b).sum();
            square.max(0.0).sqrt()
        }
        Metric::Rows(weights) => {
            assert_eq!(weights.len(), m.rows(), "one weight per row");
            let square = |r: usize| m.row(r).iter().map(|v| v * v).sum::<f64>();
            weights.iter().enumerate().map(|(r, weight)| weight * square(r)).sum::<f64>().sqrt()
        }
    }
}

fn ratio(error: f64, norm: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / norm }
}

/// Fails on a metric that does not fit the matrix or holds impossible numbers.
pub(crate) fn check(w: &Matrix, metric: &Metric<'_>) -> Result<()> {
    let (expected, got) = match metric {
        Metric::Weights => return Ok(()),
        Metric::Inputs(c) => ((w.cols(), w.cols()), (c.rows(), c.cols())),
        Metric::Rows(weights) => ((w.rows(), 1), (weights.len(), 1)),
    };
    if expected != got {
        return Err(Error::ShapeMismatch {
            expected_rows: expected.0,
            expected_cols: expected.1,
            got_rows: got.0,
            got_cols: got.1,
        });
    }
    match metric {
        Metric::Weights => Ok(()),
        Metric::Inputs(c) => c.check(),
        Metric::Rows(weights) => match weights.iter().position(|&v| !(v.is_finite() && v >= 0.0)) {
            None => Ok(()),
            Some(row) if weights[row] < 0.0 => Err(Error::NegativeWeight { row, value: weights[row] }),
            Some(row) => Err(Error::NonFinite { row, col: 0, value: weights[row] }),
        },
    }
}

/// A square root of the second moment: eigenvectors as columns, each times the root of its eigenvalue
/// (negative ones, which only rounding makes, count as zero).
fn root(c: &Matrix) -> Result<Matrix> {
    let n = c.rows();
    let symmetric = Mat::from_fn(n, n, |i, j| 0.5 * (c.get(i, j) + c.get(j, i)));
    let (values, vectors) = kernel::eigen(symmetric.as_ref(), true)?;
    Ok(Matrix::from_fn(n, n, |i, j| vectors[(i, j)] * values[j].max(0.0).sqrt()))
}

fn scaled_rows(w: &Matrix, weights: &[f64]) -> Matrix {
    let mut scaled = w.clone();
    for (row, weight) in scaled.data_mut().chunks_exact_mut(w.cols()).zip(weights) {
        let scale = weight.sqrt();
        row.iter_mut().for_each(|v| *v *= scale);
    }
    scaled
}

/// Left singular values and vectors of a matrix from its square X X^T (lower triangle) where that is
/// accurate, else from the matrix itself.
fn left(gram: Mat<f64>, seen: impl FnOnce() -> Result<Mat<f64>>) -> Result<(Vec<f64>, Mat<f64>)> {
    if kernel::squared_in_range(&gram) {
        let (squares, vectors) = kernel::eigen(gram.as_ref(), true)?;
        if let Some(values) = kernel::safe_roots(&squares) {
            return Ok((values, vectors));
        }
    }
    kernel::left_svd(seen()?.as_ref())
}

/// Factors of a wide or square `w` for inputs with second moment `c`: W C W^T is the square of W C^{1/2}, and
/// its eigenvectors are all that is needed.
fn through_inputs(w: MatRef<'_, f64>, c: &Matrix) -> Result<SvdFactors> {
    let (rows, cols) = (w.nrows(), w.ncols());
    let through = kernel::product(w, c.view());
    let square = kernel::product(kernel::view(&through, rows, cols), w.transpose());
    let lower = Mat::from_fn(rows, rows, |i, j| 0.5 * (square[i * rows + j] + square[j * rows + i]));
    let seen = || Ok(owned(kernel::view(&kernel::product(w, root(c)?.view()), rows, cols)));
    columns_projected(w, left(lower, seen)?)
}

/// U U^T W for left singular vectors U, completed where the metric is silent.
fn columns_projected(w: MatRef<'_, f64>, left: (Vec<f64>, Mat<f64>)) -> Result<SvdFactors> {
    let (mut values, mut u) = left;
    let (rows, cols, size) = (w.nrows(), w.ncols(), u.ncols());
    let rank = numerical_rank(&values);
    if rank < size {
        let known = u.as_ref().subcols(0, rank);
        let down = kernel::product(known.transpose(), w);
        let unseen = owned(w) - known * kernel::view(&down, rank, cols);
        let (_, more) = kernel::left_svd(unseen.as_ref())?;
        complete(&mut u, rank, &more);
        values[rank..].fill(0.0);
    }
    let down = Matrix::new(size, cols, kernel::product(u.transpose(), w))?;
    balanced(Matrix::new(rows, size, kernel::flatten(u.as_ref()))?, down, values)
}

fn owned(view: MatRef<'_, f64>) -> Mat<f64> {
    view.to_owned()
}

/// Replaces the columns from `rank` on by the leading ones of `more`, made orthogonal to those kept.
fn complete(u: &mut Mat<f64>, rank: usize, more: &Mat<f64>) {
    let size = u.ncols();
    u.as_mut().subcols_mut(rank, size - rank).copy_from(more.as_ref().subcols(0, size - rank));
    // Trailing columns of `more` belong to a null space that may reach into the kept ones; an orthogonal
    // factorization of the whole keeps the leading columns up to sign and repairs those.
    let (q, _) = kernel::thin_qr(u.as_ref());
    u.as_mut().subcols_mut(rank, size - rank).copy_from(q.as_ref().subcols(rank, size - rank));
}

/// W V V^T for the right singular vectors V of `seen`: the same with rows and columns exchanged.
fn rows_projected(w: &Matrix, seen: MatRef<'_, f64>) -> Result<SvdFactors> {
    let right = if seen.nrows() < seen.ncols() {
        kernel::left_svd(seen.transpose())?
    } else {
        left(kernel::gram(seen.transpose()), || Ok(owned(seen.transpose())))?
    };
    let factors = columns_projected(w.view().transpose(), right)?;
    Ok(SvdFactors { up: factors.down.transpose(), down: factors.up.transpose(), spectrum: factors.spectrum })
}

fn numerical_rank(values: &[f64]) -> usize {
    let largest = values.first().copied().unwrap_or(0.0);
    values.iter().take_while(|&&v| v > SEEN * largest).count()
}

/// Spreads the scale of each term evenly over both factors.
fn balanced(mut up: Matrix, mut down: Matrix, spectrum: Vec<f64>) -> Result<SvdFactors> {
    let (size, cols) = (spectrum.len(), down.cols());
    let mut scales = vec![1.0; size];
    for (row, scale) in down.data_mut().chunks_exact_mut(cols).zip(&mut scales) {
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm > f64::MIN_POSITIVE {
            *scale = norm.sqrt();
            row.iter_mut().for_each(|v| *v /= *scale);
        }
    }
    for row in up.data_mut().chunks_exact_mut(size) {
        row.iter_mut().zip(&scales).for_each(|(v, s)| *v *= s);
    }
    Ok(SvdFactors { up, down, spectrum })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: usize, cols: usize) -> Matrix {
        Matrix::from_fn(rows, cols, |r, c| ((r * 37 + c * 101) % 53) as f64 / 26.0 - 1.0)
    }

    fn moment(n: usize, samples: usize) -> Matrix {
        let x = sample(samples, n);
        x.transpose().matmul(&x)
    }

    #[test]
    fn error_from_the_spectrum_is_the_output_error() {
        for (rows, cols) in [(1, 1), (6, 9), (9, 6), (20, 20), (1, 7), (7, 1)] {
            let w = sample(rows, cols);
            let weights: Vec<f64> = (0..rows).map(|r| (r % 3) as f64).collect();
            let (full, thin) = (moment(cols, 3 * cols + 1), moment(cols, cols.div_ceil(3)));
            for metric in
                [Metric::Weights, Metric::Inputs(&full), Metric::Inputs(&thin), Metric::Rows(&weights)]
            {
                let factors = svd_in_metric(&w, &metric).unwrap();
                for rank in 0..=rows.min(cols) {
                    let cut = factors.truncate(rank);
                    let direct = output_error(&w, &cut.up.matmul(&cut.down), &metric);
                    assert!((direct - cut.error_relative).abs() < 1e-8, "{rows} x {cols} {metric:?} {rank}");
                }
                // Full rank is exact in every entry, also where the metric does not look.
                let all = factors.truncate(usize::MAX);
                assert!(
                    w.subtract(&all.up.matmul(&all.down)).max_abs() < 1e-11,
                    "{rows} x {cols} {metric:?}"
                );
            }
        }
    }

    #[test]
    fn bad_metrics_are_typed_errors() {
        let w = sample(3, 4);
        let wrong = Matrix::identity(3);
        assert!(matches!(
            svd_in_metric(&w, &Metric::Inputs(&wrong)),
            Err(Error::ShapeMismatch { expected_rows: 4, got_rows: 3, .. })
        ));
        let mut nan = Matrix::identity(4);
        nan.data_mut()[5] = f64::NAN;
        assert!(matches!(
            svd_in_metric(&w, &Metric::Inputs(&nan)),
            Err(Error::NonFinite { row: 1, col: 1, .. })
        ));
        let negative = svd_in_metric(&w, &Metric::Rows(&[1.0, -2.0, 0.0]));
        assert_eq!(negative, Err(Error::NegativeWeight { row: 1, value: -2.0 }));
    }

    #[test]
    fn extreme_magnitudes_keep_their_errors() {
        let plain = sample(6, 5);
        let want = svd_in_metric(&plain, &Metric::Weights).unwrap();
        for factor in [1e-140, 1e-90, 1e90, 1e140] {
            let w = Matrix::from_fn(6, 5, |r, c| plain.get(r, c) * factor);
            let got = svd_in_metric(&w, &Metric::Weights).unwrap();
            for rank in 0..=5 {
                assert!((got.error(rank) - want.error(rank)).abs() < 1e-12, "{factor:e} {rank}");
            }
        }
    }

    #[test]
    fn zero_matrices_and_zero_metrics_are_harmless() {
        let zero = Matrix::zeros(4, 3);
        let factors = svd_in_metric(&zero, &Metric::Weights).unwrap();
        assert_eq!(factors.error(1), 0.0);
        assert!(factors.truncate(2).up.data().iter().all(|v| v.is_finite()));
        let w = sample(4, 3);
        let blind = svd_in_metric(&w, &Metric::Rows(&[0.0; 4])).unwrap();
        assert_eq!(blind.error(1), 0.0);
        let plain = svd_in_metric(&w, &Metric::Weights).unwrap();
        let (a, b) = (blind.truncate(1), plain.truncate(1));
        assert!(a.up.matmul(&a.down).subtract(&b.up.matmul(&b.down)).max_abs() < 1e-12);
    }
}
