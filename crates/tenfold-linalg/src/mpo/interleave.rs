//! From matrix entries to the order in which an MPO reads them, and back.
//!
//! Entry (row, col) moves to the position of (i1, j1, i2, j2, ..., in, jn), row and column factors
//! alternating. The position is the sum of a part that depends on the row only and one that depends on the
//! column only, so two small tables describe the whole permutation.

use crate::matrix::Matrix;
use crate::shape::MpoShape;

/// Positions contributed by rows and by columns.
struct Offsets {
    rows: Vec<usize>,
    cols: Vec<usize>,
}

impl Offsets {
    fn new(shape: &MpoShape, rows: usize, cols: usize) -> Self {
        let n = shape.cores();
        let (row_factors, col_factors) = (shape.row_factors(), shape.col_factors());
        let (mut row_strides, mut col_strides) = (vec![0; n], vec![0; n]);
        let mut stride = 1;
        for k in (0..n).rev() {
            col_strides[k] = stride;
            stride *= col_factors[k];
            row_strides[k] = stride;
            stride *= row_factors[k];
        }
        Self { rows: table(row_factors, &row_strides, rows), cols: table(col_factors, &col_strides, cols) }
    }
}

fn table(factors: &[usize], strides: &[usize], count: usize) -> Vec<usize> {
    (0..count)
        .map(|index| {
            let mut rest = index;
            let mut offset = 0;
            for k in (0..factors.len()).rev() {
                offset += (rest % factors[k]) * strides[k];
                rest /= factors[k];
            }
            offset
        })
        .collect()
}

/// Rows handled together: the last row factor, whose rows fill neighboring positions, so that writes stay
/// within the cache lines they opened.
fn row_group(shape: &MpoShape) -> usize {
    shape.row_factors().last().copied().unwrap_or(1)
}

/// The interleaved values of a matrix, zeros where the shape is larger than the matrix.
///
/// Requires a shape at least as large as the matrix on both sides.
pub(super) fn interleave(w: &Matrix, shape: &MpoShape) -> Vec<f64> {
    let offsets = Offsets::new(shape, w.rows(), w.cols());
    let mut out = vec![0.0; shape.padded_rows() * shape.padded_cols()];
    let cols = w.cols();
    let group = row_group(shape);
    let last_col = shape.col_factors().last().copied().unwrap_or(1);
    for (block, rows) in w.data().chunks(group * cols).enumerate() {
        let row_offsets = &offsets.rows[block * group..];
        for from in (0..cols).step_by(last_col) {
            let to = (from + last_col).min(cols);
            for (row, &base) in rows.chunks_exact(cols).zip(row_offsets) {
                let at = base + offsets.cols[from];
                // The last column factor is innermost: a run of columns stays a run.
                out[at..at + to - from].copy_from_slice(&row[from..to]);
            }
        }
    }
    out
}

/// The inverse, cut to `rows x cols`.
pub(super) fn deinterleave(values: &[f64], shape: &MpoShape, rows: usize, cols: usize) -> Matrix {
    let offsets = Offsets::new(shape, rows, cols);
    let mut out = Matrix::zeros(rows, cols);
    let group = row_group(shape);
    let last_col = shape.col_factors().last().copied().unwrap_or(1);
    for (block, chunk) in out.data_mut().chunks_mut((group * cols).max(1)).enumerate() {
        let row_offsets = &offsets.rows[block * group..];
        for from in (0..cols).step_by(last_col) {
            let to = (from + last_col).min(cols);
            for (row, &base) in chunk.chunks_exact_mut(cols).zip(row_offsets) {
                let at = base + offsets.cols[from];
                row[from..to].copy_from_slice(&values[at..at + to - from]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_alternates_row_and_column_factors() {
        let shape = MpoShape::new(vec![2, 2], vec![2, 2]).unwrap();
        let w = Matrix::from_fn(4, 4, |r, c| (r * 4 + c) as f64);
        let got = interleave(&w, &shape);
        let mut want = Vec::new();
        for i1 in 0..2 {
            for j1 in 0..2 {
                for i2 in 0..2 {
                    for j2 in 0..2 {
                        want.push(w.get(i1 * 2 + i2, j1 * 2 + j2));
                    }
                }
            }
        }
        assert_eq!(got, want);
    }

    #[test]
    fn round_trip_with_padding() {
        for (rows, cols) in [(1, 1), (5, 7), (6, 8), (1, 8), (6, 1)] {
            let shape = MpoShape::new(vec![2, 1, 3], vec![1, 4, 2]).unwrap();
            let w = Matrix::from_fn(rows, cols, |r, c| 1.0 + (r * 10 + c) as f64);
            let values = interleave(&w, &shape);
            assert_eq!(values.len(), 48);
            assert_eq!(values.iter().filter(|v| **v != 0.0).count(), rows * cols);
            assert_eq!(deinterleave(&values, &shape, rows, cols), w);
        }
    }
}
