//! Codes in another scheme that means the same numbers. Nothing is rounded: where a number has no place, the reason is given.

use super::Codes;
use crate::blocks::{Block, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use crate::kernel::expand::Row;
use crate::{Affine, AffineRow, Blocks, Half, Scheme};

/// Why codes cannot be carried over to another kind of scheme without rounding.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Inexact {
    /// Codes that are neither groups nor blocks.
    #[error("{0} has neither groups nor blocks")]
    Scheme(Scheme),
    /// No block has codes of this width around such zero points.
    #[error("no block has codes of {bits} bits with {}", zeros(.symmetric))]
    Width {
        /// Bits of a code.
        bits: u8,
        /// Whether every zero point is the middle.
        symmetric: bool,
    },
    /// Groups end inside of blocks, or blocks inside of groups.
    #[error("groups of {group} columns in rows of {cols} are no whole blocks of {block}")]
    Groups {
        /// Columns of a group.
        group: usize,
        /// Columns of a row.
        cols: usize,
        /// Columns of a block.
        block: usize,
    },
    /// A scale that has more bits than a half.
    #[error("the scale of row {row}, columns from {col} on, {scale}, is no number in half precision")]
    Scale {
        /// The row.
        row: usize,
        /// The first column.
        col: usize,
        /// The scale.
        scale: f32,
    },
    /// A minimum that is no whole number of scales, or that has more bits than a half.
    #[error(
        "the minimum of row {row}, columns from {col} on, {minimum}, has no place beside the scale {scale}"
    )]
    Minimum {
        /// The row.
        row: usize,
        /// The first column.
        col: usize,
        /// The minimum.
        minimum: f32,
        /// The scale.
        scale: f32,
    },
}

fn zeros(symmetric: &bool) -> &'static str {
    if *symmetric { "zero points in the middle" } else { "zero points of their own" }
}

impl Codes {
    /// The same numbers in a scheme of blocks: blocks themselves; symmetric groups as Q4_0, Q5_0 and Q8_0 where they are whole
    /// blocks of 32; groups with zero points as Q4_1 and Q5_1 where every minimum is a half; groups of whole blocks of 256 as
    /// Q2_K to Q6_K, whose parts then all have the same scale. Nothing is rounded.
    ///
    /// # Errors
    /// [`Inexact`]: why there are no such blocks.
    pub fn as_blocks(&self) -> Result<Codes, Inexact> {
        let affine = match self.scheme {
            Scheme::Blocks(_) => return Ok(self.clone()),
            Scheme::Affine(affine) => affine,
            Scheme::Half | Scheme::Trellis(_) => return Err(Inexact::Scheme(self.scheme)),
        };
        let (bits, symmetric, group) = (affine.bits(), affine.is_symmetric(), affine.columns(self.cols));
        let wide = group.is_multiple_of(Q4K::WEIGHTS) && self.cols.is_multiple_of(Q4K::WEIGHTS);
        let blocks = match (bits, symmetric) {
            (2, _) => Blocks::Q2K,
            (3, true) => Blocks::Q3K,
            (4, true) => Blocks::Q4_0,
            (5, true) => Blocks::Q5_0,
            (6, true) => Blocks::Q6K,
            (8, true) => Blocks::Q8_0,
            (4, false) if wide => Blocks::Q4K,
            (5, false) if wide => Blocks::Q5K,
            (4, false) => Blocks::Q4_1,
            (5, false) => Blocks::Q5_1,
            _ => return Err(Inexact::Width { bits, symmetric }),
        };
        let (block, cols) = (blocks.weights(), self.cols);
        let bytes = blocks.row_bytes(cols).filter(|_| group.is_multiple_of(block));
        let row_bytes = bytes.ok_or(Inexact::Groups { group, cols, block })?;
        let mut bytes = vec![0; self.rows * row_bytes];
        let mut out = bytes.chunks_exact_mut(blocks.bytes());
        for row in 0..self.rows {
            let parts = affine.unpack(self.row(row), cols);
            for ((at, codes), out) in parts.codes.chunks_exact(block).enumerate().zip(&mut out) {
                let col = at * block;
                let (scale, zero) = (parts.scales[col / group], parts.zeros[col / group]);
                if !encode(blocks, codes, scale, zero, out) {
                    let minimum = scale * f32::from(zero);
                    return Err(Inexact::Minimum { row, col, minimum, scale });
                }
            }
        }
        Ok(Codes { scheme: Scheme::Blocks(blocks), rows: self.rows, cols, bytes: bytes.into() })
    }

