//! Descent over the small whole scales of single strips after the pass, while all codes stay.
//!
//! Values are linear in scale and min, so steps t of them move the values of the strip by A t and the cost of the row by
//! t^T A^T H A t - 2 t^T A^T G, with the slopes A of the values and G = (W - Q) H.

use super::lanes::{LANES, Lanes};
use super::refit::solve;
use super::{Bench, Grid};
use crate::matrix::Matrix;

impl<S: Grid> Bench<'_, S> {
    /// Moves scales and mins of the strips of groups that lie in a tile, which holds G of visits from `from` on in the rows of
    /// a register; brings the tile up to date and adds to `changes` by how much values moved.
    #[inline(always)]
    pub(super) fn rescale(
        &mut self,
        tile: &mut [Lanes],
        changes: &mut [Lanes],
        moment: &Matrix,
        lane: usize,
        from: usize,
    ) {
        let plan = self.plan;
        let inside = from..from + tile.len();
        let group_at = |visit: usize| plan.visit.group_of[plan.visit.order[visit]];
        let mut at = from;
        while at < inside.end {
            let group = group_at(at);
            let members = &plan.visit.members[group];
            at += (at..inside.end).take_while(|&visit| group_at(visit) == group).count();
            if !members.iter().all(|visit| inside.contains(visit)) {
                continue;
            }
            for (index, visits) in members.chunks(plan.grid.strip().max(1)).enumerate() {
                let Some(moved) = self.moved((group, index), visits, tile, moment, (lane, from)) else {
                    return;
                };
                for (&visit, moved) in visits.iter().zip(&moved) {
                    for (column, share) in tile.iter_mut().zip(&moment.row(visit)[inside.clone()]) {
                        (0..LANES).for_each(|l| column[l] -= moved[l] * share);
                    }
                    (0..LANES).for_each(|l| changes[visit - from][l] += moved[l]);
                }
            }
        }
    }

    /// Moves scale and min of a strip in each row where that lowers the cost; by how much its values moved, or `None` where
    /// strips have no scales.
    #[inline(always)]
    fn moved(
        &mut self,
        (group, index): (usize, usize),
        visits: &[usize],
        tile: &[Lanes],
        moment: &Matrix,
        (lane, from): (usize, usize),
    ) -> Option<Vec<Lanes>> {
        let (plan, stride) = (self.plan, self.stride);
        let blank = vec![[0.0; LANES]; visits.len()];
        let mut levels = blank.clone();
        let mut parts = [blank.clone(), blank.clone()];
        for (k, &visit) in visits.iter().enumerate() {
            for l in 0..LANES {
                let params = &self.groups[group * stride + lane + l];
                let cell = plan.grid.cell(params, index);
                levels[k][l] = plan.grid.nearest(&cell, self.out[visit * stride + lane + l]);
                [parts[0][k][l], parts[1][k][l]] = plan.grid.strip_slopes(params, levels[k][l])?;
            }
        }
        let mut sums = [[0.0; LANES]; 5];
        for (k, &visit) in visits.iter().enumerate() {
            let (mut first, mut second) = ([0.0; LANES], [0.0; LANES]);
            for (j, &other) in visits.iter().enumerate() {
                let share = moment.row(visit)[other];
                for l in 0..LANES {
                    first[l] += share * parts[0][j][l];
                    second[l] += share * parts[1][j][l];
                }
            }
            let slope = &tile[visit - from];
            for l in 0..LANES {
                sums[0][l] += parts[0][k][l] * first[l];
                sums[1][l] += parts[0][k][l] * second[l];
                sums[2][l] += parts[1][k][l] * second[l];
                sums[3][l] += parts[0][k][l] * slope[l];
                sums[4][l] += parts[1][k][l] * slope[l];
            }
        }
        let mut moved = blank;
        for l in 0..LANES {
            let [aa, ab, bb, ax, bx] = sums.map(|sum| sum[l]);
            let here = group * stride + lane + l;
            let before = self.groups[here];
            let single = |square: f64, product: f64| if square > 0.0 { product / square } else { 0.0 };
            let tried = [
                solve([aa, ab, bb, ax, bx]).unwrap_or_default(),
                [single(aa, ax), 0.0],
                [0.0, single(bb, bx)],
            ];
            let mut best = (0.0, before);
            for steps in tried {
                let (after, [a, b]) = plan.grid.stepped(&before, index, steps);
                let cost = a * a * aa + 2.0 * a * b * ab + b * b * bb - 2.0 * (a * ax + b * bx);
                if cost < best.0 {
                    best = (cost, after);
                }
            }
            if best.0 < 0.0 {
                self.groups[here] = best.1;
                let cell = plan.grid.cell(&best.1, index);
                for (k, &visit) in visits.iter().enumerate() {
                    let out = &mut self.out[visit * stride + lane + l];
                    let value = plan.grid.value(&cell, levels[k][l]);
                    moved[k][l] = value - *out;
                    *out = value;
                }
            }
        }
        Some(moved)
    }
}
