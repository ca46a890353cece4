//! The matrices of several operators of one shape.

use super::chain::Chain;
use super::mpo_rebuild;
use super::order::Order;
use crate::op::{matmul_each, member, permute, reshape, stack};
use crate::{Var, device};
use std::ops::Range;

/// The matrix of each of several operators, as [`mpo_rebuild`](super::mpo_rebuild()) makes it. On a device those whose cores have
/// the same shapes are made together, in a few launches for all; a core that they share is contracted once where it meets only
/// shared ones.
///
/// # Shapes
/// The cores of every member as for one operator; a matrix for each.
///
/// # Panics
/// As for one operator.
#[track_caller]
pub fn mpo_rebuild_each(members: &[Vec<Var>]) -> Vec<Var> {
    let alike = |cores: &Vec<Var>| cores.iter().map(Var::shape).eq(members[0].iter().map(Var::shape));
    if device::is_used() && members.len() > 1 && members.iter().all(alike) && members[0].len() > 1 {
        return together(members);
    }
    members.iter().map(|cores| mpo_rebuild(cores)).collect()
}

/// The same on a device, for operators of one shape with several cores.
pub(super) fn together(members: &[Vec<Var>]) -> Vec<Var> {
    device::bring(members.iter().flatten().map(Var::value));
    let batch = Batch { chain: Chain::new(&members[0]), members };
    let whole = batch.rebuild();
    match whole.shape()[0] {
        1 => vec![reshape(&whole, &whole.shape()[1..]); members.len()],
        count => (0..count).map(|at| member(&whole, at)).collect(),
    }
}

/// Operators of one shape. Values of a range of cores have the member as their first dimension, of length 1 where all share it.
struct Batch<'m> {
    chain: Chain,
    members: &'m [Vec<Var>],
}

impl Batch<'_> {
    /// Members x rows x columns.
    fn rebuild(&self) -> Var {
        let (chain, n) = (&self.chain, self.chain.len());
        let cut = chain.root_cut();
        let [left_rows, right_rows] = [0..cut, cut..n].map(|range| chain.rows(range));
        let [left_cols, right_cols] = [0..cut, cut..n].map(|range| chain.cols(range));
        let bond = chain.bond(cut);
        let left = ordered(&self.contract(0..cut), &Order::left(chain, 0..cut));
        let right = ordered(&self.contract(cut..n), &Order::right(chain, cut..n).bond_first());
        let (of_left, of_right) = (left.shape()[0], right.shape()[0]);
        let joined = matmul_each(
            &reshape(&left, &[of_left, left_rows * left_cols, bond]),
            &reshape(&right, &[of_right, bond, right_rows * right_cols]),
        );
        let count = joined.shape()[0];
        let apart = reshape(&joined, &[count, left_rows, left_cols, right_rows, right_cols]);
        let whole = permute(&apart, &[0, 1, 3, 2, 4]);
        reshape(&whole, &[count, left_rows * right_rows, left_cols * right_cols])
    }

    /// The contraction of a range: members, then what one operator's has.
    fn contract(&self, range: Range<usize>) -> Var {
        if range.len() == 1 {
            return self.core(range.start);
        }
        let cut = self.chain.cut(&range);
        let (rows, bond, cols) = self.chain.product_shape(&range, cut);
        let [left, right] = [range.start..cut, cut..range.end].map(|part| {
            let value = self.contract(part.clone());
            let shape = self.chain.swapped_shape(&part);
            match shape {
                Some([first, a, b, last]) => {
                    let of = value.shape()[0];
                    permute(&reshape(&value, &[of * first, a, b, last]), &[0, 2, 1, 3])
                }
                None => value,
            }
        });
        let of = |value: &Var, len: usize| value.value().len() / len.max(1);
        matmul_each(
            &reshape(&left, &[of(&left, rows * bond), rows, bond]),
            &reshape(&right, &[of(&right, bond * cols), bond, cols]),
        )
    }

    /// A core of all members.
    fn core(&self, at: usize) -> Var {
        let first = &self.members[0][at];
        let all = self.members.iter().map(|cores| &cores[at]);
        if all.clone().all(|core| core.is_same(first)) {
            let shape: Vec<usize> = [1].into_iter().chain(first.shape().iter().copied()).collect();
            return reshape(first, &shape);
        }
        stack(&all.cloned().collect::<Vec<_>>())
    }
}

/// The contraction of a range of all members in an order.
fn ordered(value: &Var, order: &Order) -> Var {
    let of = value.shape()[0];
    let shape: Vec<usize> = [of].into_iter().chain(order.shape().iter().copied()).collect();
    let axes: Vec<usize> = [0].into_iter().chain(order.axes().iter().map(|axis| axis + 1)).collect();
    permute(&reshape(value, &shape), &axes)
}
