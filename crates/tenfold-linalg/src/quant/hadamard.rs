//! Random-sign Hadamard transforms: orthogonal, fast, and they make the entries of any matrix look alike.

use crate::error::{Error, Result};
use crate::matrix::Matrix;

/// Orders of the dense factor besides 1, and the primes of Paley's constructions.
const ORDERS: [(usize, usize); 3] = [(12, 11), (20, 19), (28, 13)];

/// Largest order of a dense factor: its square is stored, and passed over for every run.
const LARGEST_ODD: usize = 2047;

/// x -> H S x: signs S from a seed, then an orthonormal matrix H of order n: a Hadamard matrix where n = 2^k or 12, 20 or 28 times
/// that, else the product of one of order 2^k and a discrete Hartley transform, whose entries are at most sqrt(2) times as large.
///
/// A matrix of n columns is turned by [`Hadamard::rows`], which gives W S H^T; inputs turned by [`Hadamard::apply`] then lead to the
/// same outputs. Its largest entry becomes about sqrt(2 ln(O I)) times the root mean square, whatever it was.
///
/// # Source
/// QuIP# (Tseng et al. 2024, arXiv 2402.04396), section 3; Paley 1933, On orthogonal matrices, for the orders 12, 20 and 28;
/// Bracewell 1983, Discrete Hartley transform.
#[derive(Clone, Debug, PartialEq)]
pub struct Hadamard {
    signs: Vec<f64>,
    /// Order of the dense factor, and the factor row by row, with rows of norm sqrt(order).
    order: usize,
    dense: Vec<f64>,
}

impl Hadamard {
    /// The transform of `n` numbers with the signs of `seed`.
    ///
    /// # Errors
    /// [`Error::BadGrid`] for no numbers, and for sizes with an odd part above 2047.
    pub fn new(n: usize, seed: u64) -> Result<Self> {
        let fits = |order: usize| n.is_multiple_of(order) && (n / order).is_power_of_two();
        let (order, dense) = match ORDERS.into_iter().find(|&(order, _)| fits(order)) {
            _ if n.is_power_of_two() => (1, vec![1.0]),
            Some((28, prime)) => (28, paley_doubled(prime)),
            Some((order, prime)) => (order, paley(prime)),
            None if n == 0 => return Err(Error::BadGrid { what: "a Hadamard transform of no numbers" }),
            None => match n >> n.trailing_zeros() {
                odd if odd <= LARGEST_ODD => (odd, hartley(odd)),
                _ => {
                    return Err(Error::BadGrid {
                        what: "a Hadamard transform of a size with an odd part above 2047",
                    });
                }
            },
        };
        let mut state = seed;
        let signs = (0..n).map(|_| if bits(&mut state) >> 63 == 0 { 1.0 } else { -1.0 }).collect();
        Ok(Self { signs, order, dense })
    }

    /// How many numbers it turns.
    pub fn len(&self) -> usize {
        self.signs.len()
    }

    /// Whether it turns nothing; there is no such transform.
    pub fn is_empty(&self) -> bool {
        self.signs.is_empty()
    }

    /// Its signs, 1 or -1.
    pub fn signs(&self) -> &[f64] {
        &self.signs
    }

    /// The order of its dense factor.
    pub fn order(&self) -> usize {
        self.order
    }

    /// The dense factor, order x order, row by row; rows have the norm sqrt(order).
    pub fn factor(&self) -> &[f64] {
        &self.dense
    }

    /// H S x in place, in n log n operations (and n times the order of the dense factor).
    ///
    /// # Panics
    /// When `x` has another length.
    #[track_caller]
    pub fn apply(&self, x: &mut [f64]) {
        assert_eq!(x.len(), self.len(), "a vector of another length than the transform");
        x.iter_mut().zip(&self.signs).for_each(|(x, sign)| *x *= sign);
        self.turn(x, false);
    }

    /// S H^T x in place: the inverse of [`Hadamard::apply`].
    ///
    /// # Panics
    /// When `x` has another length.
    #[track_caller]
    pub fn undo(&self, x: &mut [f64]) {
        assert_eq!(x.len(), self.len(), "a vector of another length than the transform");
        self.turn(x, true);
        x.iter_mut().zip(&self.signs).for_each(|(x, sign)| *x *= sign);
    }

