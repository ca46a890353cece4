//! Random-sign Hadamard transforms of rows: orthogonal, in n log n operations.

use crate::kernel::turn::butterfly;
use crate::par;
use crate::tape::record;
use crate::{Array, Var};
use std::sync::Arc;

/// x -> H S x for rows x of n numbers: signs, then a dense factor over runs of `order` neighbors, then butterflies over the runs,
/// over the root of n.
#[derive(Clone, Debug, PartialEq)]
pub struct Hadamard {
    signs: Vec<f32>,
    order: usize,
    /// order x order, row by row, orthogonal but for a factor sqrt(order).
    factor: Vec<f32>,
}

impl Hadamard {
    /// The transform with these signs and this factor.
    ///
    /// # Panics
    /// When the factor is not order x order, or n is no power of two times the order.
    #[track_caller]
    pub fn new(signs: Vec<f32>, order: usize, factor: Vec<f32>) -> Self {
        let n = signs.len();
        let fits = order > 0 && n.is_multiple_of(order) && (n / order).is_power_of_two();
        assert!(fits && factor.len() == order * order, "a factor of order {order} for {n} numbers");
        Self { signs, order, factor }
    }

    /// How many numbers it turns.
    pub fn width(&self) -> usize {
        self.signs.len()
    }

    /// Multiplications and additions for a row.
    pub fn macs(&self) -> usize {
        let (n, order) = (self.width(), self.order);
        n * (1 + (n / order).ilog2() as usize + if order > 1 { order } else { 0 })
    }

    fn all(&self, x: &Array, back: bool) -> Array {
        let n = self.width();
        let mut y = x.clone();
        par::chunks_mut(y.data_mut(), par::block_rows(n) * n, |_, y| {
            let mut scratch = vec![0.0; self.order];
            y.chunks_exact_mut(n).for_each(|row| self.row(row, &mut scratch, back));
        });
        y
    }

    fn row(&self, x: &mut [f32], scratch: &mut [f32], back: bool) {
        if !back {
            x.iter_mut().zip(&self.signs).for_each(|(x, sign)| *x *= sign);
        }
        let order = self.order;
        if order > 1 {
            for run in x.chunks_exact_mut(order) {
                for (i, out) in scratch.iter_mut().enumerate() {
                    let entry = |j: usize| self.factor[if back { j * order + i } else { i * order + j }];
                    *out = run.iter().enumerate().map(|(j, x)| entry(j) * x).sum();
                }
                run.copy_from_slice(scratch);
            }
        }
        let mut half = order;
        while half < x.len() {
            for pair in x.chunks_exact_mut(2 * half) {
                let (first, second) = pair.split_at_mut(half);
                butterfly(first, second);
            }
            half *= 2;
        }
        let scale = (x.len() as f32).sqrt().recip();
        match back {
            true => x.iter_mut().zip(&self.signs).for_each(|(x, sign)| *x *= sign * scale),
            false => x.iter_mut().for_each(|x| *x *= scale),
        }
    }
}

/// Every row turned: H S x, or with `back` S H^T x, which undoes it.
///
/// # Shapes
/// x any shape of the transform's width, which the result has, too.
///
/// # Panics
/// When x has another width.
#[track_caller]
pub fn hadamard(x: &Var, transform: &Arc<Hadamard>, back: bool) -> Var {
    assert_eq!(x.value().width(), transform.width(), "rows of a transform");
    let y = transform.all(x.value(), back);
    let transform = Arc::clone(transform);
    // Orthogonal: the gradient goes back the way the values came.
    record(&[x], y, move |gradient, sink| sink.add(0, transform.all(&gradient, !back)))
}
