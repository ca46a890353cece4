//! Descent after the pass: over single codes, each of which goes to the best level while all others stay, and over the
//! scales of single strips.
//!
//! With G = (W - Q) H, moving the value at column k by t changes the cost of its row by t^2 H_kk - 2 t G_k, so the best
//! level is the one nearest to q_k + G_k / H_kk, and G falls by t times row k of H. The cost never rises.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::lanes::{LANES, Lanes, settle};
use super::{Bench, Grid};
use crate::matrix::Matrix;

impl<S: Grid> Bench<'_, S> {
    /// Up to `sweeps` descents over all columns, for the damped `moment` in the order of visits. `given` are the weights,
    /// laid out as the values are.
    #[inline(always)]
    pub(super) fn polish(&mut self, given: &[f64], moment: &Matrix, sweeps: usize) {
        let (cols, stride) = (moment.cols(), self.stride);
        let h = MatRef::from_row_major_slice(moment.data(), cols, cols);
        let missed: Vec<f64> = given.iter().zip(&self.out).map(|(w, q)| w - q).collect();
        let mut slopes = vec![0.0; stride * cols];
        let missed = MatRef::from_column_major_slice(&missed, stride, cols);
        let into = MatMut::from_column_major_slice_mut(&mut slopes, stride, cols);
        matmul(into, Accum::Replace, missed, h, 1.0, Par::Seq);
        let edges = self.plan.visit.edges(self.plan.block);
        for _ in 0..sweeps {
            let mut moved = false;
            for (&from, &to) in edges.iter().zip(&edges[1..]) {
                let mut changes = vec![0.0; stride * (to - from)];
                for lane in (0..stride).step_by(LANES) {
                    self.descend(&slopes, &mut changes, moment, lane, from);
                }
                if changes.iter().all(|&change| change == 0.0) {
                    continue;
                }
                moved = true;
                matmul(
                    MatMut::from_column_major_slice_mut(&mut slopes, stride, cols),
                    Accum::Add,
                    MatRef::from_column_major_slice(&changes, stride, to - from),
                    h.subrows(from, to - from),
                    -1.0,
                    Par::Seq,
                );
            }
            if !moved {
                break;
            }
        }
        self.losses.fill(0.0);
        for (at, slope) in slopes.iter().enumerate() {
            self.losses[at % stride] += (given[at] - self.out[at]) * slope;
        }
    }

    /// Moves scales of strips where scales are to be fitted again, then the codes of some columns from visit `from` on in the rows of a register; leaves by how much the values
    /// changed.
    #[inline(always)]
    fn descend(&mut self, slopes: &[f64], changes: &mut [f64], moment: &Matrix, lane: usize, from: usize) {
        let (plan, stride) = (self.plan, self.stride);
        let load = |at: usize| -> Lanes {
            let mut lanes = [0.0; LANES];
            lanes.copy_from_slice(&slopes[(from + at) * stride + lane..][..LANES]);
            lanes
        };
        let mut tile: Vec<Lanes> = (0..changes.len() / stride).map(load).collect();
        let mut moved = vec![[0.0; LANES]; tile.len()];
        if plan.refits > 0 {
            self.rescale(&mut tile, &mut moved, moment, lane, from);
        }
        let (groups, out, codes) = (&self.groups, &mut self.out, &mut self.codes);
        settle(&mut tile, moment, from, |k, here| {
            let visit = from + k;
            let group = plan.visit.group_of[plan.visit.order[visit]];
            let index = plan.visit.place[visit] / plan.grid.strip().max(1);
            let curvature = moment.row(visit)[visit];
            for l in 0..LANES {
                let at = visit * stride + lane + l;
                let cell = plan.grid.cell(&groups[group * stride + lane + l], index);
                let level = plan.grid.nearest(&cell, out[at] + here[l] / curvature);
                let value = plan.grid.value(&cell, level);
                here[l] = value - out[at];
                out[at] = value;
                codes[at] = plan.grid.code(&cell, level);
            }
        });
        for (k, (change, moved)) in tile.iter().zip(&moved).enumerate() {
            let sum: Lanes = std::array::from_fn(|l| change[l] + moved[l]);
            changes[k * stride + lane..][..LANES].copy_from_slice(&sum);
        }
    }
}
