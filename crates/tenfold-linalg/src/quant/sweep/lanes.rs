//! Columns of a tile, eight rows of each in a register.

use crate::matrix::Matrix;

/// Rows in a register.
pub(super) const LANES: usize = 8;
/// Columns that are passed on at once.
const ABREAST: usize = 4;

/// One number for each of the rows that go together.
pub(super) type Lanes = [f64; LANES];

/// Lets `each` turn one column after another into what it misses, and takes from the columns behind it their share.
///
/// `unit` has a row of shares per visit, and the first column is visit `at`. A few columns go on to those behind them at once, so that
/// these are loaded and stored less often; the differences are taken in the order of visits all the same.
#[inline(always)]
pub(super) fn settle(
    columns: &mut [Lanes],
    unit: &Matrix,
    at: usize,
    mut each: impl FnMut(usize, &mut Lanes),
) {
    let len = columns.len();
    for first in (0..len).step_by(ABREAST) {
        let end = (first + ABREAST).min(len);
        for k in first..end {
            each(k, &mut columns[k]);
            let (done, later) = columns[..end].split_at_mut(k + 1);
            pass_on(later, &done[k..], unit, at + k, at + k + 1);
        }
        let (done, later) = columns.split_at_mut(end);
        pass_on(later, &done[first..], unit, at + first, at + end);
    }
}

/// Takes from `later` columns, the first of which is visit `to`, their share of what visits from `from` on missed.
#[inline(always)]
pub(super) fn pass_on(later: &mut [Lanes], missed: &[Lanes], unit: &Matrix, from: usize, to: usize) {
    let behind = to..to + later.len();
    let shares = |k: usize| &unit.row(from + k)[behind.clone()];
    let (fours, rest) = missed.as_chunks::<ABREAST>();
    let mut at = 0;
    for four in fours {
        let [a, b, c, d] = [shares(at), shares(at + 1), shares(at + 2), shares(at + 3)];
        for ((((column, a), b), c), d) in later.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            for l in 0..LANES {
                column[l] = column[l] - four[0][l] * a - four[1][l] * b - four[2][l] * c - four[3][l] * d;
            }
        }
        at += ABREAST;
    }
    for (k, one) in rest.iter().enumerate() {
        for (column, share) in later.iter_mut().zip(shares(at + k)) {
            for l in 0..LANES {
                column[l] -= one[l] * share;
            }
        }
    }
}
