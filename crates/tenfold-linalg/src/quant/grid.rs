//! What the solvers know of a way to store a matrix in few bits: groups of columns that share parameters, and the values
//! that parameters allow.

use crate::error::{Error, Result};

/// Values that a row of codes can take. One implementation serves plain rounding and error feedback alike.
///
/// A row is cut into groups of [`Grid::span`] columns. The parameters of a group are fitted at once, to weights and the
/// importance of their columns; then its columns are rounded one by one. Columns of one strip ([`Grid::strip`] of a group)
/// round in the same way, and what rounding needs of the parameters there is a cell.
pub trait Grid: Sync {
    /// What is stored for a group besides its codes.
    type Group: Copy + Send + Sync;
    /// What rounding needs to know at one column.
    type Cell: Copy;

    /// Fails when the parameters of the grid itself are impossible.
    ///
    /// # Errors
    /// [`Error::BadGrid`].
    fn check(&self) -> Result<()>;

    /// Columns that share parameters, at least 1; the last group of a row may have fewer. `usize::MAX` is the whole row.
    fn span(&self) -> usize;

    /// Columns of a group that round alike; divides the span, or equals it.
    fn strip(&self) -> usize {
        self.span()
    }

    /// Parameters for some weights. `importance` has one number per weight, at least 0 and not all zero.
    fn fit(&self, values: &[f64], importance: &[f64]) -> Self::Group;

    /// The cell of strip `index` of a group.
    fn cell(&self, group: &Self::Group, index: usize) -> Self::Cell;

    /// The level nearest to `x`, as a whole number that [`Grid::value`] and [`Grid::code`] understand.
    fn nearest(&self, cell: &Self::Cell, x: f64) -> f64;

    /// The number that a level stands for.
    fn value(&self, cell: &Self::Cell, level: f64) -> f64;

    /// The stored code of a level.
    fn code(&self, cell: &Self::Cell, level: f64) -> i16;

    /// How the value of a level moves with the two real parameters of a group: value = first * p0 + second * p1 with the
    /// parameters that [`Grid::with`] takes. `None` where the values are not linear in parameters.
    fn slopes(&self, _group: &Self::Group, _index: usize, _level: f64) -> Option<[f64; 2]> {
        None
    }

    /// How the value of a level moves when the whole scale of its strip goes up by one, and when its min does. `None` where strips
    /// have neither.
    fn strip_slopes(&self, _group: &Self::Group, _level: f64) -> Option<[f64; 2]> {
        None
    }

    /// The group after whole steps near to these of scale and min of a strip, as far as they can go, and the steps.
    fn stepped(&self, group: &Self::Group, _index: usize, _steps: [f64; 2]) -> (Self::Group, [f64; 2]) {
        (*group, [0.0; 2])
    }

    /// The group with other real parameters, rounded as they are stored.
    fn with(&self, group: &Self::Group, _parameters: [f64; 2]) -> Self::Group {
        *group
    }
}

/// Levels at equal distance: step * level + offset, for whole levels between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Distance of two levels; its sign is free. At zero all levels are equal.
    pub step: f64,
    /// Value of level 0.
    pub offset: f64,
    /// Least level.
    pub low: f64,
    /// Largest level.
    pub high: f64,
}

impl Line {
    /// The level whose value is nearest to `x`; ties go to the even level.
    #[inline(always)]
    pub fn nearest(&self, x: f64) -> f64 {
        // Adding and taking away 1.5 * 2^52 rounds to whole numbers, ties to even, on every instruction set.
        const SHIFT: f64 = 6_755_399_441_055_744.0;
        let level = ((x - self.offset) / self.step).max(self.low).min(self.high);
        (level + SHIFT) - SHIFT
    }

    /// The value of a level.
    #[inline(always)]
    pub fn value(&self, level: f64) -> f64 {
        self.step * level + self.offset
    }

    /// Sum of importance times squared error when every value goes to its nearest level.
    #[inline(always)]
    pub fn error(&self, values: &[f64], importance: &[f64]) -> f64 {
        self.moments(values, importance, |sums: &mut f64, x, _, weight, value| {
            *sums += weight * (x - value) * (x - value);
        })
    }

