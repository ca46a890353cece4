//! From matrix entries to the order in which an MPO reads them, and back.
//!
//! Entry (row, col) moves to the position of (i1, j1, i2, j2, ..., in, jn), row and column factors
//! alternating. The position is the sum of a part that depends on the row only and one that depends on the
//! column only, so two small tables describe the whole permutation.

use crate::matrix::Matrix;
use crate::parallel;
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

/// Where the rows of one value of the first row factor go: those positions are one contiguous stretch, so
/// stretches can be filled independently.
struct Stretch {
    /// Rows of the padded matrix per stretch.
    rows: usize,
    /// Rows handled together: the last row factor, whose rows fill neighboring positions, so that accesses
    /// stay within the cache lines they opened.
    group: usize,
    /// Columns that stay a run: the last column factor is innermost.
    run: usize,
}

impl Stretch {
    fn new(shape: &MpoShape) -> Self {
        let first = shape.row_factors().first().copied().unwrap_or(1);
        Self {
            rows: shape.padded_rows() / first,
            group: shape.row_factors().last().copied().unwrap_or(1),
            run: shape.col_factors().last().copied().unwrap_or(1),
        }
    }

    /// Calls `copy(row, column range, position)` for every run of `rows x cols` entries whose rows start at
    /// `from`; positions count from the start of the stretch.
    fn visit(
        &self,
        offsets: &Offsets,
        from: usize,
        rows: usize,
        cols: usize,
        mut copy: impl FnMut(usize, std::ops::Range<usize>, usize),
    ) {
        let base = offsets.rows[from];
        for block in (0..rows).step_by(self.group) {
            for column in (0..cols).step_by(self.run) {
                let end = (column + self.run).min(cols);
                for row in block..(block + self.group).min(rows) {
                    copy(row, column..end, offsets.rows[from + row] - base + offsets.cols[column]);
                }
            }
        }
    }
}

/// The interleaved values of a matrix, zeros where the shape is larger than the matrix.
///
/// Requires a shape at least as large as the matrix on both sides.
pub(super) fn interleave(w: &Matrix, shape: &MpoShape) -> Vec<f64> {
    let (rows, cols) = (w.rows(), w.cols());
    let offsets = Offsets::new(shape, rows, cols);
    let stretch = Stretch::new(shape);
    let mut out = vec![0.0; shape.padded_rows() * shape.padded_cols()];
    let jobs = out.chunks_mut(stretch.rows * shape.padded_cols()).zip(w.data().chunks(stretch.rows * cols));
    parallel::for_each(jobs.enumerate(), rows * cols, |(index, (out, w))| {
        stretch.visit(&offsets, index * stretch.rows, w.len() / cols, cols, |row, columns, at| {
            let len = columns.len();
            out[at..at + len].copy_from_slice(&w[row * cols..][columns]);
        });
    });
    out
}

/// The inverse, cut to `rows x cols`.
pub(super) fn deinterleave(values: &[f64], shape: &MpoShape, rows: usize, cols: usize) -> Matrix {
    let offsets = Offsets::new(shape, rows, cols);
    let stretch = Stretch::new(shape);
    let mut out = Matrix::zeros(rows, cols);
    let jobs =
        values.chunks(stretch.rows * shape.padded_cols()).zip(out.data_mut().chunks_mut(stretch.rows * cols));
    parallel::for_each(jobs.enumerate(), rows * cols, |(index, (values, out))| {
        stretch.visit(&offsets, index * stretch.rows, out.len() / cols, cols, |row, columns, at| {
            let len = columns.len();
            out[row * cols..][columns].copy_from_slice(&values[at..at + len]);
        });
    });
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

    #[test]
    fn large_matrices_take_the_same_places_on_many_threads() {
        let shape = MpoShape::new(vec![7, 20, 11], vec![2, 30, 25]).unwrap();
        let (rows, cols) = (1501, 1490);
        assert!(parallel::threads_for(rows * cols) != faer::Par::Seq);
        let w = Matrix::from_fn(rows, cols, |r, c| 1.0 + (r * cols + c) as f64);
        let values = interleave(&w, &shape);
        for (r, c) in [(0, 0), (1500, 1489), (219, 24), (220, 25), (1319, 749), (1320, 750)] {
            let (i, j) = ((r / 220, r / 11 % 20, r % 11), (c / 750, c / 25 % 30, c % 25));
            let at = ((((i.0 * 2 + j.0) * 20 + i.1) * 30 + j.1) * 11 + i.2) * 25 + j.2;
            assert_eq!(values[at], w.get(r, c));
        }
        assert_eq!(deinterleave(&values, &shape, rows, cols), w);
    }
}
