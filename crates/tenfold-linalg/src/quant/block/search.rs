//! The search for the scales of a block: each strip by itself, then common units, then all together.

use super::{BlockFormat, BlockScales, STRIPS};
use crate::quant::grid::{Line, half, half_step};
use crate::quant::wide::Work;

/// Ranges tried for a strip with a min: the number of steps in it, less the largest code.
const WITH_MIN: std::ops::RangeInclusive<i32> = -18..=18;
const MIN_UNIT: f64 = 0.05;
/// The same for a strip without.
const WITHOUT: std::ops::RangeInclusive<i32> = -9..=9;
const UNIT: f64 = 0.1;
/// Units tried for the scales of a block: one up to as much away from the extreme scale over the largest code.
const UNITS: std::ops::RangeInclusive<i32> = -6..=6;
const UNIT_STEP: f64 = 0.15;
/// Rounds of descent at most.
const ROUNDS: usize = 4;

/// A block to fit. `weights` counts the squared error of each value.
pub(super) struct Fit<'a> {
    pub(super) format: &'a BlockFormat,
    pub(super) values: &'a [f64],
    pub(super) weights: &'a [f64],
}

/// The best of a strip when nothing rounds its scale.
#[derive(Clone, Copy, Default)]
struct Strip {
    step: f64,
    /// At least 0, and taken away.
    min: f64,
    /// What a squared error of the step counts, and of the min.
    curvature: (f64, f64),
}

impl Work for Fit<'_> {
    type Out = BlockScales;

    #[inline(always)]
    fn run(self) -> BlockScales {
        let format = self.format;
        let mut strips = [Strip::default(); STRIPS];
        for (strip, (values, weights)) in self.strips() {
            strips[strip] = match format.mins {
                Some(_) => with_min(format, values, weights),
                None => without_min(format, values, weights),
            };
        }
        let mut found = self.units(&strips);
        let mut error = self.error(&found);
        for _ in 0..ROUNDS {
            let before = error;
            self.descend(&mut found);
            let refitted = self.refitted(&found);
            error = self.error(&found);
            let after = self.error(&refitted);
            if after < error {
                (found, error) = (refitted, after);
            }
            if error >= before * (1.0 - 1e-6) {
                break;
            }
        }
        found
    }
}

impl<'a> Fit<'a> {
    /// Runs with their number.
    #[inline(always)]
    fn strips(&self) -> impl Iterator<Item = (usize, (&'a [f64], &'a [f64]))> {
        let strip = self.format.strip;
        self.values.chunks(strip).zip(self.weights.chunks(strip)).enumerate()
    }

    #[inline(always)]
    fn error(&self, scales: &BlockScales) -> f64 {
        self.strips().map(|(strip, (x, w))| scales.line(self.format, strip).error(x, w)).sum()
    }

    /// Units and whole scales nearest to those of the strips.
    #[inline(always)]
    fn units(&self, strips: &[Strip; STRIPS]) -> BlockScales {
        let mut found = BlockScales { d: 0.0, dmin: 0.0, scales: [0; STRIPS], mins: [0; STRIPS] };
        match self.format.scales {
            None => {
                found.d = half_step(strips[0].step);
                found.scales[0] = 1;
            }
            Some(range) => {
                let steps = strips.map(|strip| (strip.step, strip.curvature.0));
                (found.d, found.scales) = unit(&steps, range);
            }
        }
        if let Some(largest) = self.format.mins {
            let mins = strips.map(|strip| (strip.min, strip.curvature.1));
            (found.dmin, found.mins) = unit(&mins, (0, largest));
        }
        found
    }

    /// Moves the scale and min of each strip by one where that lowers its error.
    #[inline(always)]
    fn descend(&self, found: &mut BlockScales) {
        let Some((low, high)) = self.format.scales else { return };
        for (strip, (values, weights)) in self.strips() {
            let (scale, min) = (found.scales[strip], found.mins[strip]);
            let mut best = (found.line(self.format, strip).error(values, weights), scale, min);
            for scale in (scale - 1).max(low)..=(scale + 1).min(high) {
                let mins = self.format.mins.map_or(0..=0, |most| (min - 1).max(0)..=(min + 1).min(most));
                for min in mins {
                    (found.scales[strip], found.mins[strip]) = (scale, min);
                    let error = found.line(self.format, strip).error(values, weights);
                    if error < best.0 {
                        best = (error, scale, min);
                    }
                }
            }
            (found.scales[strip], found.mins[strip]) = (best.1, best.2);
        }
    }

    /// Units by least squares for the codes, scales and mins as they are.
    #[inline(always)]
    fn refitted(&self, found: &BlockScales) -> BlockScales {
        let (mut aa, mut ab, mut bb, mut ax, mut bx) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (strip, (values, weights)) in self.strips() {
            let line = found.line(self.format, strip);
            let (scale, min) = (f64::from(found.scales[strip]), -f64::from(found.mins[strip]));
            let sums = sums(&line, values, weights);
            aa += scale * scale * sums.square;
            ab += scale * min * sums.level;
            bb += min * min * sums.weight;
            ax += scale * sums.product;
            bx += min * sums.value;
        }
        let determinant = aa * bb - ab * ab;
        let (d, dmin) = match () {
            () if determinant > 1e-9 * aa * bb => {
                ((bb * ax - ab * bx) / determinant, (aa * bx - ab * ax) / determinant)
            }
            () if aa > 0.0 => ((ax - ab * found.dmin) / aa, found.dmin),
            () => return *found,
        };
        BlockScales { d: half_step(d), dmin: half(dmin.max(0.0)), ..*found }
    }
}