    /// W S H^T: every row of W turned.
    ///
    /// # Panics
    /// When rows have another length.
    #[track_caller]
    pub fn rows(&self, w: &Matrix) -> Matrix {
        let mut turned = w.clone();
        turned.data_mut().chunks_exact_mut(self.len()).for_each(|row| self.apply(row));
        turned
    }

    /// Every row turned back.
    ///
    /// # Panics
    /// When rows have another length.
    #[track_caller]
    pub fn rows_undone(&self, w: &Matrix) -> Matrix {
        let mut turned = w.clone();
        turned.data_mut().chunks_exact_mut(self.len()).for_each(|row| self.undo(row));
        turned
    }

    /// H S C S H^T: the second moment (n x n, symmetric) of turned inputs.
    ///
    /// # Panics
    /// When the moment is of another size.
    #[track_caller]
    pub fn moment(&self, c: &Matrix) -> Matrix {
        self.rows(&self.rows(c).transpose())
    }

    /// Multiplies by the orthonormal matrix or its transpose.
    fn turn(&self, x: &mut [f64], transposed: bool) {
        let order = self.order;
        if order > 1 {
            let mut out = vec![0.0; order];
            for part in x.chunks_exact_mut(order) {
                for (i, out) in out.iter_mut().enumerate() {
                    let entry = |j: usize| self.dense[if transposed { j * order + i } else { i * order + j }];
                    *out = part.iter().enumerate().map(|(j, x)| entry(j) * x).sum();
                }
                part.copy_from_slice(&out);
            }
        }
        let mut half = order;
        while half < x.len() {
            for pair in x.chunks_exact_mut(2 * half) {
                let (first, second) = pair.split_at_mut(half);
                for (a, b) in first.iter_mut().zip(second) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
        let scale = (x.len() as f64).sqrt().recip();
        x.iter_mut().for_each(|x| *x *= scale);
    }
}

/// SplitMix64.
pub(super) fn bits(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 1 for squares modulo a prime, -1 for the others, 0 for 0.
fn character(x: usize, prime: usize) -> f64 {
    match x % prime {
        0 => 0.0,
        x if (1..prime).any(|y| y * y % prime == x) => 1.0,
        _ => -1.0,
    }
}

/// Bordered differences of the character: 0 on the diagonal, 1 and -1 elsewhere; `lower` stands in the first column.
fn conference(prime: usize, lower: f64) -> impl Fn(usize, usize) -> f64 {
    move |i, j| match (i, j) {
        (0, 0) => 0.0,
        (0, _) => 1.0,
        (_, 0) => lower,
        _ => character(prime + i - j, prime),
    }
}

/// Order prime + 1, for a prime that leaves 3 when divided by 4.
fn paley(prime: usize) -> Vec<f64> {
    let (order, entry) = (prime + 1, conference(prime, -1.0));
    (0..order * order)
        .map(|at| entry(at / order, at % order) + f64::from(u8::from(at / order == at % order)))
        .collect()
}

/// Cosine plus sine of all whole frequencies: orthogonal for any order.
fn hartley(order: usize) -> Vec<f64> {
    let entry = |at: usize| {
        let turns = ((at / order) * (at % order) % order) as f64 / order as f64;
        let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
        sin + cos
    };
    (0..order * order).map(entry).collect()
}

/// Order 2 (prime + 1), for a prime that leaves 1 when divided by 4.
fn paley_doubled(prime: usize) -> Vec<f64> {
    let (order, entry) = (2 * (prime + 1), conference(prime, 1.0));
    let cell = |i: usize, j: usize| {
        let corner = [[1.0, 1.0], [1.0, -1.0]][i % 2][j % 2];
        let diagonal = [[1.0, -1.0], [-1.0, -1.0]][i % 2][j % 2];
        if i / 2 == j / 2 { diagonal } else { corner * entry(i / 2, j / 2) }
    };
    (0..order * order).map(|at| cell(at / order, at % order)).collect()
}
