//! The matrix of codes whose groups have scales and shifts of their own.

use crate::kernel::expand::Reader;
use crate::kernel::{group, reduce};
use crate::par::{self, Shared};
use crate::tape::record;
use crate::{Array, Codes, Scheme, Var};

/// `W[o, i] = scales[o, g] k[o, i] + shifts[o, g]` with k the numbers that affine codes stand for and g the group that column i
/// lies in. The codes are constant: gradients reach scales (the sum of dW k over a group) and shifts (the sum of dW).
///
/// # Shapes
/// codes O x I in G groups a row; scales and shifts O x G; the result is O x I.
///
/// # Panics
/// When the codes have no groups, or scales or shifts are not one per row and group.
#[track_caller]
pub fn grouped(codes: &Codes, scales: &Var, shifts: Option<&Var>) -> Var {
    let Scheme::Affine(affine) = codes.scheme() else { panic!("{codes:?} has no groups") };
    let [rows, cols] = codes.shape();
    let (width, groups) = (affine.columns(cols), affine.groups(cols));
    assert_eq!(scales.shape(), [rows, groups], "scales of {codes:?}");
    if let Some(shifts) = shifts {
        assert_eq!(shifts.shape(), [rows, groups], "shifts of {codes:?}");
    }
    let none = Var::constant(Array::zeros(&[groups]));
    let (row_scales, row_shifts) = (scales.value().data(), shifts.unwrap_or(&none).value().data());
    let mut w = codes.values();
    let out = Shared::new(w.data_mut());
    let block = par::block_rows(cols);
    par::each(rows.div_ceil(block), |i| {
        for row in i * block..((i + 1) * block).min(rows) {
            let own = row * groups..(row + 1) * groups;
            let shifts = if shifts.is_some() { &row_shifts[own.clone()] } else { row_shifts };
            // SAFETY: rows of different tasks do not overlap.
            let values = unsafe { out.slice(row * cols, cols) };
            group::stretch(values, width, &row_scales[own], shifts);
        }
    });
    let codes = codes.clone();
    record(&[scales, shifts.unwrap_or(&none)], w, move |gradient, sink| {
        if sink.wants(0) {
            let mut sums = Array::stale(&[rows, groups]);
            let out = Shared::new(sums.data_mut());
            par::each(rows.div_ceil(block), |i| {
                let (mut reader, mut numbers) = (Reader::new(codes.scheme(), cols), vec![0.0; cols]);
                for row in i * block..((i + 1) * block).min(rows) {
                    reader.read(codes.row(row), &mut numbers);
                    let dw = gradient.data()[row * cols..(row + 1) * cols].chunks(width);
                    // SAFETY: rows of different tasks do not overlap.
                    let sums = unsafe { out.slice(row * groups, groups) };
                    for ((sum, dw), numbers) in sums.iter_mut().zip(dw).zip(numbers.chunks(width)) {
                        *sum = reduce::dot(dw, numbers);
                    }
                }
            });
            sink.add(0, sums);
        }
        if sink.wants(1) {
            let mut sums = Array::stale(&[rows, groups]);
            par::chunks_mut(sums.data_mut(), block * groups, |start, sums| {
                let first = start / groups;
                for (at, sums) in sums.chunks_exact_mut(groups).enumerate() {
                    let dw = gradient.data()[(first + at) * cols..(first + at + 1) * cols].chunks(width);
                    sums.iter_mut().zip(dw).for_each(|(sum, dw)| *sum = reduce::sum(dw) as f32);
                }
            });
            sink.add(1, sums);
        }
    })
}
