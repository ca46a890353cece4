//! Rounding tuned by signs of gradients: offsets of the rounding, weight by weight, and the ends of the range of each group.
//!
//! Rows do not know of each other: each keeps the best rounding that it ever had, that of the start included.

use std::ops::Range as Span;

use super::affine::{Affine, AffineGroup, Range};
use super::gptq::{Quantized, diagonal, spans};
use super::grid::Grid;
use crate::error::{Error, Result};
use crate::kernel;
use crate::matrix::Matrix;
use crate::parallel;

/// How [`signround`] goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignOptions {
    /// Steps; each takes one product of the missed weights with the moment.
    pub iterations: usize,
    /// Whether the ends of ranges move too.
    pub ends: bool,
}

impl Default for SignOptions {
    /// 200 steps, ends included.
    fn default() -> Self {
        Self { iterations: 200, ends: true }
    }
}

/// The smallest share of a range that an end can shrink to.
const LEAST: f64 = 0.01;

/// Moves a rounding of `w` to another with less tr((W - Q) H (W - Q)^T) for inputs with second moment `h` (I x I), row by row, or
/// leaves it. Q = s clamp(round(W / s + v), -z, 2^b - 1 - z), with v in [-1/2, 1/2] from 0 on, counted from the levels of the
/// start; s and z are those of a range whose ends are stretched by numbers in (0, 1], of the group's extremes or the ends of the
/// start, whichever lie farther out. Each step moves all of them by the sign of their gradient, which passes through the rounding
/// unchanged, at a rate that falls from 1 / iterations to 0 by equal parts.
///
/// `start` is what [`rtn`](super::rtn) or [`gptq`](super::gptq) made of `w` on the same grid. With no iterations it comes back.
/// Its loss is half of the trace for `h` as it is.
///
/// # Accuracy
/// f64 throughout. No row ends up above its start.
///
/// # Errors
/// [`Error::BadGrid`] for an impossible grid and for groups that are not neighbors; [`Error::EmptyMatrix`] and
/// [`Error::NonFinite`] for the matrix; [`Error::ShapeMismatch`] for a moment or a start that does not fit; those of a bad
/// moment as in [`gptq`](super::gptq).
///
/// # Source
/// Cheng et al. 2023, Optimize Weight Rounding via Signed Gradient Descent for the Quantization of LLMs (AutoRound, arXiv
/// 2309.05516), equations 3 to 5, with the metric of the inputs of one matrix in place of the output of a block.
pub fn signround(
    w: &Matrix,
    h: &Matrix,
    grid: &Affine,
    start: &Quantized<AffineGroup>,
    options: &SignOptions,
) -> Result<Quantized<AffineGroup>> {
    grid.check()?;
    w.check()?;
    diagonal(w, h)?;
    let (rows, cols) = (w.rows(), w.cols());
    let width = grid.span().min(cols);
    let groups = cols.div_ceil(width);
    let (got_rows, got_cols) = (start.values.rows(), start.values.cols());
    let counted = start.codes.len() == rows * cols && start.groups.len() == rows * groups;
    if (got_rows, got_cols) != (rows, cols) || !counted {
        return Err(Error::ShapeMismatch { expected_rows: rows, expected_cols: cols, got_rows, got_cols });
    }
    if start.group_of.iter().enumerate().any(|(col, group)| *group != col / width) {
        return Err(Error::BadGrid { what: "a group of columns that are no neighbors" });
    }
    let mut done = start.clone();
    let mut losses = vec![0.0; rows];
    let bands = done.values.data_mut().chunks_mut(super::sweep::BAND * cols);
    let parts = bands
        .zip(done.codes.chunks_mut(super::sweep::BAND * cols))
        .zip(done.groups.chunks_mut(super::sweep::BAND * groups))
        .zip(losses.chunks_mut(super::sweep::BAND));
    let work = rows * cols * cols * (options.iterations + 1);
    parallel::for_each(parts.zip(spans(rows)), work, |((((values, codes), groups), losses), span)| {
        let best = Best { values, codes, groups, losses };
        Band::new(w, h, grid, span, width, &best).tune(best, options);
    });
    done.loss = 0.5 * losses.iter().sum::<f64>();
    Ok(done)
}

/// The best rounding of each row so far.
struct Best<'a> {
    values: &'a mut [f64],
    codes: &'a mut [i16],
    groups: &'a mut [AffineGroup],
    losses: &'a mut [f64],
}

