//! Schemes of quantization: how numbers of a row become bytes. Each has a file with its layout and a scalar reference.

mod affine;
pub mod blocks;
mod trellis;

pub use affine::{Affine, AffineRow};
pub use blocks::Blocks;
pub use trellis::Trellis;

use crate::Half;
use std::fmt;

/// The word of the scheme of half precision.
const HALF: &str = "f16";

/// How a row of numbers is rounded and stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Scheme {
    /// Integer codes with a scale and a zero point per group.
    Affine(Affine),
    /// Blocks of fixed size, as GGUF files have them.
    Blocks(Blocks),
    /// A half-precision number (IEEE 754, little-endian) per column: what is kept in 16 bit.
    Half,
    /// Symbols read through a window that neighbors share.
    Trellis(Trellis),
}

impl Scheme {
    /// The scheme of a word as its `Display` writes it: `int4-g128`, `int2-g64-sym`, `int8-row`, `int2-g64-whole`,
    /// `q4_k`, `f16`, `trellis2-w12`.
    pub fn parse(word: &str) -> Option<Self> {
        if word == HALF {
            return Some(Self::Half);
        }
        if let Some(rest) = word.strip_prefix("trellis") {
            let (bits, window) = rest.split_once("-w")?;
            let scheme = Self::Trellis(Trellis::new(bits.parse().ok()?, window.parse().ok()?)?);
            return (scheme.to_string() == word).then_some(scheme);
        }
        if let Some(blocks) = Blocks::named(word) {
            return (blocks.name() == word).then_some(Self::Blocks(blocks));
        }
        let mut parts = word.split('-');
        let bits = parts.next()?.strip_prefix("int")?.parse().ok()?;
        let group = match parts.next()? {
            "row" => 0,
            group => group.strip_prefix('g')?.parse().ok().filter(|group| *group > 0)?,
        };
        let rest: Vec<&str> = parts.collect();
        let affine = Affine::new(bits, group, rest.contains(&"sym"))?;
        let scheme = Self::Affine(if rest.contains(&"whole") { affine.whole() } else { affine });
        (scheme.to_string() == word).then_some(scheme)
    }

    /// What the number of columns must be a multiple of.
    pub fn block(self) -> usize {
        match self {
            Self::Affine(_) | Self::Half | Self::Trellis(_) => 1,
            Self::Blocks(blocks) => blocks.weights(),
        }
    }

    /// Bytes of a row of so many columns; nothing where the scheme has no such rows.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        match self {
            Self::Affine(scheme) => Some(scheme.row_bytes(cols)),
            Self::Blocks(blocks) => blocks.row_bytes(cols),
            Self::Half => cols.checked_mul(2),
            Self::Trellis(scheme) => Some(scheme.row_bytes(cols)),
        }
    }

    /// Weights of a row that share a step and a shift, 16 or 32, where rows of `cols` are cut into such parts.
    pub(crate) fn part(self, cols: usize) -> Option<usize> {
        match self {
            Self::Affine(scheme) => scheme.part(cols),
            Self::Blocks(blocks) => Some(blocks.part()),
            Self::Half | Self::Trellis(_) => None,
        }
    }

    /// The numbers of a row.
    ///
    /// # Panics
    /// When `row` has not the bytes of a row of as many columns as `out` has numbers.
    #[track_caller]
    pub fn decode(self, row: &[u8], out: &mut [f32]) {
        match self {
            Self::Affine(scheme) => scheme.decode(row, out),
            Self::Blocks(blocks) => {
                assert_eq!(
                    self.row_bytes(out.len()),
                    Some(row.len()),
                    "bytes of a row of {} weights",
                    out.len()
                );
                let values = out.chunks_exact_mut(blocks.weights());
                row.chunks_exact(blocks.bytes())
                    .zip(values)
                    .for_each(|(bytes, values)| blocks.decode(bytes, values));
            }
            Self::Trellis(scheme) => scheme.decode(row, out),
            Self::Half => {
                assert_eq!(row.len(), 2 * out.len(), "bytes of a row of {} halves", out.len());
                out.iter_mut().enumerate().for_each(|(at, value)| *value = Half::read(row, 2 * at).value());
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Affine(scheme) => {
                write!(f, "int{}-", scheme.bits())?;
                match scheme.group() {
                    0 => f.write_str("row")?,
                    group => write!(f, "g{group}")?,
                }
                f.write_str(if scheme.is_symmetric() { "-sym" } else { "" })?;
                f.write_str(if scheme.is_whole() { "-whole" } else { "" })
            }
            Self::Blocks(blocks) => blocks.fmt(f),
            Self::Half => f.write_str(HALF),
            Self::Trellis(scheme) => write!(f, "trellis{}-w{}", scheme.bits(), scheme.window()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_schemes() {
        for word in [
            "int4-g128",
            "int2-g64-sym",
            "int8-row",
            "int3-row-sym",
            "int4-g16-whole",
            "int3-row-sym-whole",
            "q4_k",
            "q8_0",
            "f16",
            "trellis2-w12",
            "trellis4-w16",
        ] {
            assert_eq!(Scheme::parse(word).map(|scheme| scheme.to_string()).as_deref(), Some(word));
        }
        for word in [
            "",
            "int",
            "int0-row",
            "int9-g8",
            "int4",
            "int4-g0",
            "int4-g8-asym",
            "int4-g8-sym-",
            "int4-g8-whole-sym",
            "int4-whole",
            "int4-g8-sym-sym",
            "int04-g8",
            "Q4_K",
            "trellis2",
            "trellis2-w2",
            "trellis02-w8",
        ] {
            assert_eq!(Scheme::parse(word), None, "{word}");
        }
    }
}
