//! Products of integer codes with inputs rounded to 8 bits, one step for a whole row of them: whole numbers are multiplied and
//! added as such, and a sum is scaled and rounded once.

use super::{View, ViewMut};
use crate::kernel::multiversion;
use crate::par::{self, Shared};
use crate::{Codes, Scheme};

/// The largest code of an input.
const TOP: f32 = 127.0;

/// Columns whose products add up within 32 bits: each is 127 times 255 at most.
const SPAN: usize = 1 << 16;

/// Rows of inputs `step code`. One with a number that is not finite has a step that is none.
struct Inputs {
    cols: usize,
    codes: Vec<i16>,
    steps: Vec<f64>,
}

impl Inputs {
    fn round(x: View<'_, f32>) -> Self {
        let mut inputs =
            Self { cols: x.cols, codes: vec![0; x.rows * x.cols], steps: Vec::with_capacity(x.rows) };
        for row in 0..x.rows {
            let x = &x.data[row * x.row_step..][..x.cols];
            inputs.steps.push(round(x, &mut inputs.codes[row * x.len()..][..x.len()]));
        }
        inputs
    }
}

multiversion! {
    /// Writes the nearest whole multiples of a step, which is returned, so that the largest magnitude has the largest code.
    fn round<F>(x: &[f32], codes: &mut [i16]) -> f64 {
        let (mut top, mut poison) = (0.0f32, 0.0f32);
        for value in x {
            top = top.max(value.abs());
            poison += value * 0.0;
        }
        let inverse = if top > 0.0 { TOP / top } else { 0.0 };
        for (code, value) in codes.iter_mut().zip(x) {
            // Beyond the largest code only where the inverse of a tiny number has no value.
            *code = (value * inverse).round_ties_even().clamp(-TOP, TOP) as i16;
        }
        f64::from(top) / f64::from(TOP) + f64::from(poison)
    }
}

/// dst = (d q) w^T for rows d q of inputs, each rounded to the nearest of 255 levels up to its largest magnitude (absmax of
/// Dettmers et al. 2022, LLM.int8(), equation 1). Codes of a group of w and of its inputs are multiplied and added as whole
/// numbers; sums of groups are scaled and added in f64, and the result is rounded once.
///
/// # Shapes
/// dst N x O, x N x I with contiguous rows, w O x I in an affine scheme.
///
/// # Panics
/// When the shapes do not fit together or w is in another scheme.
#[track_caller]
pub(crate) fn rounded(dst: ViewMut<'_, f32>, x: View<'_, f32>, w: &Codes) {
    /// Rows of w for one task.
    const ROWS: usize = 8;
    let (rows, cols, step) = (w.height(), w.width(), dst.row_step);
    assert!(dst.rows == x.rows && dst.cols == rows && x.cols == cols, "{} x {} by {w:?}", x.rows, x.cols);
    assert_eq!(x.col_step, 1, "inputs are contiguous rows");
    let Scheme::Affine(affine) = w.scheme() else {
        panic!("{w:?} has no whole numbers with one step a group")
    };
    if x.rows == 0 || rows == 0 {
        return;
    }
    let inputs = Inputs::round(x);
    let group = affine.columns(cols);
    let len = (dst.rows - 1) * step + dst.cols;
    // SAFETY: the view stands for these elements, exclusively.
    let out = Shared::new(unsafe { std::slice::from_raw_parts_mut(dst.start, len) });
    par::each_with(
        rows.div_ceil(ROWS),
        || vec![0i16; cols],
        |whole, i| {
            for row in i * ROWS..((i + 1) * ROWS).min(rows) {
                let parts = affine.unpack(w.row(row), cols);
                let groups = whole.chunks_mut(group).zip(parts.codes.chunks(group)).zip(&parts.zeros);
                for ((whole, codes), zero) in groups {
                    for (whole, code) in whole.iter_mut().zip(codes) {
                        *whole = i16::from(*code) - i16::from(*zero);
                    }
                }
                for at in 0..inputs.steps.len() {
                    let value =
                        product(whole, &parts.scales, group, &inputs.codes[at * inputs.cols..][..cols]);
                    // SAFETY: elements of different tasks are different ones.
                    let place = unsafe { out.slice(at * step + row, 1) };
                    place[0] = (inputs.steps[at] * value) as f32;
                }
            }
        },
    );
}

multiversion! {
    /// The sum over groups of a scale times the sum of products of whole numbers.
    fn product<F>(weights: &[i16], scales: &[f32], group: usize, inputs: &[i16]) -> f64 {
        let mut sum = 0.0;
        for ((weights, inputs), scale) in weights.chunks(group).zip(inputs.chunks(group)).zip(scales) {
            let mut whole = 0i64;
            for (weights, inputs) in weights.chunks(SPAN).zip(inputs.chunks(SPAN)) {
                let mut part = 0i32;
                for (weight, input) in weights.iter().zip(inputs) {
                    part += i32::from(*weight) * i32::from(*input);
                }
                whole += i64::from(part);
            }
            sum += f64::from(*scale) * whole as f64;
        }
        sum
    }
}
