//! Blocks of fixed size with scales on one or two levels, as GGUF files hold them.
//!
//! A block has a half-precision d and, in some formats, dmin. Runs of its columns have small whole scales and mins, and a
//! weight is d * scale * code - dmin * min.

mod search;

use super::grid::{Grid, Line, half, half_step};
use super::wide::widest;
use crate::error::{Error, Result};

/// Runs of a block at most.
const STRIPS: usize = 16;

/// What a block can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockFormat {
    /// Weights of a block.
    pub block: usize,
    /// Weights that share a scale, at most 32; a block has at most 16 such strips.
    pub strip: usize,
    /// Least and largest code.
    pub codes: (i16, i16),
    /// Least and largest scale of a strip; `None` where d alone scales.
    pub scales: Option<(i16, i16)>,
    /// Largest min of a strip; `None` where weights have no offset.
    pub mins: Option<i16>,
}

impl BlockFormat {
    /// 4 bits, one scale for 32.
    pub const Q4_0: Self = Self { block: 32, strip: 32, codes: (-8, 7), scales: None, mins: None };
    /// 5 bits, one scale for 32.
    pub const Q5_0: Self = Self { codes: (-16, 15), ..Self::Q4_0 };
    /// 8 bits, one scale for 32.
    pub const Q8_0: Self = Self { codes: (-127, 127), ..Self::Q4_0 };
    /// 2 bits, 4-bit scale and min for 16.
    pub const Q2_K: Self =
        Self { block: 256, strip: 16, codes: (0, 3), scales: Some((0, 15)), mins: Some(15) };
    /// 3 bits, 6-bit signed scale for 16.
    pub const Q3_K: Self =
        Self { block: 256, strip: 16, codes: (-4, 3), scales: Some((-32, 31)), mins: None };
    /// 4 bits, 6-bit scale and min for 32.
    pub const Q4_K: Self =
        Self { block: 256, strip: 32, codes: (0, 15), scales: Some((0, 63)), mins: Some(63) };
    /// 5 bits, 6-bit scale and min for 32.
    pub const Q5_K: Self = Self { codes: (0, 31), ..Self::Q4_K };
    /// 6 bits, 8-bit signed scale for 16.
    pub const Q6_K: Self =
        Self { block: 256, strip: 16, codes: (-32, 31), scales: Some((-128, 127)), mins: None };
}

/// A block format as a [`Grid`]: scales are searched for least weighted error on both levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What a block can hold.
    pub format: BlockFormat,
    /// Multiplies the importance of each weight by sqrt(s^2 + x^2), with s^2 the mean square of its block: errors of large
    /// weights count more, where nothing better than the importance of columns is known.
    pub magnitude: bool,
}

impl Block {
    /// Blocks whose error is weighted by the importance of columns alone.
    pub fn new(format: BlockFormat) -> Self {
        Self { format, magnitude: false }
    }
}

/// The scales of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockScales {
    /// Unit of the scales, a half-precision number.
    pub d: f64,
    /// Unit of the mins, a half-precision number; 0 where the format has none.
    pub dmin: f64,
    /// Scale of each strip; 1 where d alone scales, 0 for strips that the block does not have.
    pub scales: [i16; STRIPS],
    /// Min of each strip.
    pub mins: [i16; STRIPS],
}

impl BlockScales {
    /// The levels of a strip.
    #[inline(always)]
    fn line(&self, format: &BlockFormat, strip: usize) -> Line {
        Line {
            step: self.d * f64::from(self.scales[strip]),
            // Taken from zero, so that an offset of zero is no negative one.
            offset: 0.0 - self.dmin * f64::from(self.mins[strip]),
            low: f64::from(format.codes.0),
            high: f64::from(format.codes.1),
        }
    }
}

impl Grid for Block {
    type Group = BlockScales;
    type Cell = Line;

    fn check(&self) -> Result<()> {
        let BlockFormat { block, strip, codes, scales, mins } = self.format;
        let fits = (1..=32).contains(&strip)
            && block.is_multiple_of(strip)
            && (1..=STRIPS).contains(&(block / strip));
        let ordered = codes.0 <= 0 && codes.1 > 0 && scales.is_none_or(|(low, high)| low <= 0 && high > 0);
        match () {
            () if !fits => {
                Err(Error::BadGrid { what: "a block that is not 1 to 16 strips of 1 to 32 weights" })
            }
            () if !ordered => Err(Error::BadGrid { what: "a range of codes or scales without 0 and 1" }),
            () if mins.is_some() && (codes.0 != 0 || scales.is_none_or(|(low, _)| low != 0)) => {
                Err(Error::BadGrid { what: "mins beside signed codes or scales" })
            }
            () => Ok(()),
        }
    }

    fn span(&self) -> usize {
        self.format.block
    }

    fn strip(&self) -> usize {
        self.format.strip
    }

    fn fit(&self, values: &[f64], importance: &[f64]) -> BlockScales {
        let mut weights = importance.to_vec();
        if self.magnitude && !values.is_empty() {
            let mean = values.iter().map(|x| x * x).sum::<f64>() / values.len() as f64;
            weights.iter_mut().zip(values).for_each(|(weight, x)| *weight *= (mean + x * x).sqrt());
        }
        widest(search::Fit { format: &self.format, values, weights: &weights })
    }

    #[inline(always)]
    fn cell(&self, group: &BlockScales, index: usize) -> Line {
        group.line(&self.format, index)
    }

    #[inline(always)]
    fn nearest(&self, cell: &Line, x: f64) -> f64 {
        // Runs without a scale hold one value; any code would do.
        if cell.step == 0.0 { 0.0 } else { cell.nearest(x) }
    }

    #[inline(always)]
    fn value(&self, cell: &Line, level: f64) -> f64 {
        cell.value(level)
    }

    #[inline(always)]
    fn code(&self, _cell: &Line, level: f64) -> i16 {
        level as i16
    }

    #[inline(always)]
    fn slopes(&self, group: &BlockScales, index: usize, level: f64) -> Option<[f64; 2]> {
        Some([f64::from(group.scales[index]) * level, -f64::from(group.mins[index])])
    }

    #[inline(always)]
    fn strip_slopes(&self, group: &BlockScales, level: f64) -> Option<[f64; 2]> {
        self.format.scales.map(|_| [group.d * level, -group.dmin])
    }

    #[inline(always)]
    fn stepped(&self, group: &BlockScales, index: usize, steps: [f64; 2]) -> (BlockScales, [f64; 2]) {
        let moved = |from: i16, step: f64, (low, high): (i16, i16)| {
            let to = (f64::from(from) + step).round_ties_even().max(f64::from(low)).min(f64::from(high));
            (to as i16, to - f64::from(from))
        };
        let mut after = *group;
        let (scale, a) = moved(group.scales[index], steps[0], self.format.scales.unwrap_or((1, 1)));
        let (min, b) = moved(group.mins[index], steps[1], (0, self.format.mins.unwrap_or(0)));
        (after.scales[index], after.mins[index]) = (scale, min);
        (after, [a, b])
    }

    fn with(&self, group: &BlockScales, [d, dmin]: [f64; 2]) -> BlockScales {
        BlockScales { d: half_step(d), dmin: half(dmin), ..*group }
    }
}
