//! The largest singular value by iteration, for matrices that change little from one look to the next: each look starts
//! from the vector of the one before.

use crate::error::Result;
use crate::kernel;
use crate::matrix::Matrix;
use faer::Mat;

/// The largest singular value of a matrix, as far as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Top {
    /// Its estimate: never above the largest singular value but for rounding.
    pub value: f64,
    /// The unit vector v (length I) that W stretches to it; the start where the matrix is zero.
    pub right: Vec<f64>,
    /// |W^T W v - value^2 v| over value^2: a singular value lies within half of this share of `value`, to first order.
    pub residual: f64,
    /// Products with W or W^T that it took.
    pub products: usize,
}

/// When to stop looking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopOptions {
    /// The residual at which the estimate is good enough.
    pub tolerance: f64,
    /// Products at most, at least 2.
    pub products: usize,
}

impl Default for TopOptions {
    /// Seven digits of the value where the two largest singular values are not nearly equal.
    fn default() -> Self {
        Self { tolerance: 1e-7, products: 400 }
    }
}

/// Power iteration on W^T W. With a start from nearly the same matrix a few products are enough; from anywhere else it takes
/// as many as the two largest singular values are close.
///
/// # Panics
/// When the start has another length than a row of the matrix.
#[track_caller]
pub fn power(w: &Matrix, start: Option<&[f64]>, options: &TopOptions) -> Top {
    let mut right = unit(w, start);
    let mut products = 0;
    loop {
        let left = times(w, &right);
        let value = norm(&left);
        let image = transposed_times(w, &left);
        products += 2;
        let residual = residual(&image, &right, value);
        // The next two products would pass the limit.
        if value == 0.0 || residual <= options.tolerance || products + 2 > options.products {
            return Top { value, right, residual, products };
        }
        right = scaled(&image);
    }
}

/// Golub-Kahan-Lanczos bidiagonalization with full reorthogonalization: the largest singular value of the small bidiagonal
/// matrix. It needs far fewer products than [`power`] from a start that knows nothing, and more memory: two vectors for
/// each pair of products.
///
/// # Source
/// Golub and Kahan 1965, Calculating the singular values and pseudo-inverse of a matrix, section 4.
///
/// # Errors
/// [`Error::NoConvergence`](crate::Error::NoConvergence) for matrices that are not finite.
///
/// # Panics
/// As [`power`] does.
#[track_caller]
pub fn lanczos(w: &Matrix, start: Option<&[f64]>, options: &TopOptions) -> Result<Top> {
    let first = unit(w, start);
    // Inside the span of the rows, where the iteration ends after as many steps as the smaller side has.
    let inside = transposed_times(w, &times(w, &first));
    let mut rights = vec![if norm(&inside) > 0.0 { scaled(&inside) } else { first }];
    let mut lefts: Vec<Vec<f64>> = Vec::new();
    // alpha on the diagonal, beta beside it.
    let (mut alphas, mut betas) = (Vec::new(), Vec::new());
    let mut products = 2;
    loop {
        let last = rights.len() - 1;
        let mut left = times(w, &rights[last]);
        orthogonalize(&mut left, &lefts);
        let alpha = norm(&left);
        alphas.push(alpha);
        lefts.push(scaled(&left));
        let mut right = transposed_times(w, &lefts[last]);
        orthogonalize(&mut right, &rights);
        let beta = norm(&right);
        products += 2;
        let (value, inner) = largest(&alphas, &betas)?;
        let done = value == 0.0
            || alpha == 0.0
            || beta <= f64::EPSILON * value
            || rights.len() == w.rows().min(w.cols())
            // What is left out is beta times the last entry of the small left vector, which is as small as inner's.
            || beta * inner[last].abs() <= options.tolerance * value
            || products + 4 > options.products;
        if done {
            let mut found = vec![0.0; w.cols()];
            for (share, basis) in inner.iter().zip(&rights) {
                found.iter_mut().zip(basis).for_each(|(x, b)| *x += share * b);
            }
            let right = if value == 0.0 { rights.swap_remove(0) } else { scaled(&found) };
            let image = transposed_times(w, &times(w, &right));
            return Ok(Top {
                value,
                residual: residual(&image, &right, value),
                right,
                products: products + 2,
            });
        }
        betas.push(beta);
        rights.push(scaled(&right));
    }
}

/// |W|_F^2 over the square of the largest singular value; 0 for a zero matrix. An estimate of that value from below makes
/// this one from above.
pub fn stable_rank_of(w: &Matrix, largest: f64) -> f64 {
    if largest == 0.0 { 0.0 } else { (w.frobenius() / largest).powi(2) }
}

/// The largest singular value of a bidiagonal matrix, and its right vector.
fn largest(alphas: &[f64], betas: &[f64]) -> Result<(f64, Vec<f64>)> {
    let size = alphas.len();
    let transposed = Mat::from_fn(size, size, |i, j| match i {
        i if i == j => alphas[i],
        i if i == j + 1 => betas[j],
        _ => 0.0,
    });
    let (values, left) = kernel::left_svd(transposed.as_ref())?;
    Ok((values[0], (0..size).map(|i| left[(i, 0)]).collect()))
}

/// The start as a unit vector. Without one, numbers that no matrix of use has a reason to be orthogonal to.
#[track_caller]
fn unit(w: &Matrix, start: Option<&[f64]>) -> Vec<f64> {
    if let Some(start) = start {
        assert_eq!(start.len(), w.cols(), "a start of another length than a row");
        if norm(start) > 0.0 {
            return scaled(start);
        }
    }
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let raw: Vec<f64> = (1..=w.cols()).map(|i| (i as f64 * GOLDEN).fract() - 0.45).collect();
    scaled(&raw)
}

fn times(w: &Matrix, v: &[f64]) -> Vec<f64> {
    (0..w.rows()).map(|row| dot(w.row(row), v)).collect()
}

fn transposed_times(w: &Matrix, u: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; w.cols()];
    for (row, share) in u.iter().enumerate() {
        sum.iter_mut().zip(w.row(row)).for_each(|(sum, x)| *sum += share * x);
    }
    sum
}

/// Takes the directions of a basis out of a vector, twice, so that rounding of the first time goes too.
fn orthogonalize(vector: &mut [f64], basis: &[Vec<f64>]) {
    for other in basis.iter().chain(basis) {
        let share = dot(vector, other);
        vector.iter_mut().zip(other).for_each(|(x, b)| *x -= share * b);
    }
}

fn residual(image: &[f64], right: &[f64], value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let square = value * value;
    let rest: Vec<f64> = image.iter().zip(right).map(|(image, v)| image / square - v).collect();
    norm(&rest)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Several sums, which the compiler keeps in one register.
    let (mut sums, mut rest) = ([0.0; 8], 0.0);
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.0.iter().zip(b.0) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    for (a, b) in a.1.iter().zip(b.1) {
        rest += a * b;
    }
    sums.iter().sum::<f64>() + rest
}

fn norm(v: &[f64]) -> f64 {
    dot(v, v).sqrt()
}

fn scaled(v: &[f64]) -> Vec<f64> {
    let norm = norm(v);
    if norm == 0.0 { v.to_vec() } else { v.iter().map(|x| x / norm).collect() }
}
