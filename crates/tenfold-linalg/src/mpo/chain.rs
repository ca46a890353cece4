//! Chains of cores as they are: validity, contraction, slicing.

use crate::error::{Error, Result};
use crate::kernel;
use crate::shape::MpoShape;

use super::Core;

/// Fails unless the cores chain, match the shape and are finite, and the shape holds the matrix.
pub(super) fn check(shape: &MpoShape, rows: usize, cols: usize, cores: &[Core]) -> Result<()> {
    if rows == 0 || cols == 0 {
        return Err(Error::EmptyMatrix { rows, cols });
    }
    let (padded_rows, padded_cols) = (shape.padded_rows(), shape.padded_cols());
    if padded_rows < rows || padded_cols < cols {
        return Err(Error::ShapeTooSmall { padded_rows, padded_cols, rows, cols });
    }
    if cores.len() != shape.cores() {
        return Err(Error::FactorCount { rows: shape.cores(), cols: cores.len() });
    }
    let mut left = 1;
    for (index, core) in cores.iter().enumerate() {
        let right = if index + 1 == cores.len() { 1 } else { core.right.max(1) };
        let expected = [left, shape.row_factors()[index], shape.col_factors()[index], right];
        let size = expected.iter().product::<usize>();
        if core.shape() != expected || core.data.len() != size {
            return Err(Error::CoreShape { index, expected, got: core.shape() });
        }
        if let Some(at) = core.data.iter().position(|v| !v.is_finite()) {
            return Err(Error::NonFinite { row: index, col: at, value: core.data[at] });
        }
        left = right;
    }
    Ok(())
}

/// All cores contracted: the interleaved values of the padded matrix. Both arms are merged outside in and
/// meet in the largest core, so that no intermediate is larger than it has to be.
pub(super) fn contract(cores: &[Core]) -> Vec<f64> {
    let largest = (0..cores.len()).max_by_key(|&k| cores[k].data.len()).unwrap_or(0);
    let mut left: Vec<f64> = vec![1.0]; // merged rows x left bond
    let mut right: Vec<f64> = vec![1.0]; // right bond x merged columns
    for core in &cores[..largest] {
        let rows = left.len() / core.left;
        let core_view = kernel::view(&core.data, core.left, core.data.len() / core.left);
        left = kernel::product(kernel::view(&left, rows, core.left), core_view);
    }
    for core in cores[largest + 1..].iter().rev() {
        let cols = right.len() / core.right;
        let core_view = kernel::view(&core.data, core.data.len() / core.right, core.right);
        right = kernel::product(core_view, kernel::view(&right, core.right, cols));
    }
    let Some(core) = cores.get(largest) else { return left };
    let (rows, cols) = (left.len() / core.left, right.len() / core.right);
    let block = core.row * core.col;
    let left_view = kernel::view(&left, rows, core.left);
    let right_view = kernel::view(&right, core.right, cols);
    // Multiply-adds of left-first and right-first.
    let left_first = rows * core.left * block * core.right + rows * block * core.right * cols;
    let right_first = core.left * block * core.right * cols + rows * core.left * block * cols;
    if left_first <= right_first {
        let half = kernel::product(left_view, kernel::view(&core.data, core.left, block * core.right));
        kernel::product(kernel::view(&half, rows * block, core.right), right_view)
    } else {
        let half = kernel::product(kernel::view(&core.data, core.left * block, core.right), right_view);
        kernel::product(left_view, kernel::view(&half, core.left, block * cols))
    }
}

/// The first `left` and `right` entries of both bonds.
pub(super) fn slice(core: &Core, left: usize, right: usize) -> Core {
    let run = core.row * core.col;
    let data = core.data[..left * run * core.right]
        .chunks_exact(core.right)
        .flat_map(|row| row[..right].iter().copied())
        .collect();
    Core { left, row: core.row, col: core.col, right, data }
}
