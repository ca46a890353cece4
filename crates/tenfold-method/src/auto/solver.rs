//! The budget solver: which candidate of each curve, so that total loss is least.

use super::curve::{Curve, slope};
use crate::error::Error;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

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

/// Starts every curve at its cheapest candidate and takes the step that removes most loss per parameter while it
/// fits. On convex curves this is the optimum of the Lagrangian; what is left of the budget is smaller than one step.
///
/// # Errors
/// [`Error::Budget`] when even the cheapest candidates exceed the budget.
pub(crate) fn choose(curves: &[Curve], budget: usize) -> Result<Vec<usize>, Error> {
    let mut chosen = vec![0usize; curves.len()];
    let least: usize = curves.iter().map(|curve| curve.candidates()[0].parameters).sum();
    let mut left = budget.checked_sub(least).ok_or(Error::Budget { budget, least })?;
    let step = |curve: usize, from: usize| {
        let [from_one, to_one] = curves[curve].candidates().get(from..from + 2)? else { return None };
        Some(Step { slope: slope(from_one, to_one), curve, to: from + 1 })
    };
    let mut steps: BinaryHeap<Step> = (0..curves.len()).filter_map(|curve| step(curve, 0)).collect();
    while let Some(Step { curve, to, .. }) = steps.pop() {
        let candidates = curves[curve].candidates();
        let price = candidates[to].parameters - candidates[to - 1].parameters;
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

    fn loss(curves: &[Curve], chosen: &[usize]) -> f64 {
        curves.iter().zip(chosen).map(|(curve, at)| curve.candidates()[*at].loss).sum()
    }

    #[test]
    fn spends_where_most_is_gained() {
        let curves =
            [Curve::of(&[(1, 10.0), (2, 1.0), (3, 0.5)]), Curve::of(&[(1, 5.0), (2, 4.0), (3, 3.5)])];
        let chosen = choose(&curves, 4).unwrap();
        assert_eq!(chosen, [1, 1]);
        assert_eq!(loss(&curves, &chosen), 5.0);
    }

    #[test]
    fn agrees_with_brute_force_on_convex_curves_of_unit_steps() {
        let curve = |scale: f64, rate: f64| {
            Curve::of(&(1..8).map(|n| (n, scale * rate.powi(n as i32))).collect::<Vec<_>>())
        };
        let curves = [curve(3.0, 0.5), curve(1.0, 0.8), curve(2.0, 0.3)];
        for budget in 3..=21 {
            let greedy = loss(&curves, &choose(&curves, budget).unwrap());
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
        let curves = [Curve::of(&[(5, 1.0), (9, 0.0)])];
        assert!(matches!(choose(&curves, 4), Err(Error::Budget { budget: 4, least: 5 })));
    }
}
