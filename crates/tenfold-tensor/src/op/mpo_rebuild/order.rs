//! Reordering the axes of a contracted range of cores.

use std::ops::Range;

use super::chain::Chain;
use crate::Array;
use crate::op::permute::reorder;

/// How the axes of a contracted range are reordered.
pub(in crate::op) struct Order {
    shape: Vec<usize>,
    axes: Vec<usize>,
}

impl Order {
    /// Rows x columns x right bond, of a range that begins the chain.
    pub(in crate::op) fn left(chain: &Chain, range: Range<usize>) -> Order {
        let mut shape = chain.pairs(range.clone());
        let k = shape.len() / 2;
        shape.push(chain.bond(range.end));
        let axes = (0..k).map(|i| 2 * i).chain((0..k).map(|i| 2 * i + 1)).chain([2 * k]).collect();
        Order { shape, axes }
    }

    /// Rows x left bond x columns, of a range that ends the chain.
    pub(in crate::op) fn right(chain: &Chain, range: Range<usize>) -> Order {
        let mut shape = vec![chain.bond(range.start)];
        shape.extend(chain.pairs(range));
        let k = shape.len() / 2;
        let axes = (0..k).map(|i| 2 * i + 1).chain([0]).chain((0..k).map(|i| 2 * i + 2)).collect();
        Order { shape, axes }
    }

    /// The same with the left bond at the end: rows x columns x left bond.
    pub(in crate::op) fn bond_last(&self) -> Order {
        let axes = self.axes.iter().copied().filter(|&axis| axis != 0).chain([0]).collect();
        Order { shape: self.shape.clone(), axes }
    }

    /// The same with the left bond in front: left bond x rows x columns.
    pub(in crate::op) fn bond_first(&self) -> Order {
        let axes = [0].into_iter().chain(self.axes.iter().copied().filter(|&axis| axis != 0)).collect();
        Order { shape: self.shape.clone(), axes }
    }

    /// The axes of the contracted range, and where each of the result comes from.
    pub(in crate::op) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Which of those axes each of the result is.
    pub(in crate::op) fn axes(&self) -> &[usize] {
        &self.axes
    }

    /// The contracted range in this order.
    pub(in crate::op) fn apply(&self, value: &Array) -> Array {
        let mut out = Array::stale(&[value.len()]);
        reorder(&mut out, value, &self.shape, &self.axes, false);
        out
    }

    /// The gradient of the contracted range from that of the reordered one.
    pub(in crate::op) fn restore(&self, gradient: &Array) -> Array {
        let mut inverse = vec![0; self.axes.len()];
        for (i, &axis) in self.axes.iter().enumerate() {
            inverse[axis] = i;
        }
        let shape: Vec<usize> = self.axes.iter().map(|&axis| self.shape[axis]).collect();
        let mut out = Array::stale(&[gradient.len()]);
        reorder(&mut out, gradient, &shape, &inverse, false);
        out
    }
}
