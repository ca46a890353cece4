//! Contracting a range of neighboring cores, and its gradient.
//!
//! A product of two neighboring ranges has the axes d0, rows and columns of the left one, rows and columns of the right
//! one, d1. Before it is multiplied again its rows are brought together, and its columns: it is small then, and whatever
//! reorders the larger product later moves long runs.

use std::ops::Range;

use crate::op::matmul::product;
use crate::op::permute::reorder;
use crate::tape::Sink;
use crate::{Array, Var};

/// Sizes of the cores, and for every range the cut that needs the fewest multiplications.
pub(in crate::op) struct Chain {
    shapes: Vec<[usize; 4]>,
    cuts: Vec<Vec<usize>>,
}

/// What the gradient of a range needs.
pub(in crate::op) enum Node {
    /// No core at all: the number 1.
    Empty,
    /// A core itself.
    Core(usize),
    /// The product of two neighboring ranges.
    Merge { range: Range<usize>, parts: Box<[(Array, Node); 2]> },
}

impl Chain {
    #[track_caller]
    pub(in crate::op) fn new(cores: &[Var]) -> Chain {
        assert!(!cores.is_empty(), "an operator without cores");
        let mut bond = 1;
        let shapes: Vec<[usize; 4]> = cores
            .iter()
            .enumerate()
            .map(|(i, core)| {
                let &[left, row, col, right] = core.shape() else {
                    panic!("core {i} has shape {:?}, expected four axes", core.shape())
                };
                assert_eq!(left, bond, "left bond of core {i} of shape {:?}", core.shape());
                bond = right;
                [left, row, col, right]
            })
            .collect();
        assert_eq!(bond, 1, "right bond of the last core");
        let cuts = cheapest_cuts(&shapes);
        Chain { shapes, cuts }
    }

    pub(in crate::op) fn len(&self) -> usize {
        self.shapes.len()
    }

    /// The bond left of a core; after the last one, the bond that ends the chain.
    pub(in crate::op) fn bond(&self, core: usize) -> usize {
        self.shapes.get(core).map_or(1, |shape| shape[0])
    }

    pub(in crate::op) fn rows(&self, range: Range<usize>) -> usize {
        self.shapes[range].iter().map(|s| s[1]).product()
    }

    pub(in crate::op) fn cols(&self, range: Range<usize>) -> usize {
        self.shapes[range].iter().map(|s| s[2]).product()
    }

    /// Rows and columns of both parts of a contracted range, in the order of its axes; those of a single core.
    pub(in crate::op) fn pairs(&self, range: Range<usize>) -> Vec<usize> {
        let cut = if range.len() < 2 { range.end } else { self.cuts[range.start][range.end] };
        let parts = [range.start..cut, cut..range.end];
        let used = parts.into_iter().filter(|part| !part.is_empty());
        used.flat_map(|part| [self.rows(part.clone()), self.cols(part)]).collect()
    }

    /// Where to cut the whole chain.
    pub(in crate::op) fn root_cut(&self) -> usize {
        self.cuts[0][self.len()]
    }

    /// Where to cut a range of several cores.
    pub(in crate::op) fn cut(&self, range: &Range<usize>) -> usize {
        self.cuts[range.start][range.end]
    }

    /// The contraction of a range: d0, its [`pairs`](Self::pairs), d1.
    pub(in crate::op) fn contract(&self, cores: &[Var], range: Range<usize>) -> (Array, Node) {
        if range.is_empty() {
            return (Array::full(&[1], 1.0), Node::Empty);
        }
        if range.len() == 1 {
            return (cores[range.start].value().clone(), Node::Core(range.start));
        }
        let cut = self.cuts[range.start][range.end];
        let (left, left_node) = self.part(cores, range.start..cut);
        let (right, right_node) = self.part(cores, cut..range.end);
        let (rows, bond, cols) = self.product_shape(&range, cut);
        let mut out = Array::stale(&[rows * cols]);
        product((&mut out, [rows, cols]), false, (&left, false), (&right, false), bond);
        let parts = Box::new([(left, left_node), (right, right_node)]);
        (out, Node::Merge { range, parts })
    }

    /// The contraction of a range with its rows together and its columns together: d0, rows, columns, d1.
    fn part(&self, cores: &[Var], range: Range<usize>) -> (Array, Node) {
        let (value, node) = self.contract(cores, range.clone());
        (self.swapped(value, &range, false), node)
    }

