//! What a form costs: stored parameters and bytes, multiply-adds, and which way of applying an MPO is cheapest.

use std::ops::Add;
use tenfold_linalg::MpoShape;

/// Multiply-adds that take as long as moving one byte through a permuted copy: the chain's small products
/// and copies run far below a dense product's rate.
const MACS_PER_BYTE: usize = 8;

/// Parameters, bytes and multiply-adds of a form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Stored numbers.
    pub parameters: usize,
    /// Stored bytes, without file headers.
    pub bytes: usize,
    /// Multiply-adds to apply the weight to one row of activations.
    pub macs_per_row: usize,
    /// Multiply-adds to build the dense matrix once; 0 where it is never built.
    pub rebuild_macs: usize,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            parameters: self.parameters + other.parameters,
            bytes: self.bytes + other.bytes,
            macs_per_row: self.macs_per_row + other.macs_per_row,
            rebuild_macs: self.rebuild_macs + other.rebuild_macs,
        }
    }
}

/// Multiply-adds to contract one row of activations through the chain, core by core.
pub fn chain_macs(shape: &MpoShape, bonds: &[usize]) -> usize {
    sites(shape, bonds).map(|site| site.macs).sum()
}

/// Multiply-adds to contract all cores into the matrix in the cheapest order of pairwise merges.
pub fn rebuild_macs(shape: &MpoShape, bonds: &[usize]) -> usize {
    merge_macs(shape, bonds)[0][shape.cores()]
}

/// Multiply-adds to contract the cores `from..to` in the cheapest order of pairwise merges, at `[from][to]`.
fn merge_macs(shape: &MpoShape, bonds: &[usize]) -> Vec<Vec<usize>> {
    let sizes: Vec<usize> = shape.row_factors().iter().zip(shape.col_factors()).map(|(i, j)| i * j).collect();
    let cores = sizes.len();
    let span = |from: usize, to: usize| sizes[from..to].iter().product::<usize>();
    let mut best = vec![vec![0usize; cores + 1]; cores + 1];
    for width in 2..=cores {
        for from in 0..=cores - width {
            let to = from + width;
            let merge = |cut: usize| bonds[from] * span(from, to) * bonds[cut] * bonds[to];
            best[from][to] =
                (from + 1..to).map(|cut| best[from][cut] + best[cut][to] + merge(cut)).min().unwrap_or(0);
        }
    }
    best
}

/// Whether contracting `rows` rows of activations through the chain beats one dense product with the rebuilt
/// matrix. In evaluation the rebuilt matrix is cached and costs nothing per call.
pub fn chain_pays(shape: &MpoShape, bonds: &[usize], rows: usize, training: bool) -> bool {
    let chain: usize = sites(shape, bonds).map(|site| site.macs + MACS_PER_BYTE * site.bytes).sum();
    let dense = shape.padded_rows() * shape.padded_cols();
    let once = if training { rebuild_macs(shape, bonds) } else { 0 };
    rows.saturating_mul(chain) < rows.saturating_mul(dense).saturating_add(once)
}

/// Whether multiplying out only the rows `ids` beats multiplying out the matrix, rows being padded ones. In evaluation the
/// rebuilt matrix is cached and costs nothing per call.
pub fn rows_pay(shape: &MpoShape, bonds: &[usize], ids: &[u32], training: bool) -> bool {
    training && rows_macs(shape, bonds, ids) < rebuild_macs(shape, bonds)
}

/// Multiply-adds to contract the rows `ids`: the cores on either side of the central one whole, one product per block
/// of rows that agree up to the central core, and one per row.
pub fn rows_macs(shape: &MpoShape, bonds: &[usize], ids: &[u32]) -> usize {
    let central = shape.central();
    let cols = shape.col_factors();
    let right_rows: usize = shape.row_factors()[central + 1..].iter().product();
    let left_cols: usize = cols[..central].iter().product();
    let right_cols: usize = cols[central + 1..].iter().product();
    let per_row = left_cols * cols[central] * bonds[central + 1] * right_cols;
    let per_block = left_cols * bonds[central] * cols[central] * bonds[central + 1];
    let mut unique = ids.to_vec();
    unique.sort_unstable();
    unique.dedup();
    let blocks = unique.chunk_by(|a, b| *a as usize / right_rows == *b as usize / right_rows).count();
    let merges = merge_macs(shape, bonds);
    let sides = merges[0][central] + merges[central + 1][shape.cores()];
    sides + blocks * per_block + unique.len() * per_row
}

struct Site {
    macs: usize,
    bytes: usize,
}

/// Each site of the chain for one row of activations: the product's multiply-adds and the bytes that its two
/// permutations read and write.
fn sites<'a>(shape: &'a MpoShape, bonds: &'a [usize]) -> impl Iterator<Item = Site> + 'a {
    let (mut done, mut left) = (1, shape.padded_cols());
    (0..shape.cores()).map(move |k| {
        let (i, j) = (shape.row_factors()[k], shape.col_factors()[k]);
        let before = done * left * bonds[k];
        left /= j;
        let macs = done * left * j * bonds[k] * i * bonds[k + 1];
        done *= i;
        Site { macs, bytes: 8 * (before + done * left * bonds[k + 1]) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published table (millions of multiply-adds) contracts from the last core; from the first is cheaper here.
    #[test]
    fn costs_of_the_published_shapes() {
        let shape = MpoShape::new(vec![3, 4, 4, 4, 4], vec![4, 4, 4, 4, 3]).unwrap();
        for (cap, rebuild, chain) in [(usize::MAX, 234e6, 170e6), (64, 57.6e6, 23.1e6), (16, 17.3e6, 2.70e6)]
        {
            let bonds = shape.capped(cap);
            assert!(rebuild_macs(&shape, &bonds) as f64 <= rebuild * 1.01, "rebuild at {cap}");
            assert!(chain_macs(&shape, &bonds) as f64 <= chain * 1.01, "chain at {cap}");
        }
        let by_site = [27_648, 5_308_416, 84_934_656, 5_308_416, 27_648];
        assert_eq!(chain_macs(&shape, &shape.full_bonds()), by_site.iter().sum::<usize>());
    }

    #[test]
    fn rows_pay_while_few_blocks_are_in_use() {
        let shape = MpoShape::new(vec![6, 8, 10, 8, 8], vec![3, 4, 4, 4, 2]).unwrap();
        let bonds = shape.full_bonds();
        // Blocks of 64 rows: 20 rows of 3 blocks.
        let ids: Vec<u32> = (0..20).map(|at| 2000 + at * 7).collect();
        let (per_block, per_row) = (12 * 576 * 4 * 512, 12 * 4 * 512 * 8);
        let sides = 576 * 18 * 576 + 512 * 512 * 16;
        assert_eq!(rows_macs(&shape, &bonds, &ids), sides + 3 * per_block + 20 * per_row);
        assert!(rows_pay(&shape, &bonds, &ids, true) && !rows_pay(&shape, &bonds, &ids, false));
        let all: Vec<u32> = (0..30_720).collect();
        assert!(!rows_pay(&shape, &bonds, &all, true));
    }

    #[test]
    fn the_chain_pays_only_at_tiny_bonds() {
        let shape = MpoShape::new(vec![3, 4, 4, 4, 4], vec![4, 4, 8, 6, 4]).unwrap();
        assert!(chain_pays(&shape, &shape.capped(1), 1, true));
        assert!(!chain_pays(&shape, &shape.capped(32), 512, true));
        assert!(!chain_pays(&shape, &shape.capped(16), 1, false));
    }
}
