//! The symmetric gauge: every bond carries the square root of its singular values on either side.
//!
//! Writing U_k for the left singular vectors of wide unfolding k and V_k for the right ones of a tall one,
//! core k left of the center is (U_{k-1}^T x I) U_k, right of it V_{k-1}^T (I x V_k), and the center is U^T W
//! V; then each bond is scaled by its singular values to the power 1/2 toward the outside and -1/2 toward the
//! center. The bases are square and orthogonal, so the scales cancel exactly and nothing is inverted but the
//! scales themselves, which are floored.

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

    let mut cores = vec![Vec::new(); n];
    let mut bulk = x;
    let rows: usize = blocks[..center].iter().product();
    if let Some(inner) = left.last() {
        let kept = inner.vectors.as_ref().subcols(0, bonds[center]);
        let unfolding = kernel::view(&bulk, rows, bulk.len() / rows);
        bulk = kernel::product(kept.transpose(), unfolding);
    }
    if let Some(inner) = right.last() {
        let kept = inner.vectors.as_ref().subcols(0, bonds[center + 1]);
        let unfolding = kernel::view(&bulk, bulk.len() / kept.nrows(), kept.nrows());
        bulk = kernel::product(unfolding, kept);
    }
    cores[center] = bulk;
    for k in 0..center {
        cores[k] = left_core(&left, k, blocks[k], bonds);
        scale_right(&mut cores[k], &scales(&left[k].spectrum, bonds[k + 1]));
    }
    for k in center + 1..n {
        cores[k] = right_core(&right, n - 1 - k, blocks[k], bonds[k], bonds[k + 1]);
        scale_left(&mut cores[k], &scales(&right[n - 1 - k].spectrum, bonds[k]));
    }
    for k in 1..=center {
        unscale_left(&mut cores[k], &scales(&left[k - 1].spectrum, bonds[k]));
    }
    for k in center..n - 1 {
        unscale_right(&mut cores[k], &scales(&right[n - 2 - k].spectrum, bonds[k + 1]));
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
