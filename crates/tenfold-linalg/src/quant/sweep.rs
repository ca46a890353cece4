//! One pass over the columns of some rows: fit a group, round its columns one by one, and let the columns that are still
//! to come make up for the errors.
//!
//! Rows do not know of each other, so a band of them is carried through alone, in the same way on any number of threads.
//! Inside a block of columns eight rows go together, a register wide; what a block leaves to the columns behind it is one
//! matrix product.

mod lanes;
mod polish;
mod refit;
mod rescale;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use self::lanes::{LANES, Lanes, pass_on, settle};
use super::factor::Factor;
use super::grid::Grid;
use super::visit::Visit;
use super::wide::Work;
use crate::matrix::Matrix;

/// Rows that are carried through together; they stay in the second-level cache up to some thousand columns.
pub(super) const BAND: usize = 128;
/// What to round and how.
pub(super) struct Plan<'a, S: Grid> {
    pub(super) w: &'a Matrix,
    pub(super) grid: &'a S,
    pub(super) visit: &'a Visit,
    /// Of each column.
    pub(super) importance: &'a [f64],
    /// Without it every column is on its own.
    pub(super) factor: Option<&'a Factor>,
    /// Whether groups are fitted to the weights as they are given.
    pub(super) fixed: bool,
    /// Visits between two matrix products, at most.
    pub(super) block: usize,
    /// How often the parameters of a group are fitted again to the codes they led to.
    pub(super) refits: usize,
    /// The damped moment in the order of visits, and how often to descend over single codes.
    pub(super) polish: Option<(&'a Matrix, usize)>,
}

/// A rounded band of rows.
pub(super) struct Band<S: Grid> {
    /// Row by row, columns as stored.
    pub(super) values: Vec<f64>,
    pub(super) codes: Vec<i16>,
    /// Row by row.
    pub(super) groups: Vec<S::Group>,
    /// Per row, in the metric of the factor; without one, 0.
    pub(super) losses: Vec<f64>,
}

/// A band of a plan: `rows` rows from `first` on.
pub(super) struct Stretch<'a, S: Grid> {
    pub(super) plan: &'a Plan<'a, S>,
    pub(super) first: usize,
    pub(super) rows: usize,
}

/// A tried rounding of the columns of a segment, eight rows at once.
#[derive(Default)]
struct Trial {
    levels: Vec<Lanes>,
    /// What the compensated weight missed.
    residuals: Vec<Lanes>,
    losses: Lanes,
}

impl<S: Grid> Work for Stretch<'_, S> {
    type Out = Band<S>;

    #[inline(always)]
    fn run(self) -> Band<S> {
        let Self { plan, first, rows } = self;
        let (cols, groups) = (plan.w.cols(), plan.visit.members.len());
        let stride = rows.next_multiple_of(LANES);
        // Column by column in the order of visits, a register of rows beside the next.
        let mut current = vec![0.0; stride * cols];
        // Eight rows at a time, so that the lines of memory of all stay in the first cache.
        for lane in (0..rows).step_by(LANES) {
            let given: Vec<&[f64]> =
                (lane..rows.min(lane + LANES)).map(|row| plan.w.row(first + row)).collect();
            for (visit, &col) in plan.visit.order.iter().enumerate() {
                if plan.factor.is_none_or(|factor| !factor.dead[visit]) {
                    let column = &mut current[visit * stride + lane..];
                    column.iter_mut().zip(&given).for_each(|(x, row)| *x = row[col]);
                }
            }
        }
        let blank = plan.grid.fit(&[], &[]);
        let mut work = Bench {
            plan,
            stride,
            groups: vec![blank; stride * groups],
            out: vec![0.0; stride * cols],
            codes: vec![0; stride * cols],
            losses: vec![0.0; stride],
            scratch: (Vec::new(), Vec::new()),
        };
        if plan.fixed {
            (0..groups).for_each(|group| work.fit(group, &current, &[], 0, 0));
        }
        let given = plan.polish.map(|_| current.clone());
        let edges = plan.visit.edges(plan.block);
        for (&from, &to) in edges.iter().zip(&edges[1..]) {
            let mut residuals = vec![0.0; stride * (to - from)];
            for lane in (0..stride).step_by(LANES) {
                work.block(&current, &mut residuals, lane, from, to);
            }
            if let Some(factor) = plan.factor.filter(|factor| to < cols && factor.damping.is_finite()) {
                let later = MatRef::from_row_major_slice(factor.unit.data(), cols, cols).submatrix(
                    from,
                    to,
                    to - from,
                    cols - to,
                );
                matmul(
                    MatMut::from_column_major_slice_mut(&mut current[to * stride..], stride, cols - to),
                    Accum::Add,
                    MatRef::from_column_major_slice(&residuals, stride, to - from),
                    later,
                    -1.0,
                    Par::Seq,
                );
            }
        }
        if let (Some(given), Some((moment, sweeps))) = (given, plan.polish) {
            work.polish(&given, moment, sweeps);
        }
        work.finish(rows)
    }
}

/// The state of a band under work.
struct Bench<'a, S: Grid> {
    plan: &'a Plan<'a, S>,
    /// Rows with those that fill the last register.
    stride: usize,
    /// Group by group, a stride of rows each.
    groups: Vec<S::Group>,
    /// Visit by visit, a stride of rows each.
    out: Vec<f64>,
    codes: Vec<i16>,
    losses: Vec<f64>,
    scratch: (Vec<f64>, Vec<f64>),
}