/// What a step does to a weight.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Inside,
    Bottom,
    Top,
}

/// Some rows under work.
struct Band<'a> {
    grid: &'a Affine,
    h: &'a Matrix,
    given: &'a [f64],
    cols: usize,
    width: usize,
    /// Whole levels between the nearest one and that of the start.
    from: Vec<f64>,
    /// v.
    offsets: Vec<f64>,
    /// Lower and upper end of the whole range of each row and group; of symmetric ranges the upper one counts, a step.
    ends: Vec<[f64; 2]>,
    /// What they are stretched by.
    shares: Vec<[f64; 2]>,
}

impl<'a> Band<'a> {
    fn new(
        w: &'a Matrix,
        h: &'a Matrix,
        grid: &'a Affine,
        span: Span<usize>,
        width: usize,
        start: &Best<'_>,
    ) -> Self {
        let cols = w.cols();
        let given = &w.data()[span.start * cols..span.end * cols];
        let (mut ends, mut shares) = (Vec::new(), Vec::new());
        for (row, given) in given.chunks(cols).enumerate() {
            let count = cols.div_ceil(width);
            for (values, group) in given.chunks(width).zip(&start.groups[row * count..]) {
                let (whole, share) = range(grid, values, group);
                ends.push(whole);
                shares.push(share);
            }
        }
        let offsets = vec![0.0; given.len()];
        let mut band =
            Self { grid, h, given, cols, width, from: vec![0.0; given.len()], offsets, ends, shares };
        band.from = band.distances(start.codes);
        band
    }

    /// How many levels the codes are away from rounding to the nearest.
    fn distances(&self, codes: &[i16]) -> Vec<f64> {
        let top = self.grid.largest();
        let of = |at: usize| {
            let group = self.group(at / self.cols * self.per_row() + at % self.cols / self.width);
            let zero = f64::from(group.zero);
            let (level, nearest) =
                (f64::from(codes[at]) - zero, (self.given[at] / group.scale).round_ties_even());
            if nearest.clamp(-zero, top - zero) == level { 0.0 } else { level - nearest }
        };
        (0..codes.len()).map(of).collect()
    }

    fn per_row(&self) -> usize {
        self.cols.div_ceil(self.width)
    }

    /// Scale and zero of a row's group as its ends stand.
    fn group(&self, at: usize) -> AffineGroup {
        let ([low, high], [below, above]) = (self.ends[at], self.shares[at]);
        match self.grid.range {
            Range::Asymmetric => {
                let (low, high) = (low * below, high * above);
                let scale = self.grid.stored((high - low) / self.grid.largest());
                let zero = (-low / scale).round_ties_even().clamp(0.0, self.grid.largest());
                AffineGroup { scale, zero: zero as u8 }
            }
            Range::Symmetric | Range::Absmax | Range::Full => {
                AffineGroup { scale: self.grid.stored(high * above), zero: self.grid.middle() as u8 }
            }
        }
    }

    fn tune(mut self, mut best: Best<'_>, options: &SignOptions) {
        let costs = self.costs(best.values).0;
        best.losses.copy_from_slice(&costs);
        let steps = options.iterations;
        if steps == 0 {
            return;
        }
        let (mut values, mut codes) = (vec![0.0; self.given.len()], vec![0; self.given.len()]);
        let mut places = vec![Place::Inside; self.given.len()];
        for step in 0..=steps {
            let groups: Vec<AffineGroup> = (0..self.ends.len()).map(|at| self.group(at)).collect();
            self.round(&groups, &mut values, &mut codes, &mut places);
            let (costs, slopes) = self.costs(&values);
            self.keep(&mut best, &costs, &values, &codes, &groups);
            if step < steps {
                let rate = (1.0 - step as f64 / steps as f64) / steps as f64;
                self.step(&groups, &values, &places, &slopes, options.ends, rate);
            }
        }
    }

    /// The rounding as parameters stand.
    fn round(&self, groups: &[AffineGroup], values: &mut [f64], codes: &mut [i16], places: &mut [Place]) {
        let (top, per_row) = (self.grid.largest(), self.per_row());
        for at in 0..values.len() {
            let AffineGroup { scale, zero } = groups[at / self.cols * per_row + at % self.cols / self.width];
            let zero = f64::from(zero);
            let level = (self.given[at] / scale + self.from[at] + self.offsets[at]).round_ties_even();
            places[at] = match level {
                _ if level < -zero => Place::Bottom,
                _ if level > top - zero => Place::Top,
                _ => Place::Inside,
            };
            let level = level.clamp(-zero, top - zero);
            (values[at], codes[at]) = (scale * level, (level + zero) as i16);
        }
    }

