//! Axes: which range, where the ticks are, what they say.

use crate::report::number;

/// Decades that a logarithmic axis spans at most; what lies below is left out.
const DECADES_MOST: i32 = 8;

/// A range of values with ticks at round numbers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    ticks: Vec<f64>,
    decimals: usize,
    percent: bool,
}

impl Axis {
    /// A linear axis around all finite values, with about `wanted` ticks at its ends and between. Nothing
    /// when there are no finite values.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>, wanted: usize) -> Option<Self> {
        let (mut low, mut high) = range(values)?;
        if high - low <= f64::EPSILON * 64.0 * low.abs().max(high.abs()) {
            let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
            (low, high) = (low - margin, high + margin);
        }
        let step = round_step((high - low) / wanted.max(1) as f64)?;
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let ticks: Vec<f64> = (0..=(last - first) as usize).map(|at| (first + at as f64) * step).collect();
        let decimals = decimals_of(step);
        let (low, high) = (first * step, last * step);
        Some(Self { low, high, logarithmic: false, ticks, decimals, percent: false })
    }

    /// A linear axis that starts at zero, as lengths of bars must.
    pub(crate) fn from_zero(values: impl IntoIterator<Item = f64>, wanted: usize) -> Option<Self> {
        let (_, high) = range(values)?;
        if high <= 0.0 {
            return Self::linear([0.0, 1.0], wanted);
        }
        Self::linear([0.0, high], wanted)
    }

    /// A logarithmic axis around all positive values, with ends at 1, 2 or 5 times a power of ten. Ticks are
    /// powers of ten, at most about `wanted`, or 1, 2 and 5 where there are few. Nothing when there are no
    /// positive values.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>, wanted: usize) -> Option<Self> {
        let (low, high) = range(values.into_iter().filter(|value| *value > 0.0))?;
        let last = high.log10().ceil() as i32;
        let first = (low.log10().floor() as i32).max(last - DECADES_MOST);
        let low = low.max(10f64.powi(first));
        let candidates: Vec<f64> = (first..=last + 1)
            .flat_map(|exponent| [1.0, 2.0, 5.0].map(|lead| lead * 10f64.powi(exponent)))
            .collect();
        let below = candidates.iter().rposition(|tick| *tick <= low * (1.0 + 1e-9)).unwrap_or(0);
        let above = candidates.iter().position(|tick| *tick >= high * (1.0 - 1e-9))?.max(below + 1);
        let (low, high) = (candidates[below], candidates[above]);
        let powers: Vec<f64> = (first..=last)
            .map(|exponent| 10f64.powi(exponent))
            .filter(|tick| (low..=high).contains(tick))
            .collect();
        let ticks = if powers.len() < 3 {
            candidates[below..=above].to_vec()
        } else {
            powers.iter().copied().step_by(powers.len().div_ceil(wanted.max(1))).collect()
        };
        Some(Self { low, high, logarithmic: true, ticks, decimals: 0, percent: false })
    }

    /// The same axis with its ticks written as percentages.
    pub(crate) fn in_percent(self) -> Self {
        Self { percent: true, ..self }
    }

    /// Where a value lies, from 0 at the low end to 1 at the high one. Nothing for values outside the axis,
    /// and for those without a place on it.
    pub(crate) fn share(&self, value: f64) -> Option<f64> {
        const ROUNDING: f64 = 1e-9;
        let share = if self.logarithmic {
            (value.log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (share.is_finite() && (-ROUNDING..=1.0 + ROUNDING).contains(&share)).then(|| share.clamp(0.0, 1.0))
    }

    /// Places of the ticks with what they say.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = (f64, String)> + '_ {
        self.ticks.iter().filter_map(|tick| Some((self.share(*tick)?, self.word(*tick))))
    }

    fn word(&self, tick: f64) -> String {
        if self.percent {
            return number::percent(tick);
        }
        match tick.abs() {
            size if size >= 1e6 || (size > 0.0 && size < 1e-4) => number::power(tick),
            size if size >= 1e4 => number::count(size as u64),
            size if self.logarithmic => number::fixed(tick, decimals_of(size)),
            _ => number::fixed(tick, self.decimals),
        }
    }
}