impl<S: Grid> Bench<'_, S> {
    /// Fits a group in the rows of a register (all rows where the tile is empty) to weights as they stand: in the tile for
    /// visits from `from` on, in the band for those behind it.
    #[inline(always)]
    fn fit(&mut self, group: usize, current: &[f64], tile: &[Lanes], from: usize, lane: usize) {
        let plan = self.plan;
        let members = &plan.visit.members[group];
        let (values, importance) = &mut self.scratch;
        importance.clear();
        importance.extend(members.iter().map(|&visit| plan.importance[plan.visit.order[visit]]));
        if importance.iter().all(|&weight| weight == 0.0) {
            importance.fill(1.0);
        }
        let rows = if tile.is_empty() { 0..self.stride } else { lane..lane + LANES };
        for row in rows {
            values.clear();
            values.extend(members.iter().map(|&visit| match tile.get(visit.wrapping_sub(from)) {
                Some(lanes) => lanes[row - lane],
                None => current[visit * self.stride + row],
            }));
            self.groups[group * self.stride + row] = plan.grid.fit(values, importance);
        }
    }

    /// Rounds the visits `from..to` in the rows of a register and leaves what they missed.
    #[inline(always)]
    fn block(&mut self, current: &[f64], residuals: &mut [f64], lane: usize, from: usize, to: usize) {
        let (plan, stride) = (self.plan, self.stride);
        let load = |visit: usize| -> Lanes {
            let mut lanes = [0.0; LANES];
            lanes.copy_from_slice(&current[visit * stride + lane..][..LANES]);
            lanes
        };
        let mut tile: Vec<Lanes> = (from..to).map(load).collect();
        let group_at = |visit: usize| plan.visit.group_of[plan.visit.order[visit]];
        let mut trials = (Trial::default(), Trial::default());
        let mut at = from;
        while at < to {
            let group = group_at(at);
            let end = at + (at..to).take_while(|&visit| group_at(visit) == group).count();
            let whole = end - at == plan.visit.members[group].len();
            let begins = || plan.visit.members[group].iter().all(|&visit| visit >= at);
            if !plan.fixed && (whole || begins()) {
                self.fit(group, current, &tile, from, lane);
            }
            let (seen, ahead) = tile.split_at_mut(end - from);
            let start = &seen[at - from..];
            self.try_group(group, start, at, lane, &mut trials.0);
            if whole && plan.factor.is_some() {
                for _ in 0..plan.refits {
                    if !self.refit(group, start, at, lane, &mut trials) {
                        break;
                    }
                }
            }
            self.keep(group, at, lane, &trials.0);
            for (k, missed) in trials.0.residuals.iter().enumerate() {
                residuals[(at - from + k) * stride + lane..][..LANES].copy_from_slice(missed);
            }
            if let Some(factor) = plan.factor {
                pass_on(ahead, &trials.0.residuals, &factor.unit, at, end);
            }
            at = end;
        }
    }

    /// Rounds the visits from `at` on that `start` holds, with the parameters of the group as they are.
    #[inline(always)]
    fn try_group(&self, group: usize, start: &[Lanes], at: usize, lane: usize, trial: &mut Trial) {
        let (plan, strip) = (self.plan, self.plan.grid.strip().max(1));
        let groups = &self.groups[group * self.stride + lane..][..LANES];
        trial.levels.clear();
        trial.losses = [0.0; LANES];
        trial.residuals.clear();
        trial.residuals.extend_from_slice(start);
        let Trial { levels, residuals, losses } = trial;
        let mut round = |k: usize, here: &mut Lanes| {
            let index = plan.visit.place[at + k] / strip;
            let mut found = [0.0; LANES];
            for l in 0..LANES {
                let cell = plan.grid.cell(&groups[l], index);
                found[l] = plan.grid.nearest(&cell, here[l]);
                here[l] -= plan.grid.value(&cell, found[l]);
            }
            levels.push(found);
        };
        match plan.factor {
            None => residuals.iter_mut().enumerate().for_each(|(k, here)| round(k, here)),
            Some(factor) => {
                settle(residuals, &factor.unit, at, round);
                for (missed, d) in residuals.iter().zip(&factor.diagonal[at..]) {
                    for l in 0..LANES {
                        losses[l] += d * missed[l] * missed[l];
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn keep(&mut self, group: usize, at: usize, lane: usize, trial: &Trial) {
        let grid = self.plan.grid;
        for (k, levels) in trial.levels.iter().enumerate() {
            let index = self.plan.visit.place[at + k] / grid.strip().max(1);
            for l in 0..LANES {
                let cell = grid.cell(&self.groups[group * self.stride + lane + l], index);
                let to = (at + k) * self.stride + lane + l;
                self.out[to] = grid.value(&cell, levels[l]);
                self.codes[to] = grid.code(&cell, levels[l]);
            }
        }
        for l in 0..LANES {
            self.losses[lane + l] += trial.losses[l];
        }
    }

    /// The band row by row, columns as they are stored.
    fn finish(self, rows: usize) -> Band<S> {
        let (cols, stride) = (self.plan.w.cols(), self.stride);
        let (mut values, mut codes) = (vec![0.0; rows * cols], vec![0; rows * cols]);
        for lane in (0..rows).step_by(LANES) {
            for (visit, &col) in self.plan.visit.order.iter().enumerate() {
                for row in lane..rows.min(lane + LANES) {
                    values[row * cols + col] = self.out[visit * stride + row];
                    codes[row * cols + col] = self.codes[visit * stride + row];
                }
            }
        }
        let count = self.plan.visit.members.len();
        let groups = (0..rows)
            .flat_map(|row| (0..count).map(move |group| group * stride + row))
            .map(|i| self.groups[i]);
        Band { values, codes, groups: groups.collect(), losses: self.losses[..rows].to_vec() }
    }
}
