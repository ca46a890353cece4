//! Plain matrix products of the members of two batches.

use crate::device::{self, Part};
use crate::product::{Threads, View, ViewMut, gemm};
use crate::tape::record;
use crate::{Array, Precision, Var};

/// The products a_e b_e of every member e; a batch of one goes with every member of the other.
///
/// # Shapes
/// a A x M x K, b B x K x N with A = B, or one of them 1; the result has max(A, B) members, M x N each.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub fn matmul_each(a: &Var, b: &Var) -> Var {
    let (&[of_a, m, k], &[of_b, k_b, n]) = (a.shape(), b.shape()) else {
        panic!("products of shapes {:?} and {:?}, expected two batches of matrices", a.shape(), b.shape())
    };
    let fits = k == k_b && (of_a == of_b || of_a == 1 || of_b == 1);
    assert!(fits, "products of {:?} and {:?}", a.shape(), b.shape());
    let batch = if of_a == 1 { of_b } else { of_a };
    let mut y = Array::stale(&[batch, m, n]);
    products(batch, &mut y, false, [m, k, n], (a.value(), of_a, false), (b.value(), of_b, false));
    let saved_a = b.is_tracked().then(|| a.value().clone());
    let saved_b = a.is_tracked().then(|| b.value().clone());
    record(&[a, b], y, move |gradient, sink| {
        // What goes with every member gets the sum over members.
        let mut pour = |input, of: usize, [rows, inner, cols]: [usize; 3], lhs, rhs| {
            if of == batch {
                sink.accumulate_in(input, &[of, rows, cols], |to, filled| {
                    products(batch, to, filled, [rows, inner, cols], lhs, rhs);
                });
            } else {
                let mut each = Array::stale(&[batch, rows * cols]);
                products(batch, &mut each, false, [rows, inner, cols], lhs, rhs);
                sink.add(input, super::reduce_rows::sum(&each).reshape(&[of, rows, cols]));
            }
        };
        if let Some(b) = &saved_b {
            pour(0, of_a, [m, n, k], (&gradient, batch, false), (b, of_b, true));
        }
        if let Some(a) = &saved_a {
            pour(1, of_b, [k, m, n], (a, of_a, true), (&gradient, batch, false));
        }
    })
}

/// to_e (+)= lhs_e rhs_e for every member, each operand turned or not.
pub(super) fn products(
    batch: usize,
    to: &mut Array,
    add: bool,
    [rows, inner, cols]: [usize; 3],
    (lhs, of_lhs, left_turned): (&Array, usize, bool),
    (rhs, of_rhs, right_turned): (&Array, usize, bool),
) {
    let left = if left_turned { [inner, rows] } else { [rows, inner] };
    let right = if right_turned { [cols, inner] } else { [inner, cols] };
    if let Some(device) = device::near([lhs, rhs]) {
        let lhs = Part::of(lhs, left[0], left[1]).each(of_lhs).t_if(left_turned);
        let rhs = Part::of(rhs, right[0], right[1]).each(of_rhs).t_if(right_turned);
        return device.multiply_each(Precision::F32, batch, (to, 0), add, lhs, rhs);
    }
    let member = |e: usize, of: usize| if of == 1 { 0 } else { e };
    let view = |array, e, of, [rows, cols]: [usize; 2], turned| {
        let data: &[f32] = Array::data(array);
        let view = View::new(&data[member(e, of) * rows * cols..][..rows * cols], rows, cols);
        if turned { view.t() } else { view }
    };
    let beta = f32::from(u8::from(add));
    for (e, to) in to.data_mut().chunks_exact_mut((rows * cols).max(1)).enumerate() {
        let lhs = view(lhs, e, of_lhs, left, left_turned);
        let rhs = view(rhs, e, of_rhs, right, right_turned);
        gemm(ViewMut::new(to, rows, cols), beta, 1.0, lhs, rhs, Threads::All);
    }
}