/// Weighted sums over a strip at its nearest levels.
struct Sums {
    weight: f64,
    level: f64,
    square: f64,
    value: f64,
    product: f64,
}

#[inline(always)]
fn sums(line: &Line, values: &[f64], weights: &[f64]) -> Sums {
    const LANES: usize = 8;
    let mut sums = [[0.0; LANES]; 5];
    let mut add = |lane: usize, x: f64, w: f64| {
        let level = if line.step == 0.0 { 0.0 } else { line.nearest(x) };
        sums[0][lane] += w;
        sums[1][lane] += w * level;
        sums[2][lane] += w * level * level;
        sums[3][lane] += w * x;
        sums[4][lane] += w * level * x;
    };
    let (values, weights) = (values.as_chunks::<LANES>(), weights.as_chunks::<LANES>());
    for (x, w) in values.0.iter().zip(weights.0) {
        for lane in 0..LANES {
            add(lane, x[lane], w[lane]);
        }
    }
    values.1.iter().zip(weights.1).enumerate().for_each(|(lane, (x, w))| add(lane, *x, *w));
    let [weight, level, square, value, product] = sums.map(|lanes| lanes.iter().sum());
    Sums { weight, level, square, value, product }
}

/// The step and min of least error of a strip, by least squares for the codes of many ranges.
#[inline(always)]
fn with_min(format: &BlockFormat, values: &[f64], weights: &[f64]) -> Strip {
    let (low, high) = extremes(values);
    let low = low.min(0.0);
    let largest = f64::from(format.codes.1);
    let line = |step: f64, min: f64| Line { step, offset: 0.0 - min, low: 0.0, high: largest };
    let whole = line((high - low).max(0.0) / largest, -low);
    let mut best = (whole.error(values, weights), whole);
    if whole.step > 0.0 {
        for i in WITH_MIN {
            let steps = largest + f64::from(i) * MIN_UNIT;
            if steps > 0.0 {
                let tried = solved(&line((high - low) / steps, -low), values, weights);
                keep(&mut best, tried, values, weights);
            }
        }
        for _ in 0..3 {
            let before = best.0;
            let tried = solved(&best.1, values, weights);
            keep(&mut best, tried, values, weights);
            if best.0 >= before {
                break;
            }
        }
    }
    let Sums { square, weight, .. } = sums(&best.1, values, weights);
    Strip { step: best.1.step, min: 0.0 - best.1.offset, curvature: (square, weight) }
}

#[inline(always)]
fn keep(best: &mut (f64, Line), tried: Line, values: &[f64], weights: &[f64]) {
    let error = tried.error(values, weights);
    if error < best.0 {
        *best = (error, tried);
    }
}

/// Step and min by least squares for the levels of a line; the min is at least 0.
#[inline(always)]
fn solved(line: &Line, values: &[f64], weights: &[f64]) -> Line {
    let Sums { weight, level, square, value, product } = sums(line, values, weights);
    let determinant = weight * square - level * level;
    let (mut step, mut offset) = (line.step, line.offset);
    if determinant > 0.0 {
        step = (weight * product - level * value) / determinant;
        offset = (square * value - level * product) / determinant;
    }
    if offset > 0.0 && square > 0.0 {
        (step, offset) = (product / square, 0.0);
    }
    if step > 0.0 { Line { step, offset, ..*line } } else { *line }
}

/// The step of least error of a strip of signed codes; its sign is free where the scale of a strip may be negative.
#[inline(always)]
fn without_min(format: &BlockFormat, values: &[f64], weights: &[f64]) -> Strip {
    let (low, high) = extremes(values);
    let most = if high >= -low { high } else { low };
    let (least, largest) = (f64::from(format.codes.0), f64::from(format.codes.1));
    let line = |step: f64| Line { step, offset: 0.0, low: least, high: largest };
    if most == 0.0 {
        return Strip::default();
    }
    let first = line(most / least);
    let mut best = (first.error(values, weights), first);
    for side in [1.0, -1.0] {
        for i in WITHOUT {
            let tried = line(side * most / (least - UNIT * f64::from(i)));
            let refitted = line(tried.refitted_step(values, weights));
            if refitted.step != 0.0 {
                keep(&mut best, refitted, values, weights);
            }
        }
    }
    let Sums { square, .. } = sums(&best.1, values, weights);
    Strip { step: best.1.step, min: 0.0, curvature: (square, 0.0) }
}

#[inline(always)]
fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)))
}

/// A half-precision unit and the whole multiples of it nearest to some numbers, for the least weighted squared error.
#[inline(always)]
fn unit(numbers: &[(f64, f64); STRIPS], (low, high): (i16, i16)) -> (f64, [i16; STRIPS]) {
    let most = numbers.iter().fold(0.0f64, |most, (x, _)| if x.abs() > most.abs() { *x } else { most });
    if most == 0.0 {
        return (0.0, [0; STRIPS]);
    }
    let extreme = if low < 0 { f64::from(low) } else { f64::from(high) };
    let mut best = (f64::MAX, 0.0, [0; STRIPS]);
    for i in UNITS {
        let unit = half_step(most / (extreme + extreme.signum() * UNIT_STEP * f64::from(i)));
        let multiples =
            numbers.map(|(x, _)| (x / unit).round_ties_even().clamp(f64::from(low), f64::from(high)));
        let error: f64 =
            numbers.iter().zip(&multiples).map(|((x, w), k)| w * (x - unit * k) * (x - unit * k)).sum();
        if error < best.0 {
            best = (error, unit, multiples.map(|k| k as i16));
        }
    }
    (best.1, best.2)
}
