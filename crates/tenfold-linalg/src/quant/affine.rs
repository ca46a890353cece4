//! Affine grids: a scale and a whole zero per group of columns.

use super::grid::{Grid, Line, half_step};
use crate::error::{Error, Result};

/// Where the levels of a group lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From the least to the largest weight, with zero always inside.
    Asymmetric,
    /// From minus to plus the largest magnitude, the zero in the middle (code 2^(b-1)).
    Symmetric,
    /// From minus to plus the largest magnitude, both of them levels, so that the lowest code (of 2 and more bits) is left out.
    Absmax,
    /// Signed codes from -2^(b-1), which is exactly the weight of largest magnitude; so the scale may be negative.
    Full,
}

/// A search for a smaller range with less error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Ranges tried besides the whole one.
    pub steps: usize,
    /// The smallest one, as a share of the whole; above 0, at most 1.
    pub least: f64,
}

impl Default for Clip {
    /// Twenty ranges down to .3; each takes one pass over the weights.
    fn default() -> Self {
        Self { steps: 20, least: 0.3 }
    }
}

/// Round to `bits` bits within groups of a row: value = scale * (code - zero).
///
/// # Source
/// The quantizer of GPTQ (Frantar et al. 2023, arXiv 2210.17323); the full range as in ggml's Q4_0. The symmetric range is
/// symmetric also for groups without negative weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Bits of a code, 1 to 8.
    pub bits: u32,
    /// Columns of a group; `usize::MAX` for the whole row.
    pub group: usize,
    /// Where the levels lie.
    pub range: Range,
    /// Search for the range of least weighted squared error; `None` keeps the extremes.
    pub clip: Option<Clip>,
    /// Whether scales are rounded to f16, as files store them.
    pub half: bool,
}

impl Affine {
    /// Asymmetric min-max rounding, with scales as f64.
    pub fn new(bits: u32, group: usize) -> Self {
        Self { bits, group, range: Range::Asymmetric, clip: None, half: false }
    }

    pub(super) fn largest(&self) -> f64 {
        f64::from((1u32 << self.bits) - 1)
    }

    pub(super) fn middle(&self) -> f64 {
        f64::from(1u32 << (self.bits - 1))
    }

    pub(super) fn stored(&self, step: f64) -> f64 {
        if self.half { half_step(step) } else { step }
    }

    /// The grid that ends at the extremes.
    #[inline(always)]
    pub(super) fn whole(&self, values: &[f64]) -> AffineGroup {
        let (mut low, mut high) = (0.0f64, 0.0f64);
        for &x in values {
            low = low.min(x);
            high = high.max(x);
        }
        let most = high.max(-low);
        let (step, zero) = match self.range {
            // Nothing to represent: any step will do, and the zero of an empty range is in the middle.
            _ if most < f64::MIN_POSITIVE => (2.0 / self.largest(), (self.largest() / 2.0).round_ties_even()),
            Range::Asymmetric => {
                let step = self.stored(high / self.largest() - low / self.largest());
                (step, (-low / step).round_ties_even().min(self.largest()))
            }
            Range::Symmetric => (self.stored(most / self.largest() * 2.0), self.middle()),
            Range::Absmax => (self.stored(most / (self.largest() - self.middle()).max(1.0)), self.middle()),
            Range::Full => {
                let signed = if high >= -low { high } else { low };
                (self.stored(-signed / self.middle()), self.middle())
            }
        };
        let zero = if self.range == Range::Asymmetric { zero } else { self.middle() };
        AffineGroup { scale: step, zero: zero as u8 }
    }

    #[inline(always)]
    fn line(&self, group: &AffineGroup) -> Line {
        let zero = f64::from(group.zero);
        Line { step: group.scale, offset: 0.0, low: -zero, high: self.largest() - zero }
    }

    /// The best of smaller grids, and of those whose step fits the levels they give.
    #[inline(always)]
    fn searched(&self, whole: AffineGroup, values: &[f64], importance: &[f64], clip: Clip) -> AffineGroup {
        let mut best = (self.line(&whole).error(values, importance), whole);
        let consider = |best: &mut (f64, AffineGroup), step: f64, zero: u8| {
            let group = AffineGroup { scale: self.stored(step), zero };
            let error = self.line(&group).error(values, importance);
            if error < best.0 {
                *best = (error, group);
            }
        };
        for i in 1..=clip.steps {
            let share = 1.0 - (1.0 - clip.least) * i as f64 / clip.steps as f64;
            consider(&mut best, whole.scale * share, whole.zero);
            if self.range == Range::Full {
                consider(&mut best, -whole.scale * share, whole.zero);
            }
        }
        for _ in 0..2 {
            let (before, group) = best;
            let refitted = self.line(&group).refitted_step(values, importance);
            if refitted != 0.0 {
                consider(&mut best, refitted, group.zero);
            }
            if self.range == Range::Asymmetric {
                let AffineGroup { scale, zero } = best.1;
                consider(&mut best, scale, zero.saturating_sub(1));
                consider(&mut best, scale, zero.saturating_add(1).min(self.largest() as u8));
            }
            if best.0 >= before {
                break;
            }
        }
        best.1
    }
}

/// Scale and zero of a group.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AffineGroup {
    /// Distance of two levels; negative only in a full range.
    pub scale: f64,
    /// The code whose value is zero, 0 to 2^b - 1.
    pub zero: u8,
}

impl Grid for Affine {
    type Group = AffineGroup;
    type Cell = Line;

    fn check(&self) -> Result<()> {
        let clip_ok = self.clip.is_none_or(|clip| clip.least > 0.0 && clip.least <= 1.0);
        match () {
            () if !(1..=8).contains(&self.bits) => Err(Error::BadGrid { what: "bits outside 1 to 8" }),
            () if self.group == 0 => Err(Error::BadGrid { what: "a group of no columns" }),
            () if !clip_ok => Err(Error::BadGrid { what: "a least range outside 0 to 1" }),
            () => Ok(()),
        }
    }

    fn span(&self) -> usize {
        self.group
    }

    #[inline(always)]
    fn fit(&self, values: &[f64], importance: &[f64]) -> AffineGroup {
        let whole = self.whole(values);
        match self.clip {
            None => whole,
            Some(clip) => self.searched(whole, values, importance, clip),
        }
    }

    #[inline(always)]
    fn cell(&self, group: &AffineGroup, _index: usize) -> Line {
        self.line(group)
    }

    #[inline(always)]
    fn nearest(&self, cell: &Line, x: f64) -> f64 {
        cell.nearest(x)
    }

    #[inline(always)]
    fn value(&self, cell: &Line, level: f64) -> f64 {
        cell.value(level)
    }

    #[inline(always)]
    fn code(&self, cell: &Line, level: f64) -> i16 {
        (level - cell.low) as i16
    }

    #[inline(always)]
    fn slopes(&self, _group: &AffineGroup, _index: usize, level: f64) -> Option<[f64; 2]> {
        Some([level, 0.0])
    }

    fn with(&self, group: &AffineGroup, [step, _]: [f64; 2]) -> AffineGroup {
        AffineGroup { scale: self.stored(step), ..*group }
    }
}
