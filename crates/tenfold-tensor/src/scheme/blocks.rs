//! Schemes of blocks: how numbers of few bits lie in blocks of bytes, and what they mean.
//!
//! Such a scheme cuts a row of weights into blocks of equal size. Each has one file, with a plain struct of the numbers that
//! a block stores (codes, scales of parts, minima, and the halves `d` and `dmin` that scale those), [`Block::unpack`]
//! and [`Block::pack`] between struct and bytes, and [`Block::decode`], the scalar definition of the values. Finding
//! good numbers is not the business of a scheme: the quantizers here ([`Nearest`]) round every weight to the nearest
//! code of a scale that the extremes dictate.
//!
//! Layouts are those of the block structures of ggml; all numbers in them are little-endian.

mod part;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub use q2_k::Q2K;
pub use q3_k::Q3K;
pub use q4_0::Q4_0;
pub use q4_1::Q4_1;
pub use q4_k::Q4K;
pub use q5_0::Q5_0;
pub use q5_1::Q5_1;
pub use q5_k::Q5K;
pub use q6_k::Q6K;
pub use q8_0::Q8_0;

use crate::{Error, Half, par};

/// The numbers of one block.
pub trait Block: Clone + PartialEq + std::fmt::Debug {
    /// Weights in a block.
    const WEIGHTS: usize;
    /// Bytes of a block.
    const BYTES: usize;
    /// Weights that share a step and a shift, 16 or 32.
    const PART: usize;

    /// The numbers in the first [`Block::BYTES`] bytes. Every pattern of bits is some block.
    ///
    /// # Panics
    /// When there are fewer bytes.
    fn unpack(bytes: &[u8]) -> Self;

    /// Writes the first [`Block::BYTES`] bytes, the inverse of [`Block::unpack`]. Of a number outside its range only
    /// the low bits are written; its neighbors stay as they are.
    ///
    /// # Panics
    /// When there is less room.
    fn pack(&self, bytes: &mut [u8]);

    /// Takes blocks that lie end to end apart into whole numbers from 0 on: a weight is `step code - shift`, exactly, with a code
    /// of its own and the step and shift of its part. Blocks beyond the room for their numbers are left out. `value` converts halves.
    fn expand(
        bytes: &[u8],
        codes: &mut [u8],
        steps: &mut [f32],
        shifts: &mut [f32],
        value: impl Fn(Half) -> f32,
    );

    /// The values of the weights, [`Block::WEIGHTS`] of them, in f32: the definition of the scheme.
    ///
    /// # Panics
    /// When `values` has less room.
    fn decode(&self, values: &mut [f32]);
}

/// A block whose numbers the extremes of its weights dictate.
pub trait Nearest: Block {
    /// The block nearest to [`Block::WEIGHTS`] finite weights under the scale that their extremes dictate.
    ///
    /// # Panics
    /// When there are fewer weights.
    fn nearest(weights: &[f32]) -> Self;

    /// Whether the halves of the block are finite, so that it decodes to numbers.
    fn is_finite(&self) -> bool;
}

/// A scheme that stores weights in blocks of fixed size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Blocks {
    /// [`Q4_0`]: 32 codes of 4 bits around 8, one scale.
    Q4_0,
    /// [`Q4_1`]: 32 codes of 4 bits, scale and minimum.
    Q4_1,
    /// [`Q5_0`]: 32 codes of 5 bits around 16, one scale.
    Q5_0,
    /// [`Q5_1`]: 32 codes of 5 bits, scale and minimum.
    Q5_1,
    /// [`Q8_0`]: 32 signed codes of 8 bits, one scale.
    Q8_0,
    /// [`Q2K`]: 256 codes of 2 bits, 16 scales and minima of 4 bits.
    Q2K,
    /// [`Q3K`]: 256 signed codes of 3 bits, 16 signed scales of 6 bits.
    Q3K,
    /// [`Q4K`]: 256 codes of 4 bits, 8 scales and minima of 6 bits.
    Q4K,
    /// [`Q5K`]: 256 codes of 5 bits, 8 scales and minima of 6 bits.
    Q5K,
    /// [`Q6K`]: 256 signed codes of 6 bits, 16 signed scales of 8 bits.
    Q6K,
}

