//! Contracting the cores of a matrix product operator to its matrix.

use crate::kernel::permute;
use crate::product::{Threads, View, ViewMut, gemm};
use crate::tape::record;
use crate::{Array, Var};

/// The matrix of a matrix product operator: W[(i1..in), (j1..jn)] = sum over the bonds of the product of
/// core_k[d(k-1), ik, jk, dk] (Gao et al. 2020, eq. 2).
///
/// Neighbors are merged by plain matrix products in the cheapest order, and the interleaved result is reordered once.
/// The gradient walks the same tree of products.
///
/// # Shapes
/// Every core [d0, i, j, d1]; neighbors share a bond, the outer bonds are 1. The result is (prod i) x (prod j).
///
/// # Panics
/// When there is no core, a core does not have four axes, or bonds do not match.
#[track_caller]
pub fn mpo_rebuild(cores: &[Var]) -> Var {
    assert!(!cores.is_empty(), "an operator without cores");
    let mut bonds = vec![1];
    for (i, core) in cores.iter().enumerate() {
        let &[left, _, _, right] = core.shape() else { panic!("core {i} has shape {:?}", core.shape()) };
        assert_eq!(left, bonds[i], "left bond of core {i} of shape {:?}", core.shape());
        bonds.push(right);
    }
    assert_eq!(bonds[cores.len()], 1, "right bond of the last core");
    let dims: Vec<usize> = cores.iter().map(|core| core.shape()[1] * core.shape()[2]).collect();

    let mut merged = Vec::new();
    let root = merge(
        &cores.iter().map(|core| core.value().clone()).collect::<Vec<_>>(),
        &order(&dims, &bonds),
        &dims,
        &bonds,
        0..cores.len(),
        &mut merged,
    );
    let (shape, axes) = interleaved(cores);
    let rows: usize = cores.iter().map(|core| core.shape()[1]).product();
    let cols: usize = cores.iter().map(|core| core.shape()[2]).product();
    let mut w = Array::stale(&[rows, cols]);
    permute::permute(w.data_mut(), root.data(), &shape, &axes, false);

    let inputs: Vec<&Var> = cores.iter().collect();
    let shapes: Vec<Vec<usize>> = cores.iter().map(|core| core.shape().to_vec()).collect();
    record(&inputs, w, move |gradient, sink| {
        let mut inverse = vec![0; axes.len()];
        for (i, &axis) in axes.iter().enumerate() {
            inverse[axis] = i;
        }
        let permuted: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
        let mut flat = Array::stale(&[gradient.len()]);
        permute::permute(flat.data_mut(), gradient.data(), &permuted, &inverse, false);
        drop(gradient);
        let mut pending = vec![(0..shapes.len(), flat)];
        while let Some((range, gradient)) = pending.pop() {
            if range.len() == 1 {
                sink.add(range.start, gradient.reshape(&shapes[range.start]));
                continue;
            }
            let Some(Merge { left, right, rows, bond, cols, split }) = merged.pop() else {
                unreachable!("one merge per inner node of the tree")
            };
            let g = View::new(gradient.data(), rows, cols);
            let wanted = |range: std::ops::Range<usize>, sink: &crate::tape::Sink<'_>| {
                range.into_iter().any(|core| sink.wants(core))
            };
            let (before, after) = (range.start..split, split..range.end);
            let mut parts = Vec::new();
            if wanted(before.clone(), sink) || before.len() > 1 {
                let mut d = Array::stale(&[rows * bond]);
                let r = View::new(right.data(), bond, cols).t();
                gemm(ViewMut::new(d.data_mut(), rows, bond), 0.0, 1.0, g, r, Threads::All);
                parts.push((before, d));
            }
            if wanted(after.clone(), sink) || after.len() > 1 {
                let mut d = Array::stale(&[bond * cols]);
                let l = View::new(left.data(), rows, bond).t();
                gemm(ViewMut::new(d.data_mut(), bond, cols), 0.0, 1.0, l, g, Threads::All);
                parts.push((after, d));
            }
            pending.extend(parts);
        }
    })
}

/// One product of the tree: left (rows x bond) times right (bond x cols).
struct Merge {
    left: Array,
    right: Array,
    rows: usize,
    bond: usize,
    cols: usize,
    split: usize,
}

/// Contracts a range of cores; appends the merges left subtree first, then right subtree, then itself.
fn merge(
    cores: &[Array],
    splits: &[Vec<usize>],
    dims: &[usize],
    bonds: &[usize],
    range: std::ops::Range<usize>,
    merged: &mut Vec<Merge>,
) -> Array {
    if range.len() == 1 {
        return cores[range.start].clone();
    }
    let split = splits[range.start][range.end];
    let left = merge(cores, splits, dims, bonds, range.start..split, merged);
    let right = merge(cores, splits, dims, bonds, split..range.end, merged);
    let bond = bonds[split];
    let rows = bonds[range.start] * dims[range.start..split].iter().product::<usize>();
    let cols = dims[split..range.end].iter().product::<usize>() * bonds[range.end];
    let mut out = Array::stale(&[rows * cols]);
    gemm(
        ViewMut::new(out.data_mut(), rows, cols),
        0.0,
        1.0,
        View::new(left.data(), rows, bond),
        View::new(right.data(), bond, cols),
        Threads::All,
    );
    merged.push(Merge { left, right, rows, bond, cols, split });
    out
}

/// The split of every range of cores that needs the fewest multiplications, by dynamic programming over ranges.
fn order(dims: &[usize], bonds: &[usize]) -> Vec<Vec<usize>> {
    let n = dims.len();
    let mut cost = vec![vec![0.0f64; n + 1]; n + 1];
    let mut splits = vec![vec![0; n + 1]; n + 1];
    for len in 2..=n {
        for start in 0..=n - len {
            let end = start + len;
            let outer = dims[start..end].iter().map(|&dim| dim as f64).product::<f64>()
                * bonds[start] as f64
                * bonds[end] as f64;
            cost[start][end] = f64::INFINITY;
            for split in start + 1..end {
                let total = cost[start][split] + cost[split][end] + outer * bonds[split] as f64;
                if total < cost[start][end] {
                    cost[start][end] = total;
                    splits[start][end] = split;
                }
            }
        }
    }
    splits
}

/// Shape i1 j1 .. in jn of the contracted chain, and the order of axes that makes it i1..in j1..jn.
fn interleaved(cores: &[Var]) -> (Vec<usize>, Vec<usize>) {
    let shape = cores.iter().flat_map(|core| [core.shape()[1], core.shape()[2]]).collect();
    let axes = (0..cores.len()).map(|k| 2 * k).chain((0..cores.len()).map(|k| 2 * k + 1)).collect();
    (shape, axes)
}
