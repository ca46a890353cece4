//! Rows of the matrix of a matrix product operator, without the rest of the matrix.
//!
//! A row index is a number whose digits are the row indices of the cores. Cut at one core it has three parts, left,
//! middle and right; the row is the product of what each part selects. The left and the right cores are contracted whole,
//! which is little work. Rows with the same left and middle part share the product of the two, so it is computed
//! once for each pair in use ([`Rows`]); the middle core, which holds nearly all numbers, is read and never copied. The
//! gradient goes the same way back.

use std::ops::Range;

use super::mpo_rebuild::chain::{Chain, Node};
use super::mpo_rebuild::order::Order;
use crate::kernel::{elementwise, small};
use crate::par::{self, Shared};
use crate::product::{Threads, View, ViewMut, gemm};
use crate::tape::record;
use crate::{Array, Error, Var};

/// The rows that the ids name, in order, of the matrix of a matrix product operator (see
/// [`mpo_rebuild`](super::mpo_rebuild)). Cheaper than the whole matrix when the ids fall on few of the blocks of rows that
/// agree in the indices of the cores up to `middle`.
///
/// # Shapes
/// Every core [d0, i, j, d1]; neighbors share a bond, the outer bonds are 1. The result is N x (prod j) for N ids.
///
/// # Errors
/// [`Error::IdOutOfRange`] for an id that is not below prod i.
///
/// # Panics
/// When there is no core `middle`, a core does not have four axes, or bonds do not match.
#[track_caller]
pub fn mpo_rows(cores: &[Var], middle: usize, ids: &[u32]) -> Result<Var, Error> {
    assert!(middle < cores.len(), "no core {middle} among {}", cores.len());
    let chain = Chain::new(cores);
    let rows = chain.rows(0..cores.len());
    if let Some((position, &id)) = ids.iter().enumerate().find(|&(_, &id)| id as usize >= rows) {
        return Err(Error::IdOutOfRange { id, position, rows });
    }
    let sizes = Sizes::new(&chain, middle);
    let inputs: Vec<&Var> = cores.iter().collect();
    let (before, after) = (0..middle, middle + 1..cores.len());
    let left = Side::new(&chain, cores, before.clone(), Order::left(&chain, before));
    let right = Side::new(&chain, cores, after.clone(), Order::right(&chain, after));
    let left_parts = left.order.apply(&left.value); // left rows x left columns x left bond
    let core = cores[middle].value().clone();
    let used = Rows::new(ids, sizes);
    let pairs = used.pairs(&left_parts, &core);
    let unique = used.multiply(&pairs, &right.order.apply(&right.value));
    let width = sizes.width();
    let mut y = Array::stale(&[ids.len(), width]);
    par::chunks_mut(y.data_mut(), par::block_rows(width) * width, |start, chunk| {
        for (row, &at) in chunk.chunks_exact_mut(width).zip(&used.place[start / width..]) {
            row.copy_from_slice(&unique.data()[at * width..(at + 1) * width]);
        }
    });
    let last = cores.len();
    Ok(record(&inputs, y, move |gradient, sink| {
        let gradient = used.gather(&gradient);
        if (middle + 1..last).any(|core| sink.wants(core)) {
            let d = used.right_gradient(&pairs, &gradient);
            let d = right.order.restore(&d);
            chain.backward(right.node, d, sink);
        }
        let outer = (0..middle).any(|core| sink.wants(core));
        if !outer && !sink.wants(middle) {
            return;
        }
        let turned = right.order.bond_last().apply(&right.value); // right rows x right columns x right bond
        let gradient = used.pair_gradient(&gradient, &turned);
        if outer {
            let d = used.left_gradient(&gradient, &core);
            let d = left.order.restore(&d);
            chain.backward(left.node, d, sink);
        }
        sink.accumulate(middle, core.shape(), |out, filled| {
            if !filled {
                par::chunks_mut(out, par::GRAIN, |_, chunk| chunk.fill(0.0));
            }
            used.middle_gradient(&gradient, &left_parts, out);
        });
    }))
}

/// Sizes of the three parts.
#[derive(Clone, Copy)]
struct Sizes {
    left_rows: usize,
    left_cols: usize,
    left_bond: usize,
    rows: usize,
    cols: usize,
    right_bond: usize,
    right_rows: usize,
    right_cols: usize,
}

impl Sizes {
    fn new(chain: &Chain, middle: usize) -> Sizes {
        let (left, one, right) = (0..middle, middle..middle + 1, middle + 1..chain.len());
        Sizes {
            left_rows: chain.rows(left.clone()),
            left_cols: chain.cols(left),
            left_bond: chain.bond(middle),
            rows: chain.rows(one.clone()),
            cols: chain.cols(one),
            right_bond: chain.bond(middle + 1),
            right_rows: chain.rows(right.clone()),
            right_cols: chain.cols(right),
        }
    }

    /// Columns of a row.
    fn width(&self) -> usize {
        self.left_cols * self.cols * self.right_cols
    }

    /// Columns that the middle core adds, with its right bond: the width of a block of the middle core.
    fn block(&self) -> usize {
        self.cols * self.right_bond
    }

