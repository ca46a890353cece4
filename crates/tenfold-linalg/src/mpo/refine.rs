//! Refinement of the cores of an MPO by alternating least squares, for the error in a metric.
//!
//! With all cores but one fixed the matrix is linear in that one, and its best values solve normal equations. They
//! are solved by conjugate gradients from the core as it is, with the operator applied through rebuilding and its
//! adjoint, so nothing larger than the matrix is ever stored. Each iteration lowers the error or stops, however few there are;
//! neighbors are kept orthonormal, which makes the equations as well conditioned as the metric is.

use crate::error::Result;
use crate::kernel;
use crate::matrix::Matrix;
use crate::metric::{self, Metric, output_error};

use super::{Core, Mpo, chain, interleave};

/// An iteration that removes less than this share of the squared error ends the work on a core.
const LEAST_GAIN: f64 = 2e-4;

/// How long to refine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RefineOptions {
    /// Passes over all cores at most; 0 leaves the cores as they are.
    pub sweeps: usize,
    /// Iterations per core and pass at most.
    pub iterations: usize,
    /// Passes end when one removes less than this share of the squared error.
    pub tolerance: f64,
}

impl Default for RefineOptions {
    fn default() -> Self {
        Self { sweeps: 4, iterations: 6, tolerance: 1e-3 }
    }
}

/// Refined cores and how the error fell.
#[derive(Clone, Debug, PartialEq)]
pub struct Refined {
    /// The chain, with the spectra it started with; bonds may have become smaller where neighbors could not carry them.
    pub mpo: Mpo,
    /// Relative error in the metric: at the start and after every pass that was kept. Never rises.
    pub errors: Vec<f64>,
    /// The same in the held-out metric, where there is one.
    pub held_out: Vec<f64>,
}

/// Refines the cores of `start` towards `w`. Stops after the sweeps asked for, when a pass gains less than the
/// tolerance, or when the error in the `held_out` metric rises: then that pass is undone.
///
/// # Errors
/// [`Error::EmptyMatrix`](crate::Error::EmptyMatrix) and [`Error::NonFinite`](crate::Error::NonFinite) for the matrix,
/// the errors of a metric of the wrong size, and those of [`Mpo::from_cores`] for cores that do not chain.
///
/// # Panics
/// When `start` is not of the shape of `w`.
///
/// # Source
/// Alternating least squares for tensor trains: Holtz, Rohwedder and Schneider 2012, The alternating linear grid for
/// tensor optimization in the tensor train format, section 3.
#[track_caller]
pub fn refine(
    w: &Matrix,
    start: &Mpo,
    metric: &Metric<'_>,
    held_out: Option<&Metric<'_>>,
    options: &RefineOptions,
) -> Result<Refined> {
    assert_eq!((w.rows(), w.cols()), (start.rows, start.cols), "an MPO of another matrix");
    w.check()?;
    for one in [Some(metric), held_out].into_iter().flatten() {
        metric::check(w, one)?;
    }
    chain::check(&start.shape, start.rows, start.cols, &start.cores)?;
    let mut work = Work { w, metric, chain: start.clone(), iterations: options.iterations };
    let norm = inner(w, &weigh(w, metric));
    let relative = |square: f64| if square > 0.0 { (square / norm).sqrt() } else { 0.0 };
    let mut square = work.square();
    let mut errors = vec![relative(square)];
    let mut seen: Vec<f64> =
        held_out.iter().map(|metric| output_error(w, &start.rebuild(), metric)).collect();
    if options.sweeps > 0 {
        work.make_right_orthonormal();
    }
    for sweep in 0..options.sweeps {
        let before = work.chain.clone();
        if sweep % 2 == 0 {
            work.rightwards();
        } else {
            work.leftwards();
        }
        let after = work.square();
        let unseen = held_out.map(|metric| output_error(w, &work.chain.rebuild(), metric));
        let rises = unseen.zip(seen.last()).is_some_and(|(now, last)| now > *last);
        // A NaN compares false; rounding may be all that is left to gain.
        let falls = after <= square;
        if rises || !falls {
            work.chain = before;
            break;
        }
        let gain = square - after;
        errors.push(relative(after));
        seen.extend(unseen);
        let enough = gain <= options.tolerance * square;
        square = after;
        if enough {
            break;
        }
    }
    let mut mpo = work.chain;
    mpo.steps = Vec::new();
    Ok(Refined { mpo, errors, held_out: seen })
}

