//! Quantized matrices: codes of a scheme, as bytes.

mod tables;
mod transcode;

pub use tables::Unfit;
pub use transcode::Inexact;

use crate::kernel::expand::Reader;
use crate::par::{self, Shared};
use crate::{Array, Error, Half, Scheme};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A matrix whose numbers are rounded to a [`Scheme`], row by row. Cloning shares the bytes; nothing changes them.
#[derive(Clone, PartialEq)]
pub struct Codes {
    scheme: Scheme,
    rows: usize,
    cols: usize,
    bytes: Arc<[u8]>,
}

impl Codes {
    /// The matrix (rows x cols) with these bytes, one row after the other.
    ///
    /// # Errors
    /// [`Error::Codes`] where the scheme has no rows of `cols` numbers, or there are more or fewer bytes.
    pub fn new(scheme: Scheme, rows: usize, cols: usize, bytes: impl Into<Arc<[u8]>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        let expected = scheme.row_bytes(cols).and_then(|row| row.checked_mul(rows));
        if expected != Some(bytes.len()) {
            return Err(Error::Codes { scheme, rows, cols, expected, got: bytes.len() });
        }
        Ok(Self { scheme, rows, cols, bytes })
    }

    /// A matrix in half precision ([`Scheme::Half`]), each number the nearest half.
    ///
    /// # Errors
    /// [`Error::SchemeValue`] for numbers beyond the range of halves, and where there are not rows x cols of them.
    pub fn halves(values: &[f32], rows: usize, cols: usize) -> Result<Self, Error> {
        let halves: Vec<Half> = values.iter().map(|&value| Half::nearest(value)).collect();
        if let Some(position) = halves.iter().position(|half| !half.is_finite()) {
            return Err(Error::SchemeValue { scheme: "f16", position });
        }
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.bits().to_le_bytes()).collect();
        Self::new(Scheme::Half, rows, cols, bytes)
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Rows of the matrix.
    pub fn height(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub fn width(&self) -> usize {
        self.cols
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.cols]
    }

    /// All bytes, one row after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes of a row.
    ///
    /// # Panics
    /// When there is no such row.
    #[track_caller]
    pub fn row(&self, row: usize) -> &[u8] {
        self.rows(row, 1)
    }

    /// The bytes of `count` rows from `first` on, one row after the other.
    ///
    /// # Panics
    /// When there are not as many.
    #[track_caller]
    pub(crate) fn rows(&self, first: usize, count: usize) -> &[u8] {
        assert!(
            first < self.rows && count <= self.rows - first,
            "rows {first} to {} of {}",
            first + count,
            self.rows
        );
        let size = self.bytes.len() / self.rows;
        &self.bytes[first * size..(first + count) * size]
    }

    /// The matrix itself.
    pub fn values(&self) -> Array {
        let mut values = Array::stale(&[self.rows, self.cols]);
        self.decode(0, values.data_mut());
        values
    }

    /// The rows that the ids name, in order, N x cols.
    ///
    /// # Errors
    /// [`Error::IdOutOfRange`] for an id that is not a row.
    pub fn look_up(&self, ids: &[u32]) -> Result<Array, Error> {
        let rows = self.rows;
        if let Some((position, &id)) = ids.iter().enumerate().find(|&(_, &id)| id as usize >= rows) {
            return Err(Error::IdOutOfRange { id, position, rows });
        }
        let mut values = Array::stale(&[ids.len(), self.cols]);
        self.each_row(values.data_mut(), |at| ids[at] as usize);
        Ok(values)
    }

    /// Writes rows from `first` on, as many as fit.
    pub(crate) fn decode(&self, first: usize, out: &mut [f32]) {
        self.each_row(out, |at| first + at);
    }

    /// The index (row-major) of the first number that is not finite.
    pub fn non_finite(&self) -> Option<usize> {
        let block = par::block_rows(self.cols);
        let first = AtomicUsize::new(usize::MAX);
        par::each(self.rows.div_ceil(block), |i| {
            let (mut reader, mut values) = (Reader::new(self.scheme, self.cols), vec![0.0; self.cols]);
            for row in i * block..((i + 1) * block).min(self.rows) {
                reader.read(self.row(row), &mut values);
                if let Some(col) = values.iter().position(|value: &f32| !value.is_finite()) {
                    first.fetch_min(row * self.cols + col, Ordering::Relaxed);
                    return;
                }
            }
        });
        Some(first.into_inner()).filter(|first| *first < usize::MAX)
    }

    /// The rows of a range.
    ///
    /// # Panics
    /// When there are no such rows.
    #[track_caller]
    pub fn slice(&self, rows: Range<usize>) -> Codes {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let size = self.bytes.len() / self.rows.max(1);
        let bytes = self.bytes[rows.start * size..rows.end * size].into();
        Self { scheme: self.scheme, rows: rows.len(), cols: self.cols, bytes }
    }

    fn each_row(&self, out: &mut [f32], row: impl Fn(usize) -> usize + Sync + Send) {
        if self.cols == 0 {
            return;
        }
        let count = out.len() / self.cols;
        let block = par::block_rows(self.cols);
        let out = Shared::new(out);
        par::each(count.div_ceil(block), |i| {
            let mut reader = Reader::new(self.scheme, self.cols);
            for at in i * block..((i + 1) * block).min(count) {
                // SAFETY: rows of different tasks do not overlap.
                let values = unsafe { out.slice(at * self.cols, self.cols) };
                reader.read(self.row(row(at)), values);
            }
        });
    }
}

impl fmt::Debug for Codes {
    /// Scheme and shape; the bytes are too long to print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codes[{} x {}, {}]", self.rows, self.cols, self.scheme)
    }
}
