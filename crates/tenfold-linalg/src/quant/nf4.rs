//! NF4: sixteen levels at quantiles of the normal distribution, scaled by the largest magnitude of a block.

use super::grid::Grid;
use crate::error::{Error, Result};

/// The levels, for numbers between -1 and 1.
///
/// # Source
/// QLoRA (Dettmers et al. 2023, arXiv 2305.14314), appendix E.
pub const LEVELS: [f64; 16] = [
    -1.0,
    -0.696_192_800_998_687_7,
    -0.525_073_051_452_636_7,
    -0.394_917_488_098_144_53,
    -0.284_441_381_692_886_35,
    -0.184_773_430_228_233_34,
    -0.091_050_036_251_544_95,
    0.0,
    0.079_580_299_556_255_34,
    0.160_930_201_411_247_25,
    0.246_112_301_945_686_34,
    0.337_915_241_718_292_24,
    0.440_709_829_330_444_34,
    0.562_617_003_917_694_1,
    0.722_956_836_223_602_3,
    1.0,
];

/// NF4 with one absolute maximum per block of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nf4 {
    /// Columns of a block; files use 64.
    pub block: usize,
}

impl Grid for Nf4 {
    /// The largest magnitude, as f32 holds it.
    type Group = f64;
    type Cell = f64;

    fn check(&self) -> Result<()> {
        if self.block == 0 { Err(Error::BadGrid { what: "a block of no columns" }) } else { Ok(()) }
    }

    fn span(&self) -> usize {
        self.block
    }

    #[inline(always)]
    fn fit(&self, values: &[f64], _importance: &[f64]) -> f64 {
        f64::from(values.iter().fold(0.0f64, |most, x| most.max(x.abs())) as f32)
    }

    #[inline(always)]
    fn cell(&self, group: &f64, _index: usize) -> f64 {
        *group
    }

    #[inline(always)]
    fn nearest(&self, cell: &f64, x: f64) -> f64 {
        if *cell == 0.0 {
            return 7.0;
        }
        let x = x / cell;
        // Every boundary between two neighbors that lies below counts one level.
        LEVELS.windows(2).map(|pair| f64::from(u8::from(x > 0.5 * (pair[0] + pair[1])))).sum()
    }

    #[inline(always)]
    fn value(&self, cell: &f64, level: f64) -> f64 {
        LEVELS[(level as usize).min(15)] * cell
    }

    #[inline(always)]
    fn code(&self, _cell: &f64, level: f64) -> i16 {
        level as i16
    }

    #[inline(always)]
    fn slopes(&self, _group: &f64, _index: usize, level: f64) -> Option<[f64; 2]> {
        Some([LEVELS[(level as usize).min(15)], 0.0])
    }

    fn with(&self, _group: &f64, [most, _]: [f64; 2]) -> f64 {
        f64::from(most as f32)
    }
}