/// Evaluates an expression in which `$block` is the block type of a scheme.
macro_rules! with_block {
    ($scheme:expr, $block:ident => $body:expr) => {
        match $scheme {
            $crate::Blocks::Q4_0 => {
                type $block = $crate::blocks::Q4_0;
                $body
            }
            $crate::Blocks::Q4_1 => {
                type $block = $crate::blocks::Q4_1;
                $body
            }
            $crate::Blocks::Q5_0 => {
                type $block = $crate::blocks::Q5_0;
                $body
            }
            $crate::Blocks::Q5_1 => {
                type $block = $crate::blocks::Q5_1;
                $body
            }
            $crate::Blocks::Q8_0 => {
                type $block = $crate::blocks::Q8_0;
                $body
            }
            $crate::Blocks::Q2K => {
                type $block = $crate::blocks::Q2K;
                $body
            }
            $crate::Blocks::Q3K => {
                type $block = $crate::blocks::Q3K;
                $body
            }
            $crate::Blocks::Q4K => {
                type $block = $crate::blocks::Q4K;
                $body
            }
            $crate::Blocks::Q5K => {
                type $block = $crate::blocks::Q5K;
                $body
            }
            $crate::Blocks::Q6K => {
                type $block = $crate::blocks::Q6K;
                $body
            }
        }
    };
}
pub(crate) use with_block;

impl Blocks {
    /// All schemes.
    pub const ALL: [Blocks; 10] = [
        Blocks::Q4_0,
        Blocks::Q4_1,
        Blocks::Q5_0,
        Blocks::Q5_1,
        Blocks::Q8_0,
        Blocks::Q2K,
        Blocks::Q3K,
        Blocks::Q4K,
        Blocks::Q5K,
        Blocks::Q6K,
    ];

