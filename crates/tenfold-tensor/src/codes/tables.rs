//! Affine codes taken apart into whole numbers and tables of scales, and put together again.

use super::{Codes, Inexact};
use crate::{Affine, Array, Half, Scheme};

/// Why whole numbers with tables of scales and shifts have no place in an affine scheme.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// Codes that are not whole numbers in groups.
    #[error("{0} holds no whole numbers in groups")]
    Scheme(Scheme),
    /// A table that has not one number per row and group.
    #[error("a table of {got} numbers where {expected} are expected, one per row and group")]
    Table {
        /// Rows times groups.
        expected: usize,
        /// Numbers of the table.
        got: usize,
    },
    /// A scale that is no number in half precision, or 0 where there is a shift.
    #[error("the scale of row {row}, group {group}, {scale}, has no place in half precision")]
    Scale {
        /// The row.
        row: usize,
        /// The group.
        group: usize,
        /// The scale.
        scale: f32,
    },
    /// A shift that would move the zero point out of its range.
    #[error(
        "the shift of row {row}, group {group}, asks for the zero point {zero}, which is not between 0 and {most}"
    )]
    Zero {
        /// The row.
        row: usize,
        /// The group.
        group: usize,
        /// The zero point, not rounded.
        zero: f32,
        /// The largest one.
        most: u8,
    },
}

impl Codes {
    /// Whole numbers k (code minus zero point) and scales s, rows x groups, so that every number is s k, exactly. Blocks come
    /// apart where they are affine groups ([`Codes::as_affine`]).
    ///
    /// # Errors
    /// [`Inexact`]: why these codes are no affine groups.
    pub fn apart(&self) -> Result<(Codes, Array), Inexact> {
        let codes = self.as_affine()?;
        let Scheme::Affine(affine) = codes.scheme else { return Err(Inexact::Scheme(codes.scheme)) };
        let [rows, cols] = codes.shape();
        let mut scales = Vec::with_capacity(rows * affine.groups(cols));
        let whole = affine.whole();
        let bytes = packed(whole, rows, cols, |row, bytes| {
            let parts = affine.unpack(codes.row(row), cols);
            whole.pack(&parts, bytes);
            scales.extend(parts.scales);
        });
        let codes = Codes { scheme: Scheme::Affine(whole), rows, cols, bytes: bytes.into() };
        Ok((codes, Array::from_vec(scales, &[rows, affine.groups(cols)])))
    }

    /// The affine codes of `scales k + shifts` for the whole numbers k of these codes: scales are rounded to half precision, and
    /// a shift becomes the nearest whole number of scales that the zero point goes down by. No number moves by more than half
    /// a scale and what rounding the scale does, unless it is one that `clamp` keeps among the codes. Symmetric codes stay so
    /// where no zero point leaves the middle.
    ///
    /// # Errors
    /// [`Unfit`]: the first place where there is no such code; zero points out of range only where they are not clamped.
    pub fn joined(&self, scales: &Array, shifts: Option<&Array>, clamp: bool) -> Result<Codes, Unfit> {
        let Scheme::Affine(whole) = self.scheme else { return Err(Unfit::Scheme(self.scheme)) };
        if !whole.is_whole() {
            return Err(Unfit::Scheme(self.scheme));
        }
        let [rows, cols] = self.shape();
        let groups = whole.groups(cols);
        for table in [Some(scales), shifts].into_iter().flatten() {
            if table.len() != rows * groups {
                return Err(Unfit::Table { expected: rows * groups, got: table.len() });
            }
        }
        let middle = 1 << (whole.bits() - 1);
        let most = (0xff_u16 >> (8 - whole.bits())) as u8;
        let mut found = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut parts = whole.unpack(self.row(row), cols);
            for group in 0..groups {
                let at = row * groups + group;
                let (scale, shift) = (scales.data()[at], shifts.map_or(0.0, |shifts| shifts.data()[at]));
                let step = Half::nearest(scale).value();
                if !step.is_finite() || (step == 0.0 && (shift != 0.0 || scale != 0.0)) {
                    return Err(Unfit::Scale { row, group, scale });
                }
                let down = if shift == 0.0 { 0.0 } else { shift / step };
                let zero = f32::from(parts.zeros[group]) - down;
                let nearest = zero.round_ties_even();
                if !clamp && !(0.0..=f32::from(most)).contains(&nearest) {
                    return Err(Unfit::Zero { row, group, zero, most });
                }
                // A conversion keeps what is out of its range at the end of that.
                (parts.scales[group], parts.zeros[group]) = (step, most.min(nearest as u8));
            }
            found.push(parts);
        }
        let symmetric =
            whole.is_symmetric() && found.iter().all(|row| row.zeros.iter().all(|&zero| zero == middle));
        let Some(affine) = Affine::new(whole.bits(), whole.group(), symmetric) else {
            return Err(Unfit::Scheme(self.scheme));
        };
        let bytes = packed(affine, rows, cols, |row, bytes| affine.pack(&found[row], bytes));
        Ok(Codes { scheme: Scheme::Affine(affine), rows, cols, bytes: bytes.into() })
    }
}

/// The bytes of all rows, written one by one.
fn packed(affine: Affine, rows: usize, cols: usize, mut write: impl FnMut(usize, &mut [u8])) -> Vec<u8> {
    let size = affine.row_bytes(cols);
    let mut bytes = vec![0; rows * size];
    for row in 0..rows {
        write(row, &mut bytes[row * size..(row + 1) * size]);
    }
    bytes
}
