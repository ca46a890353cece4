//! Singular values and vectors of the unfoldings of an interleaved tensor, each from a square of the bond's
//! own size.
//!
//! Unfolding k has rows (sites 1..k) and columns (sites k+1..n). Where it is wide, its left singular vectors
//! are the eigenvectors of X X^T; the same matrix for bond k-1 is a partial trace of that over site k, so one
//! large product serves all bonds of a side. Squaring loses the singular values below about 1e-8 of the
//! largest, so a bond whose spectrum reaches below [`kernel::SAFE_RATIO`] is done again from a triangular
//! factor of X, which has the same left factors and keeps full accuracy. Tall unfoldings mirror this from the
//! right.

use faer::{Mat, MatRef};

use crate::error::Result;
use crate::kernel;

/// Which end of the chain a bond is measured from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Singular values (falling) and vectors (columns, a complete square orthonormal set) of one unfolding on one
/// side.
pub(super) struct Basis {
    pub(super) vectors: Mat<f64>,
    pub(super) spectrum: Vec<f64>,
}

/// Bases of the `count` bonds nearest to the given end, outermost first. `blocks` are the entries per site;
/// without `vectors`, only spectra are computed. The unfoldings must be wide as seen from that end.
pub(super) fn bases(
    x: &[f64],
    blocks: &[usize],
    side: Side,
    count: usize,
    vectors: bool,
) -> Result<Vec<Basis>> {
    let mut found = Vec::with_capacity(count);
    if count == 0 {
        return Ok(found);
    }
    let mut gram = Some(kernel::gram(unfold(x, blocks, side, count))).filter(|g| {
        // A zero tensor has a zero square, but so has one whose squares are too small for f64.
        kernel::squared_in_range(g) || x.iter().all(|&v| v == 0.0)
    });
    let mut factor: Option<Mat<f64>> = None;
    for depth in (1..=count).rev() {
        let squared = match &gram {
            Some(g) => from_gram(g, vectors)?,
            None => None,
        };
        let basis = match squared {
            Some(basis) => basis,
            None => {
                let f = factor.take().unwrap_or_else(|| kernel::left_factor(unfold(x, blocks, side, depth)));
                let basis = from_factor(&f, vectors)?;
                factor = Some(f);
                basis
            }
        };
        found.push(basis);
        if depth > 1 {
            let site = match side {
                Side::Left => blocks[depth - 1],
                Side::Right => blocks[blocks.len() - depth],
            };
            gram = gram.map(|g| partial_trace(&g, site, side));
            factor = factor.map(|f| fold_factor(&f, site, side));
        }
    }
    found.reverse();
    Ok(found)
}

/// The unfolding with the `depth` sites at the given end as rows.
pub(super) fn unfold<'a>(x: &'a [f64], blocks: &[usize], side: Side, depth: usize) -> MatRef<'a, f64> {
    let n = blocks.len();
    let outer: usize = match side {
        Side::Left => blocks[..depth].iter().product(),
        Side::Right => blocks[n - depth..].iter().product(),
    };
    let inner = x.len() / outer;
    match side {
        Side::Left => kernel::view(x, outer, inner),
        Side::Right => kernel::view(x, inner, outer).transpose(),
    }
}

/// The basis from X X^T (lower triangle), or `None` when its spectrum is too wide for that. Rows of X that
/// are exactly zero, as padding makes them, are set aside and do not count.
fn from_gram(gram: &Mat<f64>, vectors: bool) -> Result<Option<Basis>> {
    let d = gram.nrows();
    let active: Vec<usize> = (0..d).filter(|&i| gram[(i, i)] > 0.0).collect();
    let live = active.len();
    if live == d {
        let (squares, q) = kernel::eigen(gram.as_ref(), vectors)?;
        return Ok(kernel::safe_roots(&squares).map(|spectrum| Basis { vectors: q, spectrum }));
    }
    let compact = Mat::from_fn(live, live, |i, j| gram[(active[i.max(j)], active[i.min(j)])]);
    let (squares, q) = kernel::eigen(compact.as_ref(), vectors)?;
    let Some(mut spectrum) = kernel::safe_roots(&squares) else { return Ok(None) };
    spectrum.resize(d, 0.0);
    let mut full = Mat::new();
    if vectors {
        full = Mat::zeros(d, d);
        for (i, &row) in active.iter().enumerate() {
            for j in 0..live {
                full[(row, j)] = q[(i, j)];
            }
        }
        let silent = (0..d).filter(|&i| gram[(i, i)] <= 0.0);
        for (offset, row) in silent.enumerate() {
            full[(row, live + offset)] = 1.0;
        }
    }
    Ok(Some(Basis { vectors: full, spectrum }))
}