    /// Sums over values in lanes, so that they run in registers: `add` gets the sum, the value, its level, its
    /// importance and the value of the level.
    #[inline(always)]
    fn moments(&self, values: &[f64], importance: &[f64], add: impl Fn(&mut f64, f64, f64, f64, f64)) -> f64 {
        let mut sums = [0.0; 8];
        let (values, importance) = (values.as_chunks::<8>(), importance.as_chunks::<8>());
        for (x, weight) in values.0.iter().zip(importance.0) {
            for lane in 0..8 {
                let level = self.nearest(x[lane]);
                add(&mut sums[lane], x[lane], level, weight[lane], self.value(level));
            }
        }
        let mut rest = 0.0;
        for (&x, &weight) in values.1.iter().zip(importance.1) {
            let level = self.nearest(x);
            add(&mut rest, x, level, weight, self.value(level));
        }
        sums.iter().sum::<f64>() + rest
    }

    /// The step that is best for the levels which the values have now, with the offset as it is.
    #[inline(always)]
    pub(crate) fn refitted_step(&self, values: &[f64], importance: &[f64]) -> f64 {
        let square =
            self.moments(values, importance, |sum, _, level, weight, _| *sum += weight * level * level);
        let product = self.moments(values, importance, |sum, x, level, weight, _| {
            *sum += weight * level * (x - self.offset);
        });
        if square > 0.0 { product / square } else { self.step }
    }
}

/// A number rounded to a half-precision one (ties to even), at most 65504 in magnitude.
pub fn half(x: f64) -> f64 {
    const LARGEST: f64 = 65504.0;
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let exponent = (((x.to_bits() >> 52) & 0x7ff) as i32 - 1023).max(-14);
    // 2^(exponent - 10), the distance of neighbors there.
    let quantum = f64::from_bits(((exponent - 10 + 1023) as u64) << 52);
    ((x / quantum).round_ties_even() * quantum).clamp(-LARGEST, LARGEST)
}

/// [`half`] for a step, which must not vanish where the values do not.
pub(crate) fn half_step(x: f64) -> f64 {
    const LEAST: f64 = 5.960_464_477_539_063e-8;
    let rounded = half(x);
    if rounded == 0.0 && x != 0.0 { LEAST.copysign(x) } else { rounded }
}

/// Fails unless there is one finite number of at least zero per column.
pub(crate) fn check_importance(importance: &[f64], cols: usize) -> Result<()> {
    if importance.len() != cols {
        return Err(Error::BufferLength { rows: 1, cols, expected: cols, got: importance.len() });
    }
    match importance.iter().position(|v| !(v.is_finite() && *v >= 0.0)) {
        None => Ok(()),
        Some(col) => Err(Error::BadImportance { col, value: importance[col] }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_those_of_the_standard() {
        for (x, want) in [
            (1.0, 1.0),
            (1.0 + 1.0 / 2048.0, 1.0),
            (1.0 + 3.0 / 2048.0, 1.0 + 2.0 / 1024.0),
            (-0.333_333_333, -0.333_251_953_125),
            (6e-8, 5.960_464_477_539_063e-8),
            (2e-8, 0.0),
            (1e6, 65504.0),
            (65519.0, 65504.0),
        ] {
            assert_eq!(half(x), want, "{x}");
        }
        assert_eq!(half_step(-1e-12), -5.960_464_477_539_063e-8);
    }

    #[test]
    fn the_nearest_level_is_nearest() {
        let line = Line { step: -0.25, offset: 0.125, low: -8.0, high: 7.0 };
        for i in -400..400 {
            let x = f64::from(i) * 0.013;
            let level = line.nearest(x);
            let best = (-8..8).map(|l| (line.value(f64::from(l)) - x).abs()).fold(f64::MAX, f64::min);
            assert!((line.value(level) - x).abs() <= best + 1e-15, "{x}");
        }
        let flat = Line { step: 0.0, offset: 0.0, low: 0.0, high: 3.0 };
        assert!(flat.value(flat.nearest(0.0)) == 0.0);
    }
}
