//! The few dense factorizations everything rests on, over faer: f64, row-major views in, column-major factors
//! out.

use faer::diag::DiagMut;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, EvdError, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::linalg::householder;
use faer::linalg::matmul::{matmul, triangular};
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch, recommended_block_size};
use faer::linalg::svd::{ComputeSvdVectors, SvdError, svd as faer_svd, svd_scratch};
use faer::{Accum, Conj, Mat, MatMut, MatRef, Spec};

use crate::error::{Error, Result};
use crate::parallel::threads_for;

/// Smallest ratio of least to largest singular value for which squaring a matrix is accepted. There the error
/// of a singular value, relative to the largest, is about 2^-52 / (2 * 1e-5) = 1e-11.
pub(crate) const SAFE_RATIO: f64 = 1e-5;

/// Range of the largest squared row norm in which neither overflow nor underflow has touched the spectrum.
const SQUARE_RANGE: std::ops::RangeInclusive<f64> = 1e-150..=1e150;

/// Whether the squares on the diagonal of X X^T are of a magnitude that f64 holds well.
pub(crate) fn squared_in_range(gram: &Mat<f64>) -> bool {
    SQUARE_RANGE.contains(&(0..gram.nrows()).fold(0.0, |m: f64, i| m.max(gram[(i, i)])))
}

/// Singular values from their squares (falling), or `None` when they reach below [`SAFE_RATIO`].
pub(crate) fn safe_roots(squares: &[f64]) -> Option<Vec<f64>> {
    if let (Some(&first), Some(&last)) = (squares.first(), squares.last()) {
        let safe = last >= first * SAFE_RATIO * SAFE_RATIO;
        // A NaN compares false and takes the careful route.
        if !safe {
            return None;
        }
    }
    Some(squares.iter().map(|s| s.max(0.0).sqrt()).collect())
}

/// A row-major slice as a matrix.
pub(crate) fn view(data: &[f64], rows: usize, cols: usize) -> MatRef<'_, f64> {
    MatRef::from_row_major_slice(data, rows, cols)
}

/// `lhs * rhs` as a row-major buffer.
pub(crate) fn product(lhs: MatRef<'_, f64>, rhs: MatRef<'_, f64>) -> Vec<f64> {
    let (m, k, n) = (lhs.nrows(), lhs.ncols(), rhs.ncols());
    let mut out = vec![0.0; m * n];
    if k > 0 {
        let dst = MatMut::from_row_major_slice_mut(&mut out, m, n);
        matmul(dst, Accum::Replace, lhs, rhs, 1.0, threads_for(m * n * k));
    }
    out
}

/// A matrix of any layout as a row-major buffer.
pub(crate) fn flatten(x: MatRef<'_, f64>) -> Vec<f64> {
    let mut out = vec![0.0; x.nrows() * x.ncols()];
    MatMut::from_row_major_slice_mut(&mut out, x.nrows(), x.ncols()).copy_from(x);
    out
}

/// Lower triangle of `x * x^T` (the upper one is zero), at half the work of the product.
pub(crate) fn gram(x: MatRef<'_, f64>) -> Mat<f64> {
    let (m, k) = (x.nrows(), x.ncols());
    let mut out = Mat::<f64>::zeros(m, m);
    triangular::matmul(
        out.as_mut(),
        triangular::BlockStructure::TriangularLower,
        Accum::Replace,
        x,
        triangular::BlockStructure::Rectangular,
        x.transpose(),
        triangular::BlockStructure::Rectangular,
        1.0,
        threads_for(m * m * k / 2),
    );
    out
}

/// Whether squares of all entries stay finite; NaN does not. Iterations do not end otherwise.
fn bounded(x: MatRef<'_, f64>) -> bool {
    let mut bounded = true;
    for j in 0..x.ncols() {
        for i in 0..x.nrows() {
            bounded &= x[(i, j)].abs() <= *SQUARE_RANGE.end();
        }
    }
    bounded
}

