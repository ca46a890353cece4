//! The symmetric gauge: every bond carries the square root of its singular values on either side.
//!
//! Writing U_k for the left singular vectors of wide unfolding k and V_k for the right ones of a tall one,
//! core k left of the center is (U_{k-1}^T x I) U_k, right of it V_{k-1}^T (I x V_k), and the center is U^T W
//! V; then each bond is scaled by its singular values to the power 1/2 toward the outside and -1/2 toward the
//! center. The bases are square and orthogonal, so the scales cancel exactly and nothing is inverted but the
//! scales themselves, which are floored.

use faer::{Mat, MatRef};

use crate::error::Result;
use crate::kernel;
use crate::shape::MpoShape;

use super::basis::{self, Basis, Side};
use super::{Parts, wide_bonds};

/// Singular values below this share of the largest count as this much in the scales (not in the spectra).
/// Such a direction contributes nothing visible to the matrix; the floor keeps both of its sides finite and
/// trainable.
const SCALE_FLOOR: f64 = 1e-10;

/// Scales of a bond: root of each singular value, floored; all ones for a zero spectrum.
pub(super) fn scales(spectrum: &[f64], kept: usize) -> Vec<f64> {
    let largest = spectrum.first().copied().unwrap_or(0.0);
    (0..kept)
        .map(|i| {
            let value = spectrum.get(i).copied().unwrap_or(0.0).max(SCALE_FLOOR * largest).sqrt();
            if value > 0.0 { value } else { 1.0 }
        })
        .collect()
}

pub(super) fn decompose(x: Vec<f64>, shape: &MpoShape, bonds: &[usize]) -> Result<Parts> {
    let blocks = shape.blocks();
    let n = blocks.len();
    let center = wide_bonds(&blocks);
    let left = basis::bases(&x, &blocks, Side::Left, center, true)?;
    let right = basis::bases(&x, &blocks, Side::Right, n - 1 - center, true)?;

    let scale = |basis: &Basis, kept: usize| scales(&basis.spectrum, kept);
    let mut bulk = x;
    if let Some(inner) = left.last() {
        let kept = bonds[center];
        let weighted = columns_over(inner.vectors.as_ref().subcols(0, kept), &scale(inner, kept));
        let outer = weighted.nrows();
        bulk = kernel::product(weighted.transpose(), kernel::view(&bulk, outer, bulk.len() / outer));
    }
    if let Some(inner) = right.last() {
        let kept = bonds[center + 1];
        let weighted = columns_over(inner.vectors.as_ref().subcols(0, kept), &scale(inner, kept));
        let cols = weighted.nrows();
        bulk = kernel::product(kernel::view(&bulk, bulk.len() / cols, cols), weighted.as_ref());
    }
    let mut cores = vec![Vec::new(); n];
    cores[center] = bulk;
    for k in 0..center {
        let mut core = left_core(&left, k, blocks[k], bonds);
        scale_right(&mut core, &scale(&left[k], bonds[k + 1]));
        if k > 0 {
            unscale_left(&mut core, &scale(&left[k - 1], bonds[k]));
        }
        cores[k] = core;
    }
    for k in center + 1..n {
        let depth = n - 1 - k;
        let mut core = right_core(&right, depth, blocks[k], bonds[k], bonds[k + 1]);
        scale_left(&mut core, &scale(&right[depth], bonds[k]));
        if depth > 0 {
            unscale_right(&mut core, &scale(&right[depth - 1], bonds[k + 1]));
        }
        cores[k] = core;
    }
    let spectra = left.into_iter().chain(right.into_iter().rev()).map(|b| b.spectrum).collect();
    Ok(Parts { cores, spectra, steps: Vec::new() })
}

/// (U_{k-1}^T x I) U_k for site k (from zero), bonds cut to those kept.
pub(super) fn left_core(left: &[Basis], k: usize, block: usize, bonds: &[usize]) -> Vec<f64> {
    let outer = left[k].vectors.as_ref().subcols(0, bonds[k + 1]);
    let flat = kernel::flatten(outer);
    if k == 0 {
        return flat;
    }
    let inner = left[k - 1].vectors.as_ref().subcols(0, bonds[k]);
    kernel::product(inner.transpose(), kernel::view(&flat, inner.nrows(), block * bonds[k + 1]))
}

/// V_{k-1}^T (I x V_k); `depth` counts sites to the right of this core.
fn right_core(right: &[Basis], depth: usize, block: usize, kept: usize, next: usize) -> Vec<f64> {
    let outer = right[depth].vectors.as_ref().subcols(0, kept);
    let flat = kernel::flatten(outer.transpose());
    if depth == 0 {
        return flat;
    }
    let inner = right[depth - 1].vectors.as_ref().subcols(0, next);
    kernel::product(kernel::view(&flat, kept * block, inner.nrows()), inner)
}

/// Columns divided by their scales.
fn columns_over(vectors: MatRef<'_, f64>, scales: &[f64]) -> Mat<f64> {
    Mat::from_fn(vectors.nrows(), vectors.ncols(), |i, j| vectors[(i, j)] / scales[j])
}

pub(super) fn scale_right(core: &mut [f64], scales: &[f64]) {
    for row in core.chunks_exact_mut(scales.len()) {
        row.iter_mut().zip(scales).for_each(|(v, s)| *v *= s);
    }
}

pub(super) fn unscale_right(core: &mut [f64], scales: &[f64]) {
    for row in core.chunks_exact_mut(scales.len()) {
        row.iter_mut().zip(scales).for_each(|(v, s)| *v /= s);
    }
}

pub(super) fn scale_left(core: &mut [f64], scales: &[f64]) {
    let run = core.len() / scales.len();
    for (row, s) in core.chunks_exact_mut(run).zip(scales) {
        row.iter_mut().for_each(|v| *v *= s);
    }
}

fn unscale_left(core: &mut [f64], scales: &[f64]) {
    let run = core.len() / scales.len();
    for (row, s) in core.chunks_exact_mut(run).zip(scales) {
        row.iter_mut().for_each(|v| *v /= s);
    }
}