fn from_factor(factor: &Mat<f64>, vectors: bool) -> Result<Basis> {
    if vectors {
        let (spectrum, vectors) = kernel::left_svd(factor.as_ref())?;
        Ok(Basis { vectors, spectrum })
    } else {
        Ok(Basis { vectors: Mat::new(), spectrum: kernel::singular_values(factor.as_ref())? })
    }
}

/// Lower triangle of the sum over the innermost site: for the left end that is the least significant index,
/// for the right end the most significant one.
fn partial_trace(gram: &Mat<f64>, site: usize, side: Side) -> Mat<f64> {
    let d = gram.nrows() / site;
    Mat::from_fn(d, d, |i, j| {
        if j > i {
            return 0.0;
        }
        (0..site)
            .map(|s| match side {
                Side::Left => gram[(i * site + s, j * site + s)],
                Side::Right => gram[(s * d + i, s * d + j)],
            })
            .sum()
    })
}

/// A square factor of the next outer unfolding from that of this one: its site index moves from rows to
/// columns.
fn fold_factor(factor: &Mat<f64>, site: usize, side: Side) -> Mat<f64> {
    let d = factor.nrows() / site;
    let wide = Mat::from_fn(d, site * factor.ncols(), |i, column| {
        let (s, j) = (column / factor.ncols(), column % factor.ncols());
        match side {
            Side::Left => factor[(i * site + s, j)],
            Side::Right => factor[(s * d + i, j)],
        }
    });
    kernel::left_factor(wide.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(len: usize, spread: f64) -> Vec<f64> {
        // Entries that fall off fast in one index give ill-conditioned unfoldings.
        (0..len).map(|i| ((i * 7919 % 1009) as f64 / 500.0 - 1.0) * spread.powi((i % 4) as i32)).collect()
    }

    #[test]
    fn both_routes_match_the_plain_svd_on_both_sides() {
        let blocks = [2, 3, 4, 3, 4];
        for spread in [1.0, 1e-3] {
            let x = tensor(288, spread);
            for (side, count) in [(Side::Left, 2), (Side::Right, 2)] {
                let got = bases(&x, &blocks, side, count, true).unwrap();
                let bare = bases(&x, &blocks, side, count, false).unwrap();
                for depth in 1..=count {
                    let unfolding = unfold(&x, &blocks, side, depth);
                    let want = kernel::singular_values(unfolding).unwrap();
                    let basis = &got[depth - 1];
                    for i in 0..want.len() {
                        assert!((basis.spectrum[i] - want[i]).abs() < 1e-10 * want[0]);
                        assert!((bare[depth - 1].spectrum[i] - want[i]).abs() < 1e-10 * want[0]);
                    }
                    let rotated = basis.vectors.transpose() * unfolding;
                    let square = &rotated * rotated.transpose();
                    for i in 0..want.len() {
                        for j in 0..want.len() {
                            let expected = if i == j { want[i] * want[i] } else { 0.0 };
                            assert!((square[(i, j)] - expected).abs() < 1e-11 * want[0] * want[0]);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn silent_rows_are_set_aside() {
        let blocks = [4, 8];
        let mut x = tensor(32, 1.0);
        x[8..16].fill(0.0);
        let got = bases(&x, &blocks, Side::Left, 1, true).unwrap();
        assert_eq!(got[0].spectrum[3], 0.0);
        assert_eq!(got[0].vectors[(1, 3)], 1.0);
        let residual = got[0].vectors.transpose() * &got[0].vectors - Mat::<f64>::identity(4, 4);
        assert!(residual.norm_max() < 1e-14);
    }
}
