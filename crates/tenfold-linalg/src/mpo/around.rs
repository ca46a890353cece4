//! What an error of one core does to the outputs of the whole operator.

use super::Core;
use crate::matrix::Matrix;

/// The moment of inputs (I x I) as the numbers of core k meet it, (j b) x (j b) for its column factor j and its right bond b: an
/// error E of the core, whose rows are its left bond and row factor together, changes the outputs by tr(E M E^T), up to a factor
/// for each row and what errors at different left indices do together. Both vanish where the cores to the left are orthonormal
/// and the moment is a multiple of the identity, and for the down factor of a product whose other factor is orthogonal; for a
/// first core there is nothing to the left.
///
/// With L(i, j; a) the product of the cores to the left and R(b; i, j) of those to the right, rows i and columns j of each,
/// `M[(j b), (j' b')] = sum of L(i, l; a) L(i, l'; a) H[(l j r), (l' j' r')] R(b; i', r) R(b'; i', r')` over i, i', l, l', r, r' and a.
/// Columns that pad the matrix have no inputs; rows that pad it count like others.
///
/// # Panics
/// When cores do not chain, there is no such core, or the moment is not square or wider than they are.
pub fn moment_around(cores: &[Core], k: usize, moment: &Matrix) -> Matrix {
    let one = || Side { cols: 1, data: vec![1.0] };
    let left = cores[..k].iter().fold(one(), |side, core| side.before(core));
    let right = cores[k + 1..].iter().rev().fold(one(), |side, core| side.after(core));
    let core = &cores[k];
    let (outer, inner, last) = (left.cols, core.col, right.cols);
    // Sums over rows to the left and the left bond.
    let mut weights = Matrix::zeros(outer, outer);
    for rows in left.data.chunks_exact(outer * core.left) {
        let rows = Matrix::from_fn(outer, core.left, |at, bond| rows[at * core.left + bond]);
        let product = rows.matmul(&rows.transpose());
        weights.data_mut().iter_mut().zip(product.data()).for_each(|(sum, one)| *sum += one);
    }
    // The moment without the columns to the left.
    let width = inner * last;
    let cols = moment.cols();
    assert!(moment.rows() == cols && cols <= outer * width, "a moment of the inputs");
    let mut seen = Matrix::zeros(width, width);
    for row in 0..cols {
        for col in 0..cols {
            let by = weights.get(row / width, col / width);
            seen.data_mut()[row % width * width + col % width] += by * moment.get(row, col);
        }
    }
    let bond = core.right;
    let mut found = Matrix::zeros(inner * bond, inner * bond);
    for rows in right.data.chunks_exact(last * bond) {
        // (j r) x (j b): the same product for every column factor.
        let step = Matrix::from_fn(width, inner * bond, |at, to| match at / last == to / bond {
            true => rows[at % last * bond + to % bond],
            false => 0.0,
        });
        let product = step.transpose().matmul(&seen).matmul(&step);
        found.data_mut().iter_mut().zip(product.data()).for_each(|(sum, one)| *sum += one);
    }
    found
}

/// A product of cores: rows x columns x the bond that is open, the bond fastest.
struct Side {
    cols: usize,
    data: Vec<f64>,
}

impl Side {
    fn before(&self, core: &Core) -> Self {
        let rows = self.data.len() / (self.cols * core.left);
        let cols = self.cols * core.col;
        let mut data = vec![0.0; rows * core.row * cols * core.right];
        for (at, &value) in self.data.iter().enumerate() {
            let (row, col, bond) = (at / core.left / self.cols, at / core.left % self.cols, at % core.left);
            for i in 0..core.row {
                for j in 0..core.col {
                    let from = ((bond * core.row + i) * core.col + j) * core.right;
                    let to = ((row * core.row + i) * cols + col * core.col + j) * core.right;
                    let pairs = data[to..to + core.right].iter_mut().zip(&core.data[from..]);
                    pairs.for_each(|(sum, one)| *sum += value * one);
                }
            }
        }
        Self { cols, data }
    }