    /// Numbers of a pair's product: left columns x middle columns x right bond.
    fn pair(&self) -> usize {
        self.left_cols * self.block()
    }
}

/// The contracted cores on one side of the middle one.
struct Side {
    node: Node,
    order: Order,
    /// As contracted.
    value: Array,
}

impl Side {
    fn new(chain: &Chain, cores: &[Var], range: Range<usize>, order: Order) -> Side {
        let (value, node) = chain.contract(cores, range);
        Side { node, order, value }
    }
}

/// A left part in use together with a middle part.
#[derive(Clone, Copy)]
struct Pair {
    middle: usize,
    left: usize,
}

/// A row in use, each once.
#[derive(Clone, Copy)]
struct Row {
    pair: usize,
    right: usize,
}

/// The rows in use.
struct Rows {
    sizes: Sizes,
    /// By middle part, then by left part.
    pairs: Vec<Pair>,
    /// By pair, then by right part.
    rows: Vec<Row>,
    /// The row of each id.
    place: Vec<usize>,
}

impl Rows {
    fn new(ids: &[u32], sizes: Sizes) -> Rows {
        let parts = |id: u32| {
            let (head, right) = (id as usize / sizes.right_rows, id as usize % sizes.right_rows);
            (head % sizes.rows, head / sizes.rows, right)
        };
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|&at| parts(ids[at]));
        let (mut pairs, mut rows) = (Vec::<Pair>::new(), Vec::<Row>::new());
        let mut place = vec![0; ids.len()];
        for at in order {
            let (middle, left, right) = parts(ids[at]);
            if pairs.last().is_none_or(|last| (last.middle, last.left) != (middle, left)) {
                pairs.push(Pair { middle, left });
            }
            let pair = pairs.len() - 1;
            if rows.last().is_none_or(|last| (last.pair, last.right) != (pair, right)) {
                rows.push(Row { pair, right });
            }
            place[at] = rows.len() - 1;
        }
        Rows { sizes, pairs, rows, place }
    }

    /// Calls `f(middle part, range of pairs)` for the pairs of every middle part, in parallel. There may be hundreds of
    /// small groups, so products inside use one thread.
    fn each_group(&self, f: impl Fn(usize, Range<usize>) + Sync + Send) {
        let mut groups: Vec<Range<usize>> = Vec::new();
        for group in self.pairs.chunk_by(|a, b| a.middle == b.middle) {
            let start = groups.last().map_or(0, |last| last.end);
            groups.push(start..start + group.len());
        }
        par::each(groups.len(), |at| f(self.pairs[groups[at].start].middle, groups[at].clone()));
    }

    /// The left parts of some pairs below one another, (pairs left columns) x left bond.
    fn stacked(&self, left: &Array, pairs: Range<usize>) -> Vec<f32> {
        let size = self.sizes.left_cols * self.sizes.left_bond;
        self.pairs[pairs].iter().flat_map(|pair| &left.data()[pair.left * size..][..size]).copied().collect()
    }

    /// What a middle part selects of the middle core, left bond x (columns right bond).
    fn block<'a>(&self, core: &'a [f32], middle: usize) -> View<'a, f32> {
        let Sizes { left_bond, rows, .. } = self.sizes;
        let width = self.sizes.block();
        View::strided(&core[middle * width..], left_bond, width, rows * width, 1)
    }

    /// The product of each pair, pairs x left columns x columns x right bond.
    fn pairs(&self, left: &Array, core: &Array) -> Array {
        let Sizes { left_cols, left_bond, .. } = self.sizes;
        let size = self.sizes.pair();
        let mut out = Array::stale(&[self.pairs.len() * size]);
        let shared = Shared::new(out.data_mut());
        self.each_group(|middle, range| {
            let height = range.len() * left_cols;
            let stacked = self.stacked(left, range.clone());
            // SAFETY: every pair belongs to one group.
            let to = unsafe { shared.slice(range.start * size, range.len() * size) };
            let to = ViewMut::new(to, height, self.sizes.block());
            let stacked = View::new(&stacked, height, left_bond);
            gemm(to, 0.0, 1.0, stacked, self.block(core.data(), middle), Threads::One);
        });
        out
    }

    /// Each row in use, rows x width.
    fn multiply(&self, pairs: &Array, right: &Array) -> Array {
        let Sizes { left_cols, cols, right_bond, right_cols, .. } = self.sizes;
        let (size, width) = (self.sizes.pair(), self.sizes.width());
        let mut out = Array::stale(&[self.rows.len() * width]);
        par::chunks_mut(out.data_mut(), par::block_rows(width) * width, |start, chunk| {
            for (row, to) in self.rows[start / width..].iter().zip(chunk.chunks_exact_mut(width)) {
                let pair = View::new(&pairs.data()[row.pair * size..], left_cols * cols, right_bond);
                let right =
                    View::new(&right.data()[row.right * right_bond * right_cols..], right_bond, right_cols);
                small::product(ViewMut::new(to, left_cols * cols, right_cols), false, pair, right);
            }
        });
        out
    }

    /// The gradient of each row in use from those of all ids.
    fn gather(&self, gradient: &Array) -> Array {
        let width = self.sizes.width();
        let mut out = Array::stale(&[self.rows.len() * width]);
        let sums = out.data_mut();
        sums.fill(0.0);
        for (row, &at) in gradient.data().chunks_exact(width).zip(&self.place) {
            elementwise::add_assign(&mut sums[at * width..(at + 1) * width], row);
        }
        out
    }

    /// Gradient of the right side: of each right part, the sum over its rows of the transposed product of the pair
    /// times the gradient of the row.
    fn right_gradient(&self, pairs: &Array, gradient: &Array) -> Array {
        let Sizes { left_cols, cols, right_bond, right_rows, right_cols, .. } = self.sizes;
        let (size, width) = (self.sizes.pair(), self.sizes.width());
        let mut of_part: Vec<Vec<usize>> = vec![Vec::new(); right_rows];
        for (at, row) in self.rows.iter().enumerate() {
            of_part[row.right].push(at);
        }
        let each = right_bond * right_cols;
        let mut out = Array::stale(&[right_rows * each]);
        let shared = Shared::new(out.data_mut());
        par::each(right_rows, |part| {
            // SAFETY: every right part belongs to one task.
            let to = unsafe { shared.slice(part * each, each) };
            to.fill(0.0);
            for &at in &of_part[part] {
                let pair =
                    View::new(&pairs.data()[self.rows[at].pair * size..], left_cols * cols, right_bond);
                let row = View::new(&gradient.data()[at * width..], left_cols * cols, right_cols);
                small::product(ViewMut::new(to, right_bond, right_cols), true, pair.t(), row);
            }
        });
        out
    }

    /// Gradient of the pairs' products: of each pair, the sum over its rows of the gradient of the row times the
    /// transposed right part.
    fn pair_gradient(&self, gradient: &Array, turned: &Array) -> Array {
        let Sizes { left_cols, cols, right_bond, right_cols, .. } = self.sizes;
        let (size, width) = (self.sizes.pair(), self.sizes.width());
        let mut starts: Vec<usize> = Vec::with_capacity(self.pairs.len() + 1);
        starts.extend((0..self.pairs.len()).map(|pair| self.rows.partition_point(|row| row.pair < pair)));
        starts.push(self.rows.len());
        let mut out = Array::stale(&[self.pairs.len() * size]);
        let shared = Shared::new(out.data_mut());
        par::each(self.pairs.len(), |pair| {
            // SAFETY: every pair belongs to one task.
            let to = unsafe { shared.slice(pair * size, size) };
            for at in starts[pair]..starts[pair + 1] {
                let row = View::new(&gradient.data()[at * width..], left_cols * cols, right_cols);
                let part = self.rows[at].right * right_bond * right_cols;
                let right = View::new(&turned.data()[part..], right_cols, right_bond);
                small::product(ViewMut::new(to, left_cols * cols, right_bond), at > starts[pair], row, right);
            }
        });
        out
    }

    /// Gradient of the left side: of each left part, the sum over its pairs of the gradient of the pair's product times
    /// the transposed block of the middle core.
    fn left_gradient(&self, gradient: &Array, core: &Array) -> Array {
        let Sizes { left_rows, left_cols, left_bond, .. } = self.sizes;
        let (size, each) = (self.sizes.pair(), left_cols * left_bond);
        let mut products = Array::stale(&[self.pairs.len() * each]);
        let shared = Shared::new(products.data_mut());
        self.each_group(|middle, range| {
            let height = range.len() * left_cols;
            // SAFETY: every pair belongs to one group.
            let to = unsafe { shared.slice(range.start * each, range.len() * each) };
            let gradient = View::new(&gradient.data()[range.start * size..], height, self.sizes.block());
            let block = self.block(core.data(), middle).t();
            gemm(ViewMut::new(to, height, left_bond), 0.0, 1.0, gradient, block, Threads::One);
        });
        let mut out = Array::zeros(&[left_rows * each]);
        for (pair, part) in self.pairs.iter().zip(products.data().chunks_exact(each)) {
            elementwise::add_assign(&mut out.data_mut()[pair.left * each..][..each], part);
        }
        out
    }

    /// Adds the gradient of the middle core: of each of its blocks, the transposed left parts times the gradients of
    /// the pairs' products.
    fn middle_gradient(&self, gradient: &Array, left: &Array, out: &mut [f32]) {
        let Sizes { left_cols, left_bond, rows, .. } = self.sizes;
        let (size, width) = (self.sizes.pair(), self.sizes.block());
        let shared = Shared::new(out);
        self.each_group(|middle, range| {
            let height = range.len() * left_cols;
            let stacked = self.stacked(left, range.clone());
            // SAFETY: every middle part has a block of its own, and belongs to one group.
            let to = unsafe { shared.matrix(middle * width, left_bond, width, rows * width) };
            let stacked = View::new(&stacked, height, left_bond).t();
            let gradient = View::new(&gradient.data()[range.start * size..], height, width);
            gemm(to, 1.0, 1.0, stacked, gradient, Threads::One);
        });
    }
}
