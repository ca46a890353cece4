//! Contracting the cores of a matrix product operator to its matrix.
//!
//! The chain of cores is cut in two at the bond that an exact cost model finds. Each half is contracted by plain
//! matrix products of neighbors ([`chain`]) and reordered while it is small; the last product, which is nearly all of
//! the work, then writes the rows of the matrix in place, so the full matrix is never copied. The gradient goes the
//! same way back.

pub(super) mod chain;
mod each;
pub(super) mod order;

pub use each::mpo_rebuild_each;

use chain::{Chain, Node};
use order::Order;

use crate::device;
use crate::kernel::small;
use crate::par::{self, Shared};
use crate::product::{View, ViewMut};
use crate::tape::record;
use crate::{Array, Var};

/// Rows of the left half that one task multiplies with a block of the right half, which then stays in cache.
const LEFT_ROWS: usize = 16;
/// Columns, or rows, of one task in the backward products.
const BAND: usize = 64;

/// The matrix of a matrix product operator: W[(i1..in), (j1..jn)] = sum over the bonds of the product of
/// core_k[d(k-1), ik, jk, dk] (Gao et al. 2020, eq. 2).
///
/// # Shapes
/// Every core [d0, i, j, d1]; neighbors share a bond, the outer bonds are 1. The result is (prod i) x (prod j).
///
/// # Panics
/// When there is no core, a core does not have four axes, or bonds do not match.
#[track_caller]
pub fn mpo_rebuild(cores: &[Var]) -> Var {
    let chain = Chain::new(cores);
    let (rows, cols) = (chain.rows(0..cores.len()), chain.cols(0..cores.len()));
    if let [core] = cores {
        let shape = core.shape().to_vec();
        let w = core.value().reshape(&[rows, cols]);
        return record(&[core], w, move |gradient, sink| sink.add(0, gradient.reshape(&shape)));
    }
    if device::is_used() {
        return each::together(&[cores.to_vec()]).swap_remove(0);
    }
    let halves = Halves::new(&chain, cores);
    let inputs: Vec<&Var> = cores.iter().collect();
    let w = halves.multiply();
    record(&inputs, w, move |gradient, sink| {
        let n = chain.len();
        let cut = halves.cut;
        if (0..cut).any(|core| sink.wants(core)) {
            let left = halves.left_gradient(&gradient);
            chain.backward(halves.left_node, halves.left.restore(&left), sink);
        }
        if (cut..n).any(|core| sink.wants(core)) {
            let right = right_gradient(&halves.left_matrix, halves.sizes, &gradient);
            chain.backward(halves.right_node, halves.right.restore(&right), sink);
        }
    })
}

/// Row and column indices of both halves, and the bond between them.
#[derive(Clone, Copy)]
struct Sizes {
    left_rows: usize,
    left_cols: usize,
    bond: usize,
    right_rows: usize,
    right_cols: usize,
}

/// Both contracted halves.
struct Halves {
    cut: usize,
    sizes: Sizes,
    left: Order,
    right: Order,
    left_node: Node,
    right_node: Node,
    /// Left rows x left columns x bond.
    left_matrix: Array,
    /// Bond first, as contracted.
    right_value: Array,
}

impl Halves {
    fn new(chain: &Chain, cores: &[Var]) -> Halves {
        let n = chain.len();
        let cut = chain.root_cut();
        let (left_value, left_node) = chain.contract(cores, 0..cut);
        let (right_value, right_node) = chain.contract(cores, cut..n);
        let sizes = Sizes {
            left_rows: chain.rows(0..cut),
            left_cols: chain.cols(0..cut),
            bond: chain.bond(cut),
            right_rows: chain.rows(cut..n),
            right_cols: chain.cols(cut..n),
        };
        let (left, right) = (Order::left(chain, 0..cut), Order::right(chain, cut..n));
        let left_matrix = left.apply(&left_value);
        Halves { cut, sizes, left, right, left_node, right_node, left_matrix, right_value }
    }

    /// Every row of the matrix is one product: (left columns x bond) times (bond x right columns).
    fn multiply(&self) -> Array {
        let Sizes { left_rows, left_cols, bond, right_rows, right_cols } = self.sizes;
        let cols = left_cols * right_cols;
        let right = self.right.apply(&self.right_value); // right rows x bond x right columns
        let mut w = Array::stale(&[left_rows * right_rows, cols]);
        let out = Shared::new(w.data_mut());
        let blocks = left_rows.div_ceil(LEFT_ROWS);
        par::each(right_rows * blocks, |task| {
            let (j, block) = (task / blocks, task % blocks);
            let right = View::new(&right.data()[j * bond * right_cols..], bond, right_cols);
            for i in block * LEFT_ROWS..((block + 1) * LEFT_ROWS).min(left_rows) {
                let left = View::new(&self.left_matrix.data()[i * left_cols * bond..], left_cols, bond);
                // SAFETY: every row of the matrix belongs to one task.
                let row = unsafe { out.slice((i * right_rows + j) * cols, cols) };
                small::product(ViewMut::new(row, left_cols, right_cols), false, left, right);
            }
        });
        w
    }

    /// Gradient of the left half: of each block of columns, the sum over right rows of the gradient of the matrix's
    /// row times the transposed right block.
    fn left_gradient(&self, gradient: &Array) -> Array {
        let Sizes { left_rows, left_cols, bond, right_rows, right_cols } = self.sizes;
        let cols = left_cols * right_cols;
        let right = self.right.bond_last().apply(&self.right_value); // right rows x right columns x bond
        let mut out = Array::stale(&[left_rows * left_cols * bond]);
        let shared = Shared::new(out.data_mut());
        let bands = left_cols.div_ceil(BAND);
        par::each(left_rows * bands, |task| {
            let (i, band) = (task / bands, task % bands);
            let (first, count) = (band * BAND, BAND.min(left_cols - band * BAND));
            for j in 0..right_rows {
                let row = &gradient.data()[(i * right_rows + j) * cols + first * right_cols..];
                let right = View::new(&right.data()[j * right_cols * bond..], right_cols, bond);
                // SAFETY: every band of columns of a left row belongs to one task.
                let to = unsafe { shared.slice((i * left_cols + first) * bond, count * bond) };
                small::product(
                    ViewMut::new(to, count, bond),
                    j > 0,
                    View::new(row, count, right_cols),
                    right,
                );
            }
        });
        out
    }
}

/// Gradient of the right half: the sum over left rows of the transposed left block times the gradient of the row.
fn right_gradient(left: &Array, sizes: Sizes, gradient: &Array) -> Array {
    let Sizes { left_rows, left_cols, bond, right_rows, right_cols } = sizes;
    let cols = left_cols * right_cols;
    let mut out = Array::stale(&[right_rows * bond * right_cols]);
    let shared = Shared::new(out.data_mut());
    let bands = right_cols.div_ceil(BAND);
    par::each(right_rows * bands, |task| {
        let (j, band) = (task / bands, task % bands);
        let (first, count) = (band * BAND, BAND.min(right_cols - band * BAND));
        for i in 0..left_rows {
            let row = &gradient.data()[(i * right_rows + j) * cols + first..];
            let row = View::strided(row, left_cols, count, right_cols, 1);
            let left = View::new(&left.data()[i * left_cols * bond..], left_cols, bond).t();
            // SAFETY: every band of columns of a right row belongs to one task.
            let to = unsafe { shared.matrix(j * bond * right_cols + first, bond, count, right_cols) };
            small::product(to, i > 0, left, row);
        }
    });
    out
}