/// The least and greatest finite value.
fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    finite.fold(None, |known, value| {
        let (low, high) = known.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// The least of 1, 2 and 5 times a power of ten that is not below `step`; nothing beyond the range of
/// numbers.
fn round_step(step: f64) -> Option<f64> {
    let power = 10f64.powf(step.log10().floor());
    if !power.is_normal() || !step.is_finite() {
        return None;
    }
    let lead =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|lead| lead * power >= step * (1.0 - 1e-9)).unwrap_or(10.0);
    Some(lead * power)
}

/// Decimals that it takes to write a round step.
fn decimals_of(step: f64) -> usize {
    (-(step * (1.0 + 1e-9)).log10().floor()).clamp(0.0, 9.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(axis: Option<Axis>) -> Vec<String> {
        axis.unwrap().ticks().map(|(_, word)| word).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(words(Axis::linear([0.93, 1.0], 4)), ["0.92", "0.94", "0.96", "0.98", "1.00"]);
        assert_eq!(words(Axis::linear([0.0, 400.0], 4)), ["0", "100", "200", "300", "400"]);
        assert_eq!(words(Axis::from_zero([37.0, 90.9], 5)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(
            words(Axis::linear([0.0, 30_000.0], 3)),
            ["0", "10.0\u{a0}k", "20.0\u{a0}k", "30.0\u{a0}k"]
        );
    }

    #[test]
    fn logarithmic_ticks_are_decades_or_one_two_five() {
        assert_eq!(words(Axis::log([0.0, 0.003, 90.0], 6)), ["0.01", "0.1", "1", "10", "100"]);
        assert_eq!(words(Axis::log([0.012, 0.15], 5)), ["0.01", "0.02", "0.05", "0.1", "0.2"]);
        assert_eq!(words(Axis::log([1e-30, 1.0], 4)), ["1e\u{2212}8", "1e\u{2212}5", "0.01"]);
        let ends = Axis::log([0.003, 90.0], 6).map(|axis| (axis.low, axis.high));
        assert_eq!(ends, Some((0.002, 100.0)));
        assert_eq!(
            words(Axis::linear([0.0, 0.2], 2).map(Axis::in_percent)),
            ["0\u{a0}%", "10\u{a0}%", "20\u{a0}%"]
        );
    }

    #[test]
    fn one_value_has_an_axis_around_it() {
        for axis in
            [Axis::linear([5.0], 4), Axis::linear([0.0], 4), Axis::log([5.0], 4), Axis::from_zero([0.0], 4)]
        {
            let axis = axis.unwrap();
            assert!(axis.low < axis.high && axis.ticks.len() >= 2, "{axis:?}");
        }
        assert_eq!(Axis::log([5.0], 4).unwrap().share(5.0), Some(0.0));
    }

    #[test]
    fn values_without_a_place_have_none() {
        assert_eq!(Axis::linear([], 4), None);
        assert_eq!(Axis::linear([f64::NAN, f64::INFINITY], 4), None);
        assert_eq!(Axis::linear([-1e308, 1e308], 4), None);
        assert_eq!(Axis::log([0.0, -1.0], 4), None);
        let axis = Axis::log([0.1, 10.0], 4).unwrap();
        assert_eq!([axis.share(0.0), axis.share(f64::NAN), axis.share(100.0)], [None; 3]);
        assert_eq!(axis.share(1.0), Some(0.5));
    }

    #[test]
    fn tiny_ranges_far_from_zero_do_not_blow_up() {
        let axis = Axis::linear([1e15, 1e15 + 1.0], 4).unwrap();
        assert!(axis.ticks.len() < 12, "{axis:?}");
    }
}
