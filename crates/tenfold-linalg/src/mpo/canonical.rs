//! The symmetric gauge of a chain of cores, without ever building its matrix.

use faer::MatRef;

use crate::error::Result;
use crate::kernel;
use crate::shape::MpoShape;

use super::symmetric::{scale_left, scales, unscale_right};
use super::{Core, Parts};

/// Left sweep by orthogonal factorization, right sweep by SVD. After the first, everything left of a bond is
/// orthonormal, so the SVD of the next core to its right has the singular values of the whole unfolding.
pub(super) fn symmetric(shape: &MpoShape, cores: Vec<Core>) -> Result<(Vec<usize>, Parts)> {
    let blocks = shape.blocks();
    let n = blocks.len();
    let mut bonds: Vec<usize> = std::iter::once(1).chain(cores.iter().map(|c| c.right)).collect();
    let mut chain: Vec<Vec<f64>> = cores.into_iter().map(|c| c.data).collect();

    for k in 0..n - 1 {
        let (rows, cols) = (bonds[k] * blocks[k], bonds[k + 1]);
        let (q, r) = kernel::thin_qr(kernel::view(&chain[k], rows, cols));
        bonds[k + 1] = q.ncols();
        chain[k] = kernel::flatten(q.as_ref());
        chain[k + 1] = absorb_left(r.as_ref(), &chain[k + 1]);
    }
    let mut spectra = vec![Vec::new(); n - 1];
    for k in (1..n).rev() {
        let (rows, cols) = (bonds[k], blocks[k] * bonds[k + 1]);
        // Right vectors of the core are left vectors of its transpose.
        let (values, v) = kernel::left_svd(kernel::view(&chain[k], rows, cols).transpose())?;
        let carry = kernel::product(kernel::view(&chain[k], rows, cols), v.as_ref());
        bonds[k] = v.ncols();
        chain[k] = kernel::flatten(v.as_ref().transpose());
        chain[k - 1] = absorb_right(&chain[k - 1], kernel::view(&carry, rows, v.ncols()));
        spectra[k - 1] = values;
    }
    for k in 1..n {
        let scale = scales(&spectra[k - 1], bonds[k]);
        unscale_right(&mut chain[k - 1], &scale);
        scale_left(&mut chain[k], &scale);
    }
    Ok((bonds, Parts { cores: chain, spectra, steps: Vec::new() }))
}

fn absorb_left(matrix: MatRef<'_, f64>, core: &[f64]) -> Vec<f64> {
    kernel::product(matrix, kernel::view(core, matrix.ncols(), core.len() / matrix.ncols()))
}

fn absorb_right(core: &[f64], matrix: MatRef<'_, f64>) -> Vec<f64> {
    kernel::product(kernel::view(core, core.len() / matrix.nrows(), matrix.nrows()), matrix)
}