struct Work<'w> {
    w: &'w Matrix,
    metric: &'w Metric<'w>,
    chain: Mpo,
    iterations: usize,
}

/// What the cores left and right of one make: (entries left x bond) and (bond x entries right).
struct Around<'a> {
    left: &'a [f64],
    right: &'a [f64],
}

impl Work<'_> {
    /// The squared error.
    fn square(&self) -> f64 {
        let error = self.w.subtract(&self.chain.rebuild());
        inner(&error, &weigh(&error, self.metric))
    }

    /// Everything right of the first core becomes orthonormal; the matrix stays.
    fn make_right_orthonormal(&mut self) {
        for k in (1..self.chain.cores.len()).rev() {
            self.push_left(k);
        }
    }

    /// Refines from the first core to the last, leaving all but the last orthonormal.
    fn rightwards(&mut self) {
        let count = self.chain.cores.len();
        let rights = self.rights();
        let mut left = vec![1.0];
        for k in 0..count {
            self.core(k, &Around { left: &left, right: &rights[k] });
            if k + 1 < count {
                self.push_right(k);
                left = extend_right(&left, &self.chain.cores[k]);
            }
        }
    }

    /// Refines from the last core to the first, leaving all but the first orthonormal.
    fn leftwards(&mut self) {
        let lefts = self.lefts();
        let mut right = vec![1.0];
        for k in (0..self.chain.cores.len()).rev() {
            self.core(k, &Around { left: &lefts[k], right: &right });
            if k > 0 {
                self.push_left(k);
                right = extend_left(&right, &self.chain.cores[k]);
            }
        }
    }

    fn lefts(&self) -> Vec<Vec<f64>> {
        let mut all = vec![vec![1.0]];
        for core in &self.chain.cores[..self.chain.cores.len() - 1] {
            all.push(extend_right(&all[all.len() - 1], core));
        }
        all
    }

    fn rights(&self) -> Vec<Vec<f64>> {
        let mut all = vec![vec![1.0]];
        for core in self.chain.cores[1..].iter().rev() {
            all.push(extend_left(&all[all.len() - 1], core));
        }
        all.reverse();
        all
    }

    /// Conjugate gradients on the normal equations of core k.
    fn core(&mut self, k: usize, around: &Around<'_>) {
        let mut values = self.chain.cores[k].data.clone();
        let mut error = self.w.subtract(&self.build(k, around, &values));
        let mut weighed = weigh(&error, self.metric);
        let start = inner(&error, &weighed);
        let mut residual = self.project(k, around, &weighed);
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        let mut left = start;
        for _ in 0..self.iterations {
            let step = self.build(k, around, &direction);
            let weighed_step = weigh(&step, self.metric);
            let curvature = inner(&step, &weighed_step);
            // A NaN compares false as well.
            if !(curvature > 0.0 && square > 0.0) {
                break;
            }
            let length = square / curvature;
            add(&mut values, &direction, length);
            add(error.data_mut(), step.data(), -length);
            add(weighed.data_mut(), weighed_step.data(), -length);
            let gain = length * square;
            left -= gain;
            let worthwhile = gain > LEAST_GAIN * left;
            if !worthwhile {
                break;
            }
            residual = self.project(k, around, &weighed);
            let next = dot(&residual, &residual);
            let keep = next / square;
            square = next;
            for (d, r) in direction.iter_mut().zip(&residual) {
                *d = r + keep * *d;
            }
        }
        if inner(&error, &weighed) <= start {
            self.chain.cores[k].data = values;
        }
    }

    /// The matrix that these values make as core k.
    fn build(&self, k: usize, around: &Around<'_>, values: &[f64]) -> Matrix {
        let core = &self.chain.cores[k];
        let (rows, cols) = (around.left.len() / core.left, around.right.len() / core.right);
        let block = core.row * core.col;
        let left = kernel::view(around.left, rows, core.left);
        let right = kernel::view(around.right, core.right, cols);
        let whole = if left_first(core, rows, cols) {
            let half = kernel::product(left, kernel::view(values, core.left, block * core.right));
            kernel::product(kernel::view(&half, rows * block, core.right), right)
        } else {
            let half = kernel::product(kernel::view(values, core.left * block, core.right), right);
            kernel::product(left, kernel::view(&half, core.left, block * cols))
        };
        interleave::deinterleave(&whole, &self.chain.shape, self.w.rows(), self.w.cols())
    }

    /// The adjoint of [`Work::build`].
    fn project(&self, k: usize, around: &Around<'_>, matrix: &Matrix) -> Vec<f64> {
        let core = &self.chain.cores[k];
        let (rows, cols) = (around.left.len() / core.left, around.right.len() / core.right);
        let block = core.row * core.col;
        let left = kernel::view(around.left, rows, core.left).transpose();
        let right = kernel::view(around.right, core.right, cols).transpose();
        let whole = interleave::interleave(matrix, &self.chain.shape);
        if left_first(core, rows, cols) {
            let half = kernel::product(kernel::view(&whole, rows * block, cols), right);
            kernel::product(left, kernel::view(&half, rows, block * core.right))
        } else {
            let half = kernel::product(left, kernel::view(&whole, rows, block * cols));
            kernel::product(kernel::view(&half, core.left * block, cols), right)
        }
    }

    /// Makes core k orthonormal from the left and gives the rest of it to its right neighbor.
    fn push_right(&mut self, k: usize) {
        let core = &self.chain.cores[k];
        let (rows, cols) = (core.left * core.row * core.col, core.right);
        let (q, r) = kernel::thin_qr(kernel::view(&core.data, rows, cols));
        let next = &self.chain.cores[k + 1];
        let moved = kernel::product(r.as_ref(), kernel::view(&next.data, cols, next.data.len() / cols));
        self.set_bond(k + 1, q.ncols());
        self.chain.cores[k].data = kernel::flatten(q.as_ref());
        self.chain.cores[k + 1].data = moved;
    }

    /// Makes core k orthonormal from the right and gives the rest of it to its left neighbor.
    fn push_left(&mut self, k: usize) {
        let core = &self.chain.cores[k];
        let (rows, cols) = (core.left, core.row * core.col * core.right);
        let (q, r) = kernel::thin_qr(kernel::view(&core.data, rows, cols).transpose());
        let before = &self.chain.cores[k - 1];
        let moved = kernel::product(
            kernel::view(&before.data, before.data.len() / rows, rows),
            r.as_ref().transpose(),
        );
        self.set_bond(k, q.ncols());
        self.chain.cores[k].data = kernel::flatten(q.as_ref().transpose());
        self.chain.cores[k - 1].data = moved;
    }

    fn set_bond(&mut self, at: usize, bond: usize) {
        self.chain.bonds[at] = bond;
        self.chain.cores[at - 1].right = bond;
        self.chain.cores[at].left = bond;
    }
}

