//! The second moment of the inputs, made fit for feedback: H^-1 = V^T D^-1 V with a unit upper triangular V, in the order
//! of visits.
//!
//! The inverse is never formed. With rows and columns reversed H is L D L^T, and V is the inverse of that unit triangle,
//! reversed again: half the work of a Cholesky factor of an explicit inverse, and the condition of H enters once.

use faer::Mat;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::ldlt::factor::{
    LdltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::linalg::triangular_inverse::invert_unit_lower_triangular;

use crate::matrix::Matrix;
use crate::parallel::threads_for;

/// How much larger the next damping is where one was too small.
const GROWTH: f64 = 10.0;
/// The damping after none at all.
const FIRST: f64 = 1e-6;
/// Beyond this share the diagonal alone is used.
const LAST: f64 = 1e3;
/// Least pivot, as a share of its diagonal entry and per column: below it the factor is made of rounding.
const PIVOT: f64 = 16.0 * f64::EPSILON;

/// A factored second moment.
pub(super) struct Factor {
    /// Strictly upper part of V, row by row, the rest zero: row k is what later visits lose for each unit of error that
    /// visit k made.
    pub(super) unit: Matrix,
    /// Diagonal D, positive: what a squared error at visit k costs once later ones have made up for it.
    pub(super) diagonal: Vec<f64>,
    /// What was added to the diagonal, as a share of its mean; infinite when only the diagonal was used.
    pub(super) damping: f64,
    /// Mean of the diagonal over live columns.
    mean: f64,
    /// Visits whose inputs were always zero.
    pub(super) dead: Vec<bool>,
}

impl Factor {
    /// Factors the moment of the visited columns, with the damping asked for or the first larger one that works. `None`
    /// where no input was ever seen. The moment is finite, square and has no negative entry on its diagonal.
    pub(super) fn new(h: &Matrix, order: &[usize], damping: f64) -> Option<Self> {
        let n = order.len();
        let dead: Vec<bool> = order.iter().map(|&col| h.get(col, col) <= 0.0).collect();
        let live = dead.iter().filter(|&&dead| !dead).count();
        if live == 0 {
            return None;
        }
        let mean = order.iter().map(|&col| h.get(col, col)).sum::<f64>() / live as f64;
        let mut share = damping;
        loop {
            if share > LAST {
                let diagonal =
                    (0..n).map(|i| if dead[i] { mean } else { h.get(order[i], order[i]) }).collect();
                let damping = f64::INFINITY;
                return Some(Self { unit: Matrix::zeros(n, n), diagonal, damping, mean, dead });
            }
            let found = factored(n, damped(h, order, &dead, mean, share));
            if let Some((unit, diagonal)) = found {
                return Some(Self { unit, diagonal, damping: share, mean, dead });
            }
            share = if share > 0.0 { share * GROWTH } else { FIRST };
        }
    }

    /// The moment that was factored, in the order of visits.
    pub(super) fn moment(&self, h: &Matrix, order: &[usize]) -> Matrix {
        let n = order.len();
        if self.damping.is_infinite() {
            return Matrix::from_fn(n, n, |i, j| if i == j { self.diagonal[i] } else { 0.0 });
        }
        Matrix::from_fn(n, n, damped(h, order, &self.dead, self.mean, self.damping))
    }
}

/// Entries of the damped moment of the visited columns; dead ones are like the mean, and go with no other.
fn damped<'a>(
    h: &'a Matrix,
    order: &'a [usize],
    dead: &'a [bool],
    mean: f64,
    share: f64,
) -> impl Fn(usize, usize) -> f64 + 'a {
    let extra = share * mean;
    move |i, j| match (i == j, dead[i] || dead[j]) {
        (true, true) => mean + extra,
        (false, true) => 0.0,
        (true, false) => h.get(order[i], order[i]) + extra,
        (false, false) => 0.5 * (h.get(order[i], order[j]) + h.get(order[j], order[i])),
    }
}

/// V and D of the symmetric matrix with these entries, or `None` where it is not safely positive.
fn factored(n: usize, entry: impl Fn(usize, usize) -> f64) -> Option<(Matrix, Vec<f64>)> {
    // With rows and columns reversed, an upper factor is the usual lower one.
    let mut reversed = Mat::from_fn(n, n, |i, j| if i >= j { entry(n - 1 - i, n - 1 - j) } else { 0.0 });
    let before: Vec<f64> = (0..n).map(|i| reversed[(i, i)]).collect();
    let par = threads_for(n * n * n / 6);
    let params = faer::Spec::default();
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(n, par, params));
    cholesky_in_place(
        reversed.as_mut(),
        LdltRegularization::default(),
        par,
        MemStack::new(&mut memory),
        params,
    )
    .ok()?;
    let floor = PIVOT * n as f64;
    let safe = (0..n).all(|i| reversed[(i, i)] > floor * before[i] && reversed[(i, i)].is_finite());
    if !safe {
        return None;
    }
    let diagonal = (0..n).map(|k| reversed[(n - 1 - k, n - 1 - k)]).collect();
    let mut inverse = Mat::<f64>::zeros(n, n);
    invert_unit_lower_triangular(inverse.as_mut(), reversed.as_ref(), par);
    let unit = Matrix::from_fn(n, n, |k, j| if j > k { inverse[(n - 1 - k, n - 1 - j)] } else { 0.0 });
    Some((unit, diagonal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_gives_the_moment_back() {
        let x = Matrix::from_fn(9, 6, |r, c| ((r * 7 + c * 5) % 11) as f64 - 4.0);
        let h = x.transpose().matmul(&x);
        let order = [4, 0, 5, 2, 1, 3];
        let factor = Factor::new(&h, &order, 0.0).unwrap();
        assert_eq!(factor.damping, 0.0);
        let upper = Matrix::from_fn(6, 6, |i, j| factor.unit.get(i, j) + f64::from(u8::from(i == j)));
        let scaled = Matrix::from_fn(6, 6, |i, j| upper.get(i, j) / factor.diagonal[i]);
        let inverse = upper.transpose().matmul(&scaled);
        let permuted = Matrix::from_fn(6, 6, |i, j| h.get(order[i], order[j]));
        let back = inverse.matmul(&permuted);
        assert!(back.subtract(&Matrix::identity(6)).max_abs() < 1e-9);
    }

    #[test]
    fn damping_grows_until_it_works_and_ends() {
        let ones = Matrix::from_fn(5, 5, |_, _| 1.0);
        let factor = Factor::new(&ones, &[0, 1, 2, 3, 4], 0.0).unwrap();
        assert!(factor.damping > 0.0 && factor.damping < 1.0);
        // No second moment: entries beside the diagonal far larger than those on it.
        let wild = Matrix::from_fn(3, 3, |i, j| if i == j { 1.0 } else { 1e9 });
        let factor = Factor::new(&wild, &[0, 1, 2], 0.01).unwrap();
        assert_eq!((factor.damping, factor.unit.max_abs()), (f64::INFINITY, 0.0));
        assert!(Factor::new(&Matrix::zeros(3, 3), &[0, 1, 2], 0.01).is_none());
    }
}