    /// The same numbers in affine groups: groups themselves, and blocks whose scales are halves and whose minima are whole
    /// numbers of scales. Groups are the largest that this matrix allows. Nothing is rounded.
    ///
    /// # Errors
    /// [`Inexact`]: the first place where a number does not fit.
    pub fn as_affine(&self) -> Result<Codes, Inexact> {
        let blocks = match self.scheme {
            Scheme::Affine(_) => return Ok(self.clone()),
            Scheme::Blocks(blocks) => blocks,
            Scheme::Half | Scheme::Trellis(_) => return Err(Inexact::Scheme(self.scheme)),
        };
        let (bits, mut group) = (code_bits(blocks), blocks.part());
        let middle = 1u8 << (bits - 1);
        // Blocks have parts in every row that they divide, which the rows of such codes are.
        let Some(mut apart) = Row::new(self.scheme, self.cols) else {
            return Err(Inexact::Scheme(self.scheme));
        };
        let mut parts = Vec::with_capacity(self.rows);
        for row in 0..self.rows {
            apart.read(self.row(row));
            let count = self.cols / group;
            let mut zeros = Vec::with_capacity(count);
            for (at, (&scale, &minimum)) in apart.steps().iter().zip(apart.shifts()).take(count).enumerate() {
                let col = at * group;
                if Half::nearest(scale).value() != scale {
                    return Err(Inexact::Scale { row, col, scale });
                }
                let zero = if scale == 0.0 { f32::from(middle) } else { (minimum / scale).round() };
                let fits = (0.0..f32::from(middle) * 2.0).contains(&zero) && zero * scale == minimum;
                if !fits {
                    return Err(Inexact::Minimum { row, col, minimum, scale });
                }
                zeros.push(zero as u8);
            }
            let (codes, scales) = (apart.codes()[..self.cols].to_vec(), apart.steps()[..count].to_vec());
            parts.push(AffineRow { codes, scales, zeros });
        }
        let count = self.cols / group;
        let joined = (1..=count).rev().filter(|join| count.is_multiple_of(*join));
        let join = joined.into_iter().find(|&join| parts.iter().all(|row| equal(row, join))).unwrap_or(1);
        for row in &mut parts {
            row.scales = row.scales.iter().copied().step_by(join).collect();
            row.zeros = row.zeros.iter().copied().step_by(join).collect();
        }
        group *= join;
        let symmetric = parts.iter().all(|row| row.zeros.iter().all(|&zero| zero == middle));
        let group = if group == self.cols { 0 } else { group as u32 };
        let Some(affine) = Affine::new(bits, group, symmetric) else {
            return Err(Inexact::Width { bits, symmetric });
        };
        let size = affine.row_bytes(self.cols);
        let mut bytes = vec![0; self.rows * size];
        for (row, bytes) in parts.iter().zip(bytes.chunks_exact_mut(size.max(1))) {
            affine.pack(row, bytes);
        }
        Ok(Codes { scheme: Scheme::Affine(affine), rows: self.rows, cols: self.cols, bytes: bytes.into() })
    }
}

/// Whether so many neighbors have the same scale and zero point, everywhere in a row.
fn equal(row: &AffineRow, join: usize) -> bool {
    let scales = row.scales.chunks(join).all(|own| own.iter().all(|one| one.to_bits() == own[0].to_bits()));
    scales && row.zeros.chunks(join).all(|own| own.iter().all(|one| *one == own[0]))
}

/// Bits of a code.
fn code_bits(blocks: Blocks) -> u8 {
    match blocks {
        Blocks::Q2K => 2,
        Blocks::Q3K => 3,
        Blocks::Q4_0 | Blocks::Q4_1 | Blocks::Q4K => 4,
        Blocks::Q5_0 | Blocks::Q5_1 | Blocks::Q5K => 5,
        Blocks::Q6K => 6,
        Blocks::Q8_0 => 8,
    }
}

/// A block in which every code has this scale and zero point; false where it has no place for their product.
fn encode(blocks: Blocks, codes: &[u8], scale: f32, zero: u8, out: &mut [u8]) -> bool {
    // Scales of affine groups are halves.
    let d = Half::nearest(scale);
    let minimum = Half::nearest(-scale * f32::from(zero));
    let fits = minimum.value() == -scale * f32::from(zero);
    match blocks {
        Blocks::Q4_0 => Q4_0 { d, codes: fixed(codes, u8::from) }.pack(out),
        Blocks::Q5_0 => Q5_0 { d, codes: fixed(codes, u8::from) }.pack(out),
        Blocks::Q8_0 => Q8_0 { d, codes: fixed(codes, |code| code.wrapping_sub(128) as i8) }.pack(out),
        Blocks::Q4_1 => {
            Q4_1 { d, m: minimum, codes: fixed(codes, u8::from) }.pack(out);
            return fits;
        }
        Blocks::Q5_1 => {
            Q5_1 { d, m: minimum, codes: fixed(codes, u8::from) }.pack(out);
            return fits;
        }
        Blocks::Q2K => {
            Q2K { d, dmin: d, scales: [1; 16], minima: [zero; 16], codes: fixed(codes, u8::from) }.pack(out);
        }
        Blocks::Q4K => {
            Q4K { d, dmin: d, scales: [1; 8], minima: [zero; 8], codes: fixed(codes, u8::from) }.pack(out);
        }
        Blocks::Q5K => {
            Q5K { d, dmin: d, scales: [1; 8], minima: [zero; 8], codes: fixed(codes, u8::from) }.pack(out);
        }
        Blocks::Q3K => Q3K { d, scales: [1; 16], codes: fixed(codes, |code| code as i8 - 4) }.pack(out),
        Blocks::Q6K => Q6K { d, scales: [1; 16], codes: fixed(codes, |code| code as i8 - 32) }.pack(out),
    }
    true
}

/// The first N codes in another type.
fn fixed<T: Copy + Default, const N: usize>(codes: &[u8], of: impl Fn(u8) -> T) -> [T; N] {
    let mut found = [T::default(); N];
    found.iter_mut().zip(codes).for_each(|(found, &code)| *found = of(code));
    found
}