    /// (q - w) H (q - w)^T of each row, and (q - w) H: half its gradient.
    fn costs(&self, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let missed: Vec<f64> = values.iter().zip(self.given).map(|(q, w)| q - w).collect();
        let rows = missed.len() / self.cols;
        let through = kernel::product(kernel::view(&missed, rows, self.cols), self.h.view());
        let dot = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        (missed.chunks(self.cols).zip(through.chunks(self.cols)).map(dot).collect(), through)
    }

    fn keep(
        &self,
        best: &mut Best<'_>,
        costs: &[f64],
        values: &[f64],
        codes: &[i16],
        groups: &[AffineGroup],
    ) {
        let per_row = self.per_row();
        for (row, cost) in costs.iter().enumerate() {
            if *cost >= best.losses[row] || cost.is_nan() {
                continue;
            }
            let (at, group) = (row * self.cols..(row + 1) * self.cols, row * per_row..(row + 1) * per_row);
            best.losses[row] = *cost;
            best.values[at.clone()].copy_from_slice(&values[at.clone()]);
            best.codes[at.clone()].copy_from_slice(&codes[at]);
            best.groups[group.clone()].copy_from_slice(&groups[group]);
        }
    }

    /// Moves offsets and shares by the signs of their gradients, as if rounding changed nothing.
    fn step(
        &mut self,
        groups: &[AffineGroup],
        values: &[f64],
        places: &[Place],
        slopes: &[f64],
        ends: bool,
        rate: f64,
    ) {
        let (top, per_row) = (self.grid.largest(), self.per_row());
        let mut gradients = vec![[0.0; 2]; self.shares.len()];
        for at in 0..values.len() {
            let group = at / self.cols * per_row + at % self.cols / self.width;
            let (scale, slope) = (groups[group].scale, slopes[at]);
            let inside = places[at] == Place::Inside;
            if inside && slope != 0.0 {
                let moved = self.offsets[at] - rate * (slope * scale).signum();
                self.offsets[at] = moved.clamp(-0.5, 0.5);
            }
            // What a value moves by when the step of its levels does, with the weight where it is; and how far the zero was
            // rounded, which counts where the value is an end of the range.
            let missed = (values[at] - self.given[at]) / scale;
            let rounded =
                -self.ends[group][0] * self.shares[group][0] / scale - f64::from(groups[group].zero);
            let [low, high] = match (self.grid.range, places[at]) {
                (Range::Asymmetric, Place::Inside) => [-missed / top, missed / top],
                (Range::Asymmetric, Place::Bottom) => [1.0 - rounded / top, rounded / top],
                (Range::Asymmetric, Place::Top) => [-rounded / top, 1.0 + rounded / top],
                (_, Place::Inside) => [0.0, missed],
                (_, Place::Bottom | Place::Top) => [0.0, values[at] / scale],
            };
            gradients[group][0] += slope * low * self.ends[group][0];
            gradients[group][1] += slope * high * self.ends[group][1];
        }
        if !ends {
            return;
        }
        for (shares, gradients) in self.shares.iter_mut().zip(&gradients) {
            for (share, gradient) in
                shares.iter_mut().zip(gradients).filter(|(_, gradient)| **gradient != 0.0)
            {
                *share = (*share - rate * gradient.signum()).clamp(LEAST, 1.0);
            }
        }
    }
}

/// The whole range of a group, and what a start makes of it.
fn range(grid: &Affine, values: &[f64], start: &AffineGroup) -> ([f64; 2], [f64; 2]) {
    if grid.range != Range::Asymmetric {
        let whole = grid.whole(values).scale.abs().max(start.scale.abs()).copysign(start.scale);
        return ([0.0, whole], [1.0, start.scale / whole]);
    }
    let extremes = values.iter().fold((0.0f64, 0.0f64), |(low, high), &x| (low.min(x), high.max(x)));
    let zero = f64::from(start.zero);
    let (low, high) = (-zero * start.scale, (grid.largest() - zero) * start.scale);
    let (least, most) = (extremes.0.min(low), extremes.1.max(high));
    let share = |end: f64, whole: f64| if whole == 0.0 { 1.0 } else { end / whole };
    ([least, most], [share(low, least), share(high, most)])
}
