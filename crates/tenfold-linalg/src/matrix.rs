//! A row-major matrix of f64.

use faer::{MatMut, MatRef};

use crate::error::{Error, Result};
use crate::kernel;

/// A dense matrix, rows = out and columns = in where it is a weight, stored row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

impl Matrix {
    /// A matrix over a row-major buffer.
    ///
    /// # Errors
    /// [`Error::BufferLength`] when the buffer is not `rows * cols` long.
    pub fn new(rows: usize, cols: usize, data: Vec<f64>) -> Result<Self> {
        check_length(rows, cols, data.len())?;
        Ok(Self { rows, cols, data })
    }

    /// A matrix from row-major f32 values, widened exactly.
    ///
    /// # Errors
    /// [`Error::BufferLength`] when the buffer is not `rows * cols` long.
    pub fn from_f32(data: &[f32], rows: usize, cols: usize) -> Result<Self> {
        check_length(rows, cols, data.len())?;
        Ok(Self { rows, cols, data: data.iter().map(|&v| f64::from(v)).collect() })
    }

    /// A matrix whose entries are `f(row, column)`.
    pub fn from_fn(rows: usize, cols: usize, mut f: impl FnMut(usize, usize) -> f64) -> Self {
        let mut data = Vec::with_capacity(rows * cols);
        for r in 0..rows {
            data.extend((0..cols).map(|c| f(r, c)));
        }
        Self { rows, cols, data }
    }

    /// All zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// The identity of order `n`.
    pub fn identity(n: usize) -> Self {
        Self::from_fn(n, n, |r, c| f64::from(u8::from(r == c)))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Row-major values.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// Row-major values, writable.
    pub fn data_mut(&mut self) -> &mut [f64] {
        &mut self.data
    }

    /// Row-major values, taken out.
    pub fn into_data(self) -> Vec<f64> {
        self.data
    }

    /// Entry at (`row`, `col`).
    ///
    /// # Panics
    /// When either is out of range.
    #[track_caller]
    pub fn get(&self, row: usize, col: usize) -> f64 {
        assert!(row < self.rows && col < self.cols, "({row}, {col}) outside {} x {}", self.rows, self.cols);
        self.data[row * self.cols + col]
    }

    /// One row.
    ///
    /// # Panics
    /// When `row` is out of range.
    #[track_caller]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// Row-major values rounded to f32.
    pub fn to_f32(&self) -> Vec<f32> {
        self.data.iter().map(|&v| v as f32).collect()
    }

    /// Rows and columns exchanged.
    pub fn transpose(&self) -> Self {
        let mut out = Self::zeros(self.cols, self.rows);
        out.view_mut().copy_from(self.view().transpose());
        out
    }

    /// Matrix product `self * other`.
    ///
    /// # Panics
    /// When the inner dimensions differ.
    #[track_caller]
    pub fn matmul(&self, other: &Self) -> Self {
        assert_eq!(
            self.cols, other.rows,
            "inner dimensions {} and {} differ in a matrix product",
            self.cols, other.rows
        );
        Self { rows: self.rows, cols: other.cols, data: kernel::product(self.view(), other.view()) }
    }

    /// Entrywise difference `self - other`.
    ///
    /// # Panics
    /// When the shapes differ.
    #[track_caller]
    pub fn subtract(&self, other: &Self) -> Self {
        assert_eq!((self.rows, self.cols), (other.rows, other.cols), "shapes differ in a difference");
        let data = self.data.iter().zip(&other.data).map(|(a, b)| a - b).collect();
        Self { rows: self.rows, cols: self.cols, data }
    }

    /// Frobenius norm: root of the sum of squares.
    pub fn frobenius(&self) -> f64 {
        self.data.iter().map(|v| v * v).sum::<f64>().sqrt()
    }

    /// Largest absolute entry; 0 for an empty matrix.
    pub fn max_abs(&self) -> f64 {
        self.data.iter().fold(0.0, |m, v| v.abs().max(m))
    }

    /// A matrix over a buffer that was made for it.
    pub(crate) fn from_vec(rows: usize, cols: usize, data: Vec<f64>) -> Self {
        debug_assert_eq!(data.len(), rows * cols);
        Self { rows, cols, data }
    }

    /// Fails on an empty matrix and on the first NaN or infinity.
    pub(crate) fn check(&self) -> Result<()> {
        if self.rows == 0 || self.cols == 0 {
            return Err(Error::EmptyMatrix { rows: self.rows, cols: self.cols });
        }
        // Without an early exit inside a stretch, the test of a stretch runs on vectors.
        let finite = |stretch: &[f64]| stretch.iter().fold(true, |all, v| all & v.is_finite());
        if self.data.chunks(1 << 12).all(finite) {
            return Ok(());
        }
        match self.data.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(i) => Err(Error::NonFinite { row: i / self.cols, col: i % self.cols, value: self.data[i] }),
        }
    }

    pub(crate) fn view(&self) -> MatRef<'_, f64> {
        kernel::view(&self.data, self.rows, self.cols)
    }

    fn view_mut(&mut self) -> MatMut<'_, f64> {
        MatMut::from_row_major_slice_mut(&mut self.data, self.rows, self.cols)
    }
}

fn check_length(rows: usize, cols: usize, got: usize) -> Result<()> {
    let expected = rows.saturating_mul(cols);
    if expected == got { Ok(()) } else { Err(Error::BufferLength { rows, cols, expected, got }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_buffer_is_refused() {
        let got = Matrix::from_f32(&[1.0; 5], 2, 3);
        assert_eq!(got, Err(Error::BufferLength { rows: 2, cols: 3, expected: 6, got: 5 }));
    }

    #[test]
    fn products_and_transposes_agree_with_loops() {
        let a = Matrix::from_fn(3, 5, |r, c| (r * 5 + c) as f64);
        let b = Matrix::from_fn(5, 2, |r, c| 1.0 / (1.0 + (r + 2 * c) as f64));
        let by_hand = Matrix::from_fn(3, 2, |r, c| (0..5).map(|k| a.get(r, k) * b.get(k, c)).sum::<f64>());
        assert!(a.matmul(&b).subtract(&by_hand).max_abs() < 1e-13);
        assert_eq!(a.transpose().get(4, 2), a.get(2, 4));
    }

    #[test]
    fn check_names_the_first_bad_value() {
        let mut m = Matrix::zeros(2, 3);
        m.data_mut()[4] = f64::INFINITY;
        assert_eq!(m.check(), Err(Error::NonFinite { row: 1, col: 1, value: f64::INFINITY }));
        assert_eq!(Matrix::zeros(0, 3).check(), Err(Error::EmptyMatrix { rows: 0, cols: 3 }));
    }
}
