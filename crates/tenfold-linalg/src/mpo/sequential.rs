//! TT-SVD from the left with truncation at every step.

use faer::MatRef;

use crate::error::Result;
use crate::kernel;
use crate::shape::MpoShape;
use crate::spectrum;

use super::basis::{self, Side};
use super::symmetric::left_core;
use super::{Parts, wide_bonds};

/// Until the first truncation the remainder's left factors are those of the original unfoldings, so the steps
/// up to there take them from the shared squares of the left side; later steps factor the truncated
/// remainder.
pub(super) fn decompose(x: Vec<f64>, shape: &MpoShape, bonds: &[usize]) -> Result<Parts> {
    let blocks = shape.blocks();
    let n = blocks.len();
    let wide = wide_bonds(&blocks);
    let full = shape.full_bonds();
    let left = basis::bases(&x, &blocks, Side::Left, wide, true)?;
    let right = basis::bases(&x, &blocks, Side::Right, n - 1 - wide, false)?;
    // Sites done by the shared bases: through the first bond that is cut, if that comes before the bulk.
    let shared = (1..=wide).find(|&k| bonds[k] < full[k]).unwrap_or(wide);

    let mut cores: Vec<Vec<f64>> = (0..shared).map(|k| left_core(&left, k, blocks[k], bonds)).collect();
    let mut steps: Vec<f64> = (0..shared).map(|k| spectrum::tail(&left[k].spectrum, bonds[k + 1])).collect();
    let mut rest = x;
    if shared > 0 {
        let kept = left[shared - 1].vectors.as_ref().subcols(0, bonds[shared]);
        rest = project(kept, &rest);
    }
    for k in shared..n - 1 {
        let rows = bonds[k] * blocks[k];
        let (values, u) = kernel::left_svd(kernel::view(&rest, rows, rest.len() / rows))?;
        let kept = u.as_ref().subcols(0, bonds[k + 1]);
        cores.push(kernel::flatten(kept));
        steps.push(spectrum::tail(&values, bonds[k + 1]));
        rest = project(kept, &rest);
    }
    cores.push(rest);
    let spectra = left.into_iter().chain(right.into_iter().rev()).map(|b| b.spectrum).collect();
    Ok(Parts { cores, spectra, steps })
}

/// Coordinates of the unfolding in the kept basis.
fn project(kept: MatRef<'_, f64>, rest: &[f64]) -> Vec<f64> {
    let rows = kept.nrows();
    kernel::product(kept.transpose(), kernel::view(rest, rows, rest.len() / rows))
}
