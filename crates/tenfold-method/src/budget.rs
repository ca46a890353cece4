//! One budget over many matrices: what each could become, and which of that to take so that total loss is least.

use crate::error::Error;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What a matrix, or several that change alike, could become: size in the unit of the budget, and loss.
#[derive(Clone)]
pub(crate) struct Candidate<T> {
    pub(crate) size: usize,
    pub(crate) loss: f64,
    /// How it is made.
    pub(crate) how: T,
}

/// The candidates that some budget could prefer, smallest first, each losing less than the one before.
pub(crate) struct Curve<T> {
    candidates: Vec<Candidate<T>>,
}

impl<T> Curve<T> {
    /// The lower convex hull of (size, loss).
    pub(crate) fn of(mut candidates: Vec<Candidate<T>>) -> Self {
        candidates.sort_by(|a, b| a.size.cmp(&b.size).then(a.loss.total_cmp(&b.loss)));
        let mut hull: Vec<Candidate<T>> = Vec::new();
        for point in candidates {
            if hull.last().is_some_and(|last| last.loss <= point.loss) {
                continue;
            }
            while let [.., a, b] = hull.as_slice() {
                if slope(a, b) <= slope(b, &point) {
                    break;
                } else {
                    hull.pop()
                };
            }
            hull.push(point);
        }
        Self { candidates: hull }
    }

    pub(crate) fn candidates(&self) -> &[Candidate<T>] {
        &self.candidates
    }
}

/// Loss per unit of size from one candidate to a larger one; negative, steeper is better.
fn slope<T>(from: &Candidate<T>, to: &Candidate<T>) -> f64 {
    (to.loss - from.loss) / (to.size - from.size).max(1) as f64
}

/// One step up a curve; steeper steps come first, ties go to the earlier matrix.
struct Step {
    slope: f64,
    curve: usize,
    to: usize,
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        other.slope.total_cmp(&self.slope).then(other.curve.cmp(&self.curve))
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Step {}

/// Starts every curve at its cheapest candidate and takes the step that removes most loss for its size while it
/// fits. On convex curves this is the optimum of the Lagrangian; what is left of the budget is smaller than one step.
///
/// # Errors
/// [`Error::Budget`] when even the cheapest candidates exceed the budget; `unit` says of what.
pub(crate) fn choose<T>(curves: &[Curve<T>], budget: usize, unit: &'static str) -> Result<Vec<usize>, Error> {
    let mut chosen = vec![0usize; curves.len()];
    let least: usize = curves.iter().map(|curve| curve.candidates()[0].size).sum();
    let mut left = budget.checked_sub(least).ok_or(Error::Budget { budget, least, unit })?;
    let step = |curve: usize, from: usize| {
        let [from_one, to_one] = curves[curve].candidates().get(from..from + 2)? else { return None };
        Some(Step { slope: slope(from_one, to_one), curve, to: from + 1 })
    };
    let mut steps: BinaryHeap<Step> = (0..curves.len()).filter_map(|curve| step(curve, 0)).collect();
    while let Some(Step { curve, to, .. }) = steps.pop() {
        let candidates = curves[curve].candidates();
        let price = candidates[to].size - candidates[to - 1].size;
        if price <= left {
            left -= price;
            chosen[curve] = to;
            steps.extend(step(curve, to));
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: &[(usize, f64)]) -> Curve<()> {
        let candidate = |&(size, loss): &(usize, f64)| Candidate { size, loss, how: () };
        Curve::of(points.iter().map(candidate).collect())
    }

    fn loss(curves: &[Curve<()>], chosen: &[usize]) -> f64 {
        curves.iter().zip(chosen).map(|(curve, at)| curve.candidates()[*at].loss).sum()
    }

    #[test]
    fn spends_where_most_is_gained() {
        let curves = [curve(&[(1, 10.0), (2, 1.0), (3, 0.5)]), curve(&[(1, 5.0), (2, 4.0), (3, 3.5)])];
        let chosen = choose(&curves, 4, "bytes").unwrap();
        assert_eq!(chosen, [1, 1]);
        assert_eq!(loss(&curves, &chosen), 5.0);
    }

    #[test]
    fn agrees_with_brute_force_on_convex_curves_of_unit_steps() {
        let falling = |scale: f64, rate: f64| {
            curve(&(1..8).map(|n| (n, scale * rate.powi(n as i32))).collect::<Vec<_>>())
        };
        let curves = [falling(3.0, 0.5), falling(1.0, 0.8), falling(2.0, 0.3)];
        for budget in 3..=21 {
            let greedy = loss(&curves, &choose(&curves, budget, "bytes").unwrap());
            let mut best = f64::INFINITY;
            for a in 0..7 {
                for b in 0..7 {
                    for c in 0..7 {
                        if a + b + c + 3 <= budget {
                            best = best.min(loss(&curves, &[a, b, c]));
                        }
                    }
                }
            }
            assert!((greedy - best).abs() < 1e-12, "budget {budget}: {greedy} against {best}");
        }
    }

    #[test]
    fn an_impossible_budget_names_the_least() {
        let curves = [curve(&[(5, 1.0), (9, 0.0)])];
        assert!(matches!(choose(&curves, 4, "bytes"), Err(Error::Budget { budget: 4, least: 5, .. })));
    }
}