/// Whether merging a core with what is left of it first takes fewer multiply-adds.
fn left_first(core: &Core, rows: usize, cols: usize) -> bool {
    let block = core.row * core.col;
    let left = rows * core.left * block * core.right + rows * block * core.right * cols;
    let right = core.left * block * core.right * cols + rows * core.left * block * cols;
    left <= right
}

fn extend_right(left: &[f64], core: &Core) -> Vec<f64> {
    let rows = left.len() / core.left;
    kernel::product(
        kernel::view(left, rows, core.left),
        kernel::view(&core.data, core.left, core.data.len() / core.left),
    )
}

fn extend_left(right: &[f64], core: &Core) -> Vec<f64> {
    let cols = right.len() / core.right;
    kernel::product(
        kernel::view(&core.data, core.data.len() / core.right, core.right),
        kernel::view(right, core.right, cols),
    )
}

/// The derivative of the squared norm, by half: E, E C or diag(w) E.
fn weigh(error: &Matrix, metric: &Metric<'_>) -> Matrix {
    match metric {
        Metric::Weights => error.clone(),
        Metric::Inputs(c) => error.matmul(c),
        Metric::Rows(weights) => {
            let mut weighed = error.clone();
            for (row, weight) in weighed.data_mut().chunks_exact_mut(error.cols()).zip(*weights) {
                row.iter_mut().for_each(|value| *value *= weight);
            }
            weighed
        }
    }
}

fn inner(a: &Matrix, b: &Matrix) -> f64 {
    dot(a.data(), b.data())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(sum: &mut [f64], other: &[f64], factor: f64) {
    for (sum, other) in sum.iter_mut().zip(other) {
        *sum += factor * other;
    }
}