    /// Its name in recipes and on the command line, such as `q4_k`; GGUF writes it in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Blocks::Q4_0 => "q4_0",
            Blocks::Q4_1 => "q4_1",
            Blocks::Q5_0 => "q5_0",
            Blocks::Q5_1 => "q5_1",
            Blocks::Q8_0 => "q8_0",
            Blocks::Q2K => "q2_k",
            Blocks::Q3K => "q3_k",
            Blocks::Q4K => "q4_k",
            Blocks::Q5K => "q5_k",
            Blocks::Q6K => "q6_k",
        }
    }

    /// The scheme with this name, in small letters or capitals.
    pub fn named(name: &str) -> Option<Blocks> {
        Blocks::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }

    /// Weights in a block.
    pub const fn weights(self) -> usize {
        with_block!(self, B => B::WEIGHTS)
    }

    /// Bytes of a block.
    pub const fn bytes(self) -> usize {
        with_block!(self, B => B::BYTES)
    }

    /// Weights that share a step and a shift.
    pub(crate) const fn part(self) -> usize {
        with_block!(self, B => B::PART)
    }

    /// Bits per weight, with all scales; exact, since blocks have a power of two of weights.
    pub fn bits(self) -> f64 {
        (8 * self.bytes()) as f64 / self.weights() as f64
    }

    /// Bytes of a row of `width` weights, `None` where that is no whole number of blocks.
    pub const fn row_bytes(self, width: usize) -> Option<usize> {
        if width.is_multiple_of(self.weights()) { Some(width / self.weights() * self.bytes()) } else { None }
    }

    /// The values of the first block of `bytes`.
    ///
    /// # Panics
    /// When `bytes` is shorter than a block, or `values` has less room than its weights.
    pub fn decode(self, bytes: &[u8], values: &mut [f32]) {
        with_block!(self, B => B::unpack(bytes).decode(values));
    }

    /// The values of rows that lie end to end, `width` to a row.
    ///
    /// # Errors
    /// [`Error::SchemeWidth`] where a row is no whole number of blocks, [`Error::SchemeBytes`] where `bytes` is no
    /// whole number of rows.
    pub fn decode_rows(self, bytes: &[u8], width: usize) -> Result<Vec<f32>, Error> {
        let row = self.checked_row(width)?;
        if row == 0 || !bytes.len().is_multiple_of(row) {
            return Err(Error::SchemeBytes { scheme: self.name(), row, got: bytes.len() });
        }
        let (weights, size) = (self.weights(), self.bytes());
        let mut values = vec![0.0; bytes.len() / size * weights];
        par::chunks_mut(&mut values, par::GRAIN.next_multiple_of(weights), |start, chunk| {
            let blocks = bytes[start / weights * size..].chunks_exact(size);
            for (values, block) in chunk.chunks_exact_mut(weights).zip(blocks) {
                self.decode(block, values);
            }
        });
        Ok(values)
    }

    /// Whether [`Blocks::nearest_rows`] knows this scheme.
    pub const fn has_nearest(self) -> bool {
        matches!(self, Blocks::Q4_0 | Blocks::Q4_1 | Blocks::Q5_0 | Blocks::Q5_1 | Blocks::Q8_0)
    }

    /// Rows of `width` weights that lie end to end, each weight rounded to the nearest code of the scale that the
    /// extremes of its block dictate: the reference quantizers of ggml. Nothing is searched.
    ///
    /// # Errors
    /// [`Error::SchemeWidth`]; [`Error::SchemeBytes`] where `values` is no whole number of rows;
    /// [`Error::SchemeValue`] for a weight that is not finite, or so large that the scale of its block is no finite
    /// half; [`Error::SchemeSearch`] for a scheme whose codes need a search.
    pub fn nearest_rows(self, values: &[f32], width: usize) -> Result<Vec<u8>, Error> {
        self.checked_row(width)?;
        if width == 0 || !values.len().is_multiple_of(width) {
            return Err(Error::SchemeBytes { scheme: self.name(), row: width, got: values.len() });
        }
        match self {
            Blocks::Q4_0 => nearest::<Q4_0>(self, values),
            Blocks::Q4_1 => nearest::<Q4_1>(self, values),
            Blocks::Q5_0 => nearest::<Q5_0>(self, values),
            Blocks::Q5_1 => nearest::<Q5_1>(self, values),
            Blocks::Q8_0 => nearest::<Q8_0>(self, values),
            _ => Err(Error::SchemeSearch { scheme: self.name() }),
        }
    }

    fn checked_row(self, width: usize) -> Result<usize, Error> {
        let error = Error::SchemeWidth { scheme: self.name(), block: self.weights(), width };
        self.row_bytes(width).ok_or(error)
    }
}

impl std::fmt::Display for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn nearest<B: Nearest>(scheme: Blocks, values: &[f32]) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; values.len() / B::WEIGHTS * B::BYTES];
    for (i, (weights, bytes)) in
        values.chunks_exact(B::WEIGHTS).zip(bytes.chunks_exact_mut(B::BYTES)).enumerate()
    {
        let block = B::nearest(weights);
        if !block.is_finite() || weights.iter().any(|w| !w.is_finite()) {
            return Err(Error::SchemeValue { scheme: scheme.name(), position: i * B::WEIGHTS });
        }
        block.pack(bytes);
    }
    Ok(bytes)
}

/// 1 / `scale`, or 0 where all weights of a block are equal and any code will do.
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// `weight * inverse + shift` cut to a whole number from 0 to `top`; in double precision, so that the product is not
/// rounded before the sum.
fn code(weight: f32, inverse: f32, shift: f64, top: u8) -> u8 {
    let place = f64::from(weight) * f64::from(inverse) + shift;
    (place as i64).clamp(0, i64::from(top)) as u8
}

/// The weight of largest magnitude, with its sign; the first of several.
fn extreme(weights: &[f32]) -> f32 {
    weights.iter().fold(0.0f32, |top, &w| if w.abs() > top.abs() { w } else { top })
}

/// The least and the largest weight.
fn range(weights: &[f32]) -> (f32, f32) {
    weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &w| (low.min(w), high.max(w)))
}
