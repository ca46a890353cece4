//! The plain matrix product.

use super::matmul_each::products;
use crate::tape::record;
use crate::{Array, Var};

/// The product a b.
///
/// # Shapes
/// a M x K, b K x N; the result is M x N.
///
/// # Panics
/// When the shapes do not fit together.
#[track_caller]
pub fn matmul(a: &Var, b: &Var) -> Var {
    let (&[m, k], &[k_b, n]) = (a.shape(), b.shape()) else {
        panic!("product of shapes {:?} and {:?}, expected two matrices", a.shape(), b.shape())
    };
    assert_eq!(k, k_b, "product of {:?} and {:?}", a.shape(), b.shape());
    let mut y = Array::stale(&[m, n]);
    product((&mut y, [m, n]), false, (a.value(), false), (b.value(), false), k);
    let saved_a = b.is_tracked().then(|| a.value().clone());
    let saved_b = a.is_tracked().then(|| b.value().clone());
    record(&[a, b], y, move |gradient, sink| {
        if let Some(b) = saved_b {
            sink.accumulate_in(0, &[m, k], |da, filled| {
                product((da, [m, k]), filled, (&gradient, false), (&b, true), n);
            });
        }
        if let Some(a) = saved_a {
            sink.accumulate_in(1, &[k, n], |db, filled| {
                product((db, [k, n]), filled, (&a, true), (&gradient, false), m);
            });
        }
    })
}

/// to (+)= lhs rhs over `inner` terms, each turned or not, of elements wherever they are.
pub(super) fn product(
    (to, [rows, cols]): (&mut Array, [usize; 2]),
    add: bool,
    (lhs, left_turned): (&Array, bool),
    (rhs, right_turned): (&Array, bool),
    inner: usize,
) {
    products(1, to, add, [rows, inner, cols], (lhs, 1, left_turned), (rhs, 1, right_turned));
}
