//! Changes of basis: which coordinates a space of activations is written in, so that a truncation finds more.
//!
//! A [`Turn`] is an orthogonal change x' = T x, made of permutations and block-diagonal rotations. Whoever writes the
//! space turns its rows, whoever reads it turns its columns, what is stored in it turns as a vector; then every
//! product of a reader and a writer is what it was.
//!
//! Which turn is worth making comes from second moments: the directions of a stream by energy ([`eigenbasis`]), those
//! of an attention head by what reader and writer make of them together ([`carried_basis`], [`matched_basis`]), and
//! orders by falling energy ([`falling`]), so that it gathers along the most significant factor of an index.

use faer::Mat;

use crate::error::{Error, Result};
use crate::kernel;
use crate::matrix::Matrix;

/// An orthogonal change of the basis of a space.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    width: usize,
    moves: Vec<Move>,
}

#[derive(Clone, Debug, PartialEq)]
enum Move {
    /// Coordinate k of the result is coordinate `order[k]` of what it was.
    Order(Vec<usize>),
    /// Square matrices along the diagonal.
    Blocks(Vec<Matrix>),
}

impl Turn {
    /// The identity of a space of `width` numbers.
    pub fn none(width: usize) -> Self {
        Self { width, moves: Vec::new() }
    }

    /// The same change followed by a permutation: coordinate k of the result is coordinate `order[k]` before.
    ///
    /// # Errors
    /// [`Error::BadOrder`] unless every coordinate occurs once.
    pub fn ordered(mut self, order: Vec<usize>) -> Result<Self> {
        let mut seen = vec![false; self.width];
        let fresh = |&at: &usize| seen.get_mut(at).is_some_and(|seen| !std::mem::replace(seen, true));
        if order.len() != self.width || !order.iter().all(fresh) {
            return Err(Error::BadOrder { width: self.width, got: order.len() });
        }
        self.moves.push(Move::Order(order));
        Ok(self)
    }

    /// The same change followed by one orthogonal matrix per stretch of coordinates, in order. That they are
    /// orthogonal is the caller's affair.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] unless they are square and make up the width.
    pub fn rotated(mut self, blocks: Vec<Matrix>) -> Result<Self> {
        let (rows, cols) = blocks.iter().fold((0, 0), |(r, c), block| (r + block.rows(), c + block.cols()));
        if blocks.iter().any(|block| block.rows() != block.cols()) || rows != self.width {
            return Err(Error::ShapeMismatch {
                expected_rows: self.width,
                expected_cols: self.width,
                got_rows: rows,
                got_cols: cols,
            });
        }
        self.moves.push(Move::Blocks(blocks));
        Ok(self)
    }

    /// Coordinates of the space.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The change that undoes this one.
    pub fn inverse(&self) -> Self {
        let moves = self.moves.iter().rev().map(Move::inverse).collect();
        Self { width: self.width, moves }
    }

    /// T W: a matrix that writes the space, its rows turned.
    ///
    /// # Panics
    /// When the matrix does not have one row per coordinate.
    #[track_caller]
    pub fn rows(&self, w: &Matrix) -> Matrix {
        assert_eq!(w.rows(), self.width, "rows of a matrix that writes a space");
        self.moves.iter().fold(w.clone(), |w, one| one.rows(&w))
    }

    /// W T^T: a matrix that reads the space, its columns turned.
    ///
    /// # Panics
    /// When the matrix does not have one column per coordinate.
    #[track_caller]
    pub fn columns(&self, w: &Matrix) -> Matrix {
        self.rows(&w.transpose()).transpose()
    }

    /// T C T^T: a second moment of the space.
    ///
    /// # Panics
    /// When the matrix is not square of the space's width.
    #[track_caller]
    pub fn moment(&self, c: &Matrix) -> Matrix {
        self.columns(&self.rows(c))
    }

    /// T x: a vector of the space.
    ///
    /// # Panics
    /// When the vector does not have one number per coordinate.
    #[track_caller]
    pub fn vector(&self, x: &[f64]) -> Vec<f64> {
        let column = Matrix::from_fn(x.len(), 1, |r, _| x[r]);
        self.rows(&column).into_data()
    }
}

impl Move {
    fn inverse(&self) -> Self {
        match self {
            Self::Order(order) => {
                let mut back = vec![0; order.len()];
                for (to, &from) in order.iter().enumerate() {
                    back[from] = to;
                }
                Self::Order(back)
            }
            Self::Blocks(blocks) => Self::Blocks(blocks.iter().map(Matrix::transpose).collect()),
        }
    }

    fn rows(&self, w: &Matrix) -> Matrix {
        match self {
            Self::Order(order) => Matrix::from_fn(w.rows(), w.cols(), |r, c| w.get(order[r], c)),
            Self::Blocks(blocks) => {
                let mut out = Matrix::zeros(w.rows(), w.cols());
                let mut from = 0;
                for block in blocks {
                    let span = from * w.cols()..(from + block.rows()) * w.cols();
                    let part = kernel::view(&w.data()[span.clone()], block.rows(), w.cols());
                    out.data_mut()[span].copy_from_slice(&kernel::product(block.view(), part));
                    from += block.rows();
                }
                out
            }
        }
    }
}

/// Directions of a space and what each carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Directions {
    /// Orthogonal; row k is direction k, so that `rotation * x` are the coordinates of x along them.
    pub rotation: Matrix,
    /// What each direction carries, falling.
    pub values: Vec<f64>,
}