    fn after(&self, core: &Core) -> Self {
        let (rows, cols) = (self.data.len() / (self.cols * core.right), core.col * self.cols);
        let mut data = vec![0.0; core.row * rows * cols * core.left];
        for (at, &value) in core.data.iter().enumerate() {
            let (bond, i) = (at / core.right / core.col / core.row, at / core.right / core.col % core.row);
            let (j, inner) = (at / core.right % core.col, at % core.right);
            for row in 0..rows {
                for col in 0..self.cols {
                    let to = ((i * rows + row) * cols + j * self.cols + col) * core.left + bond;
                    data[to] += value * self.data[(row * self.cols + col) * core.right + inner];
                }
            }
        }
        Self { cols, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bonds, Gauge, Mpo, MpoShape, decompose};

    fn numbers(rows: usize, cols: usize, seed: usize) -> Matrix {
        Matrix::from_fn(rows, cols, |i, j| {
            ((i * 37 + j * 101 + seed * 13 + i * j * 7) % 29) as f64 / 14.0 - 1.0
        })
    }

    fn gram(x: &Matrix) -> Matrix {
        x.transpose().matmul(x)
    }

    /// The change of outputs by an error of one core, against the definition.
    fn outputs(mpo: &Mpo, k: usize, at: usize, moment: &Matrix) -> f64 {
        let mut moved = mpo.clone();
        moved.cores[k].data[at] += 1.0;
        let change = moved.rebuild().subtract(&mpo.rebuild());
        change.matmul(moment).data().iter().zip(change.data()).map(|(a, b)| a * b).sum()
    }

    /// A single number of the first core, which has nothing to its left.
    #[test]
    fn an_error_of_a_first_core_counts_what_it_does_to_the_outputs() {
        let shape = MpoShape::new(vec![2, 3, 2], vec![3, 2, 2]).unwrap();
        let w = numbers(12, 12, 1);
        let mpo = decompose(&w, &shape, &Bonds::Cap(3), Gauge::Symmetric).unwrap();
        let moment = gram(&numbers(20, 12, 2));
        let found = moment_around(&mpo.cores, 0, &moment);
        let [_, rows, cols, right] = mpo.cores[0].shape();
        for row in 0..rows {
            for at in 0..cols * right {
                let want = outputs(&mpo, 0, row * cols * right + at, &moment);
                assert!((found.get(at, at) - want).abs() < 1e-9 * want.max(1.0), "{at}: {want}");
            }
        }
    }

    /// Elsewhere it is the sum over left indices.
    #[test]
    fn elsewhere_it_is_the_sum_over_left_indices() {
        let shape = MpoShape::new(vec![2, 3, 2], vec![3, 2, 2]).unwrap();
        let mpo = decompose(&numbers(12, 11, 3), &shape, &Bonds::Cap(3), Gauge::Sequential);
        let mpo = mpo.unwrap();
        let moment = gram(&numbers(20, 11, 4));
        for k in [1, 2] {
            let found = moment_around(&mpo.cores, k, &moment);
            let [left, rows, cols, right] = mpo.cores[k].shape();
            let block = cols * right;
            for at in 0..block {
                let of = |bond: usize| outputs(&mpo, k, bond * rows * block + at, &moment);
                let want: f64 = (0..left).map(of).sum();
                assert!((found.get(at, at) - want).abs() < 1e-9 * want.max(1.0), "{k}, {at}: {want}");
            }
        }
    }

    /// Factors of a product as an operator of two cores.
    #[test]
    fn factors_of_a_product_have_the_moments_of_their_inputs() {
        let (up, down) = (numbers(5, 2, 5), numbers(2, 7, 6));
        let core =
            |left, row, col, right, m: &Matrix| Core { left, row, col, right, data: m.data().to_vec() };
        let cores = [core(1, 5, 1, 2, &up), core(2, 1, 7, 1, &down)];
        let moment = gram(&numbers(9, 7, 7));
        let thin = down.matmul(&moment).matmul(&down.transpose());
        assert!(moment_around(&cores, 0, &moment).subtract(&thin).max_abs() < 1e-9);
        let size = up.frobenius().powi(2);
        let scaled = Matrix::from_fn(7, 7, |i, j| size * moment.get(i, j));
        assert!(moment_around(&cores, 1, &moment).subtract(&scaled).max_abs() < 1e-9);
    }
}