/// Eigenvalues in falling order and, when asked for, eigenvectors as columns, of the symmetric matrix whose
/// lower triangle is given. The vectors are orthonormal to rounding whatever the spectrum.
pub(crate) fn eigen(lower: MatRef<'_, f64>, vectors: bool) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = lower.nrows();
    if n == 0 {
        return Ok((Vec::new(), Mat::new()));
    }
    let failed = Error::NoConvergence { operation: "eigendecomposition", rows: n, cols: n };
    if !bounded(lower) {
        return Err(failed);
    }
    let par = threads_for(n * n * n);
    let params = Spec::default();
    let want = if vectors { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let mut values = vec![0.0; n];
    let mut basis = if vectors { Mat::<f64>::zeros(n, n) } else { Mat::new() };
    let mut memory = MemBuffer::new(self_adjoint_evd_scratch::<f64>(n, want, par, params));
    self_adjoint_evd(
        lower,
        DiagMut::from_slice_mut(&mut values),
        vectors.then(|| basis.as_mut()),
        par,
        MemStack::new(&mut memory),
        params,
    )
    .map_err(|EvdError::NoConvergence| failed)?;
    if !vectors {
        values.sort_by(|a, b| b.total_cmp(a));
        return Ok((values, basis));
    }
    values.reverse();
    let mut falling = Mat::<f64>::zeros(n, n);
    for j in 0..n {
        falling.as_mut().col_mut(j).copy_from(basis.as_ref().col(n - 1 - j));
    }
    Ok((values, falling))
}

/// Singular values in falling order and left singular vectors (`rows x min(rows, cols)`).
pub(crate) fn left_svd(x: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
    let (m, n) = (x.nrows(), x.ncols());
    let mut u = Mat::<f64>::zeros(m, m.min(n));
    let values = svd(x, Some(u.as_mut()))?;
    Ok((values, u))
}

/// Singular values in falling order.
pub(crate) fn singular_values(x: MatRef<'_, f64>) -> Result<Vec<f64>> {
    svd(x, None)
}

fn svd(x: MatRef<'_, f64>, u: Option<MatMut<'_, f64>>) -> Result<Vec<f64>> {
    let (m, n) = (x.nrows(), x.ncols());
    let failed = Error::NoConvergence { operation: "SVD", rows: m, cols: n };
    if !bounded(x) {
        return Err(failed);
    }
    let par = threads_for(m * n * m.min(n));
    let params = Spec::default();
    let want = if u.is_some() { ComputeSvdVectors::Thin } else { ComputeSvdVectors::No };
    let mut values = vec![0.0; m.min(n)];
    let mut memory = MemBuffer::new(svd_scratch::<f64>(m, n, want, ComputeSvdVectors::No, par, params));
    faer_svd(x, DiagMut::from_slice_mut(&mut values), u, None, par, MemStack::new(&mut memory), params)
        .map_err(|SvdError::NoConvergence| failed)?;
    Ok(values)
}

/// A square `f` with `f * f^T = x * x^T` for a wide `x`, by an orthogonal factorization of `x^T`: singular
/// values and left vectors of `f` are those of `x`, without squaring its condition.
pub(crate) fn left_factor(x: MatRef<'_, f64>) -> Mat<f64> {
    let (m, k) = (x.nrows(), x.ncols());
    if k <= m {
        let mut square = Mat::<f64>::zeros(m, m);
        square.as_mut().subcols_mut(0, k).copy_from(x);
        return square;
    }
    let (packed, _) = householder_qr(x.transpose());
    Mat::from_fn(m, m, |i, j| if j <= i { packed[(j, i)] } else { 0.0 })
}

/// `x = q * r` with orthonormal columns in `q` (`rows x min(rows, cols)`).
pub(crate) fn thin_qr(x: MatRef<'_, f64>) -> (Mat<f64>, Mat<f64>) {
    let (m, n) = (x.nrows(), x.ncols());
    let size = m.min(n);
    let (packed, reflectors) = householder_qr(x);
    let r = Mat::from_fn(size, n, |i, j| if i <= j { packed[(i, j)] } else { 0.0 });
    let mut q = Mat::<f64>::identity(m, size);
    let par = threads_for(m * n * size);
    let scratch = householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(
        m,
        reflectors.nrows(),
        size,
    );
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        packed.as_ref().subcols(0, size),
        reflectors.as_ref(),
        Conj::No,
        q.as_mut(),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
    );
    (q, r)
}

/// The factored matrix (R above, reflectors below the diagonal) and the block factors of the reflectors.
fn householder_qr(x: MatRef<'_, f64>) -> (Mat<f64>, Mat<f64>) {
    let (m, n) = (x.nrows(), x.ncols());
    let size = m.min(n);
    let mut packed = Mat::<f64>::zeros(m, n);
    packed.as_mut().copy_from(x);
    let block = recommended_block_size::<f64>(m, n);
    let mut reflectors = Mat::<f64>::zeros(block, size);
    let par = threads_for(m * n * size);
    let params = Spec::default();
    let mut memory = MemBuffer::new(qr_in_place_scratch::<f64>(m, n, block, par, params));
    qr_in_place(packed.as_mut(), reflectors.as_mut(), par, MemStack::new(&mut memory), params);
    (packed, reflectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rows: usize, cols: usize) -> Mat<f64> {
        Mat::from_fn(rows, cols, |i, j| ((i * 31 + j * 17) % 23) as f64 - 11.0 + 0.1 * ((i * j) % 7) as f64)
    }

    #[test]
    fn gram_and_factor_agree_with_the_product() {
        for (m, k) in [(1, 1), (1, 9), (7, 3), (12, 40), (33, 65)] {
            let x = sample(m, k);
            let full = &x * x.transpose();
            let lower = gram(x.as_ref());
            let factor = left_factor(x.as_ref());
            let squared = &factor * factor.transpose();
            for i in 0..m {
                for j in 0..=i {
                    assert!((lower[(i, j)] - full[(i, j)]).abs() < 1e-9, "gram {m} x {k}");
                    assert!((squared[(i, j)] - full[(i, j)]).abs() < 1e-9, "factor {m} x {k}");
                }
            }
        }
    }

    #[test]
    fn eigen_and_svd_give_falling_values_and_orthonormal_vectors() {
        for n in [1, 2, 5, 40, 150] {
            let x = sample(n, n + 3);
            let (squares, q) = eigen(gram(x.as_ref()).as_ref(), true).unwrap();
            let (values, u) = left_svd(x.as_ref()).unwrap();
            let bare = singular_values(x.as_ref()).unwrap();
            assert!(squares.windows(2).all(|w| w[0] >= w[1]) && values.windows(2).all(|w| w[0] >= w[1]));
            for i in 0..n {
                assert!((values[i] - bare[i]).abs() < 1e-10 * values[0]);
                assert!((squares[i] - values[i] * values[i]).abs() < 1e-12 * squares[0]);
            }
            for basis in [&q, &u] {
                let residual = basis.transpose() * basis - Mat::<f64>::identity(n, n);
                assert!(residual.norm_max() < 1e-12);
            }
        }
    }

    #[test]
    fn factorizations_that_fail_say_which() {
        let mut x = sample(40, 40);
        x[(3, 3)] = f64::NAN;
        assert_eq!(left_svd(x.as_ref()), Err(Error::NoConvergence { operation: "SVD", rows: 40, cols: 40 }));
        let failed = eigen(x.as_ref(), true);
        let operation = "eigendecomposition";
        assert_eq!(failed, Err(Error::NoConvergence { operation, rows: 40, cols: 40 }));
    }
}