    /// A contracted range with columns of the left part and rows of the right part swapped, or swapped back.
    fn swapped(&self, value: Array, range: &Range<usize>, back: bool) -> Array {
        let Some([first, left_cols, right_rows, last]) = self.swapped_shape(range) else { return value };
        let (a, b) = if back { (right_rows, left_cols) } else { (left_cols, right_rows) };
        let mut out = Array::stale(&[value.len()]);
        reorder(&mut out, &value, &[first, a, b, last], &[0, 2, 1, 3], false);
        out
    }

    /// A contracted range as d0 and left rows, left columns, right rows, right columns and d1; nothing for a single core.
    pub(in crate::op) fn swapped_shape(&self, range: &Range<usize>) -> Option<[usize; 4]> {
        let &[left_rows, left_cols, right_rows, right_cols] = self.pairs(range.clone()).as_slice() else {
            return None;
        };
        let (first, last) = (self.shapes[range.start][0], self.shapes[range.end - 1][3]);
        Some([first * left_rows, left_cols, right_rows, right_cols * last])
    }

    /// Pours the gradient of a contracted range into its cores.
    pub(in crate::op) fn backward(&self, node: Node, gradient: Array, sink: &mut Sink<'_>) {
        let (range, parts) = match node {
            Node::Empty => return,
            Node::Core(core) => return sink.add(core, gradient.reshape(&self.shapes[core])),
            Node::Merge { range, parts } => (range, parts),
        };
        let cut = self.cuts[range.start][range.end];
        let (rows, bond, cols) = self.product_shape(&range, cut);
        let [(left, left_node), (right, right_node)] = *parts;
        if (range.start..cut).any(|core| sink.wants(core)) {
            let mut d = Array::stale(&[rows * bond]);
            product((&mut d, [rows, bond]), false, (&gradient, false), (&right, true), cols);
            self.backward(left_node, self.swapped(d, &(range.start..cut), true), sink);
        }
        if (cut..range.end).any(|core| sink.wants(core)) {
            let mut d = Array::stale(&[bond * cols]);
            product((&mut d, [bond, cols]), false, (&left, true), (&gradient, false), rows);
            self.backward(right_node, self.swapped(d, &(cut..range.end), true), sink);
        }
    }

    /// Rows, inner size and columns of the product of both parts of a range.
    pub(in crate::op) fn product_shape(&self, range: &Range<usize>, cut: usize) -> (usize, usize, usize) {
        let size = |range: Range<usize>| self.rows(range.clone()) * self.cols(range);
        (
            self.shapes[range.start][0] * size(range.start..cut),
            self.bond(cut),
            size(cut..range.end) * self.shapes[range.end - 1][3],
        )
    }
}

/// The cut of every range with the fewest multiplications, by dynamic programming over ranges: exact.
fn cheapest_cuts(shapes: &[[usize; 4]]) -> Vec<Vec<usize>> {
    let n = shapes.len();
    let mut cost = vec![vec![0.0f64; n + 1]; n + 1];
    let mut cuts = vec![vec![0; n + 1]; n + 1];
    for len in 2..=n {
        for start in 0..=n - len {
            let end = start + len;
            let size: f64 = shapes[start..end].iter().map(|s| (s[1] * s[2]) as f64).product();
            let outer = size * (shapes[start][0] * shapes[end - 1][3]) as f64;
            cost[start][end] = f64::INFINITY;
            for cut in start + 1..end {
                let total = cost[start][cut] + cost[cut][end] + outer * shapes[cut][0] as f64;
                if total < cost[start][end] {
                    cost[start][end] = total;
                    cuts[start][end] = cut;
                }
            }
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_cut_avoids_the_wide_bond() {
        // Bonds 1-16-32-2-16-1 of a 768 x 3072 matrix: the last product is done over the bond of 2.
        let shapes = [[1, 4, 4, 16], [16, 4, 4, 32], [32, 3, 6, 2], [2, 4, 8, 16], [16, 4, 4, 1]];
        let cuts = cheapest_cuts(&shapes);
        assert_eq!(cuts[0][5], 3);
        assert_eq!((cuts[0][2], cuts[3][5]), (1, 4));
    }
}
