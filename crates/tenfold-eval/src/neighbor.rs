//! Nearest neighbors by cosine among a list of vectors.

use rayon::prelude::*;
use std::cmp::Ordering;
use tenfold_tensor::Array;
use tenfold_tensor::product::{Threads, View, ViewMut, gemm};

/// Rows whose similarities to all others are held at a time.
const BLOCK: usize = 256;

/// For every row of `vectors` (B x D) the `k` other rows of largest cosine, nearest first. Equal cosines are
/// ordered by position; a zero vector has cosine 0 to every other.
///
/// # Panics
/// When `k` is not below the number of rows.
#[track_caller]
pub(crate) fn nearest(vectors: &Array, k: usize) -> Vec<Vec<usize>> {
    let (count, width) = (vectors.height(), vectors.width());
    assert!(k < count, "{k} neighbors among {count} rows");
    let unit = normalized(vectors.data(), width);
    let mut found = Vec::with_capacity(count);
    let mut similar = vec![0.0f32; BLOCK.min(count) * count];
    for start in (0..count).step_by(BLOCK) {
        let rows = BLOCK.min(count - start);
        let block = &mut similar[..rows * count]; // rows x B
        let left = View::new(&unit[start * width..][..rows * width], rows, width);
        let right = View::new(&unit, count, width).t();
        gemm(ViewMut::new(block, rows, count), 0.0, 1.0, left, right, Threads::All);
        let chosen = block.par_chunks(count).enumerate().map(|(at, row)| best(row, start + at, k));
        found.par_extend(chosen);
    }
    found
}

/// Every row divided by its length; a zero row stays zero.
fn normalized(values: &[f32], width: usize) -> Vec<f32> {
    let mut unit = values.to_vec();
    for row in unit.chunks_exact_mut(width.max(1)) {
        let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|value| *value = (f64::from(*value) / length) as f32);
        }
    }
    unit
}

/// The positions of the `k` largest values, `skip` left out.
fn best(row: &[f32], skip: usize, k: usize) -> Vec<usize> {
    let order = |&a: &usize, &b: &usize| -> Ordering { row[b].total_cmp(&row[a]).then(a.cmp(&b)) };
    let mut others: Vec<usize> = (0..row.len()).filter(|&at| at != skip).collect();
    if k < others.len() {
        others.select_nth_unstable_by(k, order);
        others.truncate(k);
    }
    others.sort_unstable_by(order);
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_on_a_circle() {
        let angles = [0.0f32, 0.1, 0.3, 3.0, 2.9];
        let rows = angles.iter().flat_map(|a| [5.0 * a.cos(), 5.0 * a.sin()]).collect();
        let found = nearest(&Array::from_vec(rows, &[5, 2]), 2);
        assert_eq!(found, [[1, 2], [0, 2], [1, 0], [4, 2], [3, 2]]);
    }

    #[test]
    fn equal_cosines_go_by_position() {
        let found = nearest(&Array::from_vec(vec![1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 3.0, 0.0], &[4, 2]), 3);
        assert_eq!(found[0], [2, 3, 1]);
        assert_eq!(found[1], [0, 2, 3]);
    }

    #[test]
    fn blocks_join_seamlessly() {
        let count = BLOCK + 3;
        let angle = |at: usize| at as f32 * 0.02;
        let rows = (0..count).flat_map(|at| [angle(at).cos(), angle(at).sin()]).collect();
        let found = nearest(&Array::from_vec(rows, &[count, 2]), 2);
        for at in [1, BLOCK - 1, BLOCK, BLOCK + 1] {
            let mut pair = found[at].clone();
            pair.sort_unstable();
            assert_eq!(pair, [at - 1, at + 1]);
        }
    }
}