/// The eigenvectors of a second moment (n x n, symmetric up to rounding) by falling eigenvalue: the directions in
/// which activations vary most.
///
/// # Errors
/// [`Error::ShapeMismatch`] for a matrix that is not square, [`Error::NonFinite`], [`Error::NoConvergence`].
pub fn eigenbasis(c: &Matrix) -> Result<Directions> {
    c.check()?;
    square(c, c.rows())?;
    let n = c.rows();
    let symmetric = Mat::from_fn(n, n, |i, j| 0.5 * (c.get(i, j) + c.get(j, i)));
    let (values, vectors) = kernel::eigen(symmetric.as_ref(), true)?;
    // A vector's sign is arbitrary; its largest entry decides, so that equal moments give equal bases.
    let largest = |k: usize| {
        (0..n).map(|i| vectors[(i, k)]).fold(0.0, |m: f64, v| if v.abs() > m.abs() { v } else { m })
    };
    let signs: Vec<f64> = (0..n).map(|k| if largest(k) < 0.0 { -1.0 } else { 1.0 }).collect();
    Ok(Directions { rotation: Matrix::from_fn(n, n, |k, i| signs[k] * vectors[(i, k)]), values })
}

/// An orthogonal matrix (n x n) that leaves the vector of ones where it is and gathers the energy of a second moment
/// (n x n) in the first coordinates, as far as that allows: what a stream behind norms that take the mean away may be
/// turned by.
///
/// With the reflection H that takes the first axis to the direction of ones, it is H diag(1, R) H, the rows of R being
/// the eigenvectors of the moment among the other n - 1 axes of H.
///
/// # Errors
/// As [`eigenbasis`].
pub fn centered_eigenbasis(c: &Matrix) -> Result<Matrix> {
    square(c, c.rows())?;
    let n = c.rows();
    if n < 2 {
        return Ok(Matrix::identity(n));
    }
    // The reflection along ones / sqrt n minus the first axis.
    let side = (n as f64).sqrt().recip();
    let along: Vec<f64> = (0..n).map(|i| if i == 0 { side - 1.0 } else { side }).collect();
    let square: f64 = along.iter().map(|v| v * v).sum();
    let reflection =
        Matrix::from_fn(n, n, |i, j| f64::from(u8::from(i == j)) - 2.0 * along[i] * along[j] / square);
    let inside = reflection.matmul(c).matmul(&reflection);
    let rest = Matrix::from_fn(n - 1, n - 1, |i, j| inside.get(i + 1, j + 1));
    let rotation = eigenbasis(&rest)?.rotation;
    let turned = Matrix::from_fn(n, n, |i, j| match (i, j) {
        (0, 0) => 1.0,
        (0, _) | (_, 0) => 0.0,
        _ => rotation.get(i - 1, j - 1),
    });
    Ok(reflection.matmul(&turned).matmul(&reflection))
}

/// Directions between a writer and a reader of n coordinates (value and output of an attention head), by the singular
/// values of the reader's product with what the writer wrote. `written` is the second moment of the coordinates,
/// `read` the reader's R^T R, both n x n.
///
/// With G = `read`^(1/2), the left singular vectors of G `written`^(1/2) are returned: n x n work in place of the
/// reader's and writer's outer sizes.
///
/// # Errors
/// As [`eigenbasis`].
pub fn carried_basis(written: &Matrix, read: &Matrix) -> Result<Directions> {
    square(read, written.rows())?;
    let half = {
        let Directions { rotation, values } = eigenbasis(read)?;
        let scaled = Matrix::from_fn(rotation.rows(), rotation.cols(), |k, i| {
            values[k].max(0.0).sqrt() * rotation.get(k, i)
        });
        rotation.transpose().matmul(&scaled)
    };
    let mut found = eigenbasis(&half.matmul(written).matmul(&half))?;
    found.values.iter_mut().for_each(|value| *value = value.max(0.0).sqrt());
    Ok(found)
}

/// Directions of two sides that meet in a dot product (query and key of an attention head), by their joint energy:
/// eigenvectors of the sum of both second moments (n x n), each scaled to trace 1.
///
/// # Errors
/// As [`eigenbasis`].
pub fn matched_basis(left: &Matrix, right: &Matrix) -> Result<Directions> {
    square(right, left.rows())?;
    let trace = |m: &Matrix| (0..m.rows()).map(|i| m.get(i, i)).sum::<f64>();
    let share = |m: &Matrix| if trace(m) > 0.0 { 1.0 / trace(m) } else { 0.0 };
    let (a, b) = (share(left), share(right));
    eigenbasis(&Matrix::from_fn(left.rows(), left.cols(), |i, j| a * left.get(i, j) + b * right.get(i, j)))
}

/// The order that puts energies in falling order; equal ones stay as they are.
pub fn falling(energies: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..energies.len()).collect();
    order.sort_by(|&a, &b| energies[b].total_cmp(&energies[a]));
    order
}

/// The sum of squares of every row.
pub fn row_energies(w: &Matrix) -> Vec<f64> {
    (0..w.rows()).map(|r| w.row(r).iter().map(|v| v * v).sum()).collect()
}

fn square(m: &Matrix, n: usize) -> Result<()> {
    if m.rows() == n && m.cols() == n {
        return Ok(());
    }
    Err(Error::ShapeMismatch { expected_rows: n, expected_cols: n, got_rows: m.rows(), got_cols: m.cols() })
}
