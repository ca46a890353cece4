//! Parameters of a group that fit the codes they led to.

use super::lanes::{LANES, Lanes, settle};
use super::{Bench, Grid, Trial};

impl<S: Grid> Bench<'_, S> {
    /// Fits the parameters to the codes of the first trial, by least squares in the metric that the group has once later
    /// columns make up for it; rounds again and keeps the better in each row. False when no row gained.
    #[inline(always)]
    pub(super) fn refit(
        &mut self,
        group: usize,
        start: &[Lanes],
        at: usize,
        lane: usize,
        trials: &mut (Trial, Trial),
    ) -> bool {
        let (plan, strip) = (self.plan, self.plan.grid.strip().max(1));
        let Some(factor) = plan.factor else { return false };
        let before = self.groups[group * self.stride + lane..][..LANES].to_vec();
        let mut parts = [start.to_vec(), start.to_vec(), start.to_vec()];
        for (k, levels) in trials.0.levels.iter().enumerate() {
            let index = plan.visit.place[at + k] / strip;
            for l in 0..LANES {
                let Some([first, second]) = plan.grid.slopes(&before[l], index, levels[l]) else {
                    return false;
                };
                parts[1][k][l] = first;
                parts[2][k][l] = second;
            }
        }
        // Sums of products of the three, after each column has been freed of what earlier ones pass on.
        parts.iter_mut().for_each(|part| settle(part, &factor.unit, at, |_, _| {}));
        let mut sums = [[0.0; LANES]; 5];
        for k in 0..start.len() {
            let d = factor.diagonal[at + k];
            for l in 0..LANES {
                let (x, first, second) = (parts[0][k][l], parts[1][k][l], parts[2][k][l]);
                sums[0][l] += d * first * first;
                sums[1][l] += d * first * second;
                sums[2][l] += d * second * second;
                sums[3][l] += d * first * x;
                sums[4][l] += d * second * x;
            }
        }
        for l in 0..LANES {
            if let Some(found) = solve(sums.map(|sum| sum[l])) {
                self.groups[group * self.stride + lane + l] = plan.grid.with(&before[l], found);
            }
        }
        let (best, tried) = trials;
        self.try_group(group, start, at, lane, tried);
        let mut gained = false;
        for l in 0..LANES {
            if tried.losses[l] < best.losses[l] {
                gained = true;
                best.losses[l] = tried.losses[l];
                for k in 0..start.len() {
                    best.levels[k][l] = tried.levels[k][l];
                    best.residuals[k][l] = tried.residuals[k][l];
                }
            } else {
                self.groups[group * self.stride + lane + l] = before[l];
            }
        }
        gained
    }
}

/// The two parameters that normal equations [aa, ab, bb, ax, bx] ask for; one alone where the other does nothing.
pub(super) fn solve([aa, ab, bb, ax, bx]: [f64; 5]) -> Option<[f64; 2]> {
    let determinant = aa * bb - ab * ab;
    let found = match (aa > 0.0, bb > 0.0) {
        (true, true) if determinant > 1e-9 * aa * bb => {
            [(bb * ax - ab * bx) / determinant, (aa * bx - ab * ax) / determinant]
        }
        (true, false) => [ax / aa, 0.0],
        _ => return None,
    };
    found.iter().all(|v| v.is_finite()).then_some(found)
}
