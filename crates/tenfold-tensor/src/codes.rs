//! Quantized matrices: codes of a scheme, as bytes.

use crate::blocks::{Block, Q4_0, Q5_0, Q8_0};
use crate::kernel::expand::Reader;
use crate::par::{self, Shared};
use crate::{Array, Blocks, Error, Half, Scheme};
use std::fmt;
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

    /// The matrix with rows and columns exchanged.
    pub fn transposed(&self) -> Array {
        let values = self.values();
        let mut turned = Array::stale(&[self.cols, self.rows]);
        let out = turned.data_mut();
        for (row, values) in values.data().chunks_exact(self.cols.max(1)).enumerate() {
            values.iter().enumerate().for_each(|(col, &value)| out[col * self.rows + row] = value);
        }
        turned
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

    /// The same numbers in a scheme of blocks, where one has them: blocks themselves, and symmetric groups of 32 columns with
    /// codes of 4, 5 or 8 bits, which are those of Q4_0, Q5_0 and Q8_0. Nothing is rounded.
    pub fn as_blocks(&self) -> Option<Codes> {
        let affine = match self.scheme {
            Scheme::Blocks(_) => return Some(self.clone()),
            Scheme::Affine(affine) => affine,
            Scheme::Half | Scheme::Trellis(_) => return None,
        };
        let blocks = match affine.bits() {
            4 => Blocks::Q4_0,
            5 => Blocks::Q5_0,
            8 => Blocks::Q8_0,
            _ => return None,
        };
        if !affine.is_symmetric() || affine.group() as usize != blocks.weights() {
            return None;
        }
        let mut bytes = vec![0; self.rows * blocks.row_bytes(self.cols)?];
        let mut out = bytes.chunks_exact_mut(blocks.bytes());
        for row in 0..self.rows {
            let parts = affine.unpack(self.row(row), self.cols);
            for ((codes, &scale), out) in
                parts.codes.as_chunks::<32>().0.iter().zip(&parts.scales).zip(&mut out)
            {
                let d = Half::nearest(scale);
                match blocks {
                    Blocks::Q4_0 => Q4_0 { d, codes: *codes }.pack(out),
                    Blocks::Q5_0 => Q5_0 { d, codes: *codes }.pack(out),
                    _ => Q8_0 { d, codes: codes.map(|code| code.wrapping_sub(128) as i8) }.pack(out),
                }
            }
        }
        Codes::new(Scheme::Blocks(blocks), self.rows, self.cols, bytes).ok()
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
