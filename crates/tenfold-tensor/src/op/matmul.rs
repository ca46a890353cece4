//! The plain matrix product.

use crate::product::{Threads, View, ViewMut, gemm};
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
    gemm(
        ViewMut::new(y.data_mut(), m, n),
        0.0,
        1.0,
        View::new(a.value().data(), m, k),
        View::new(b.value().data(), k, n),
        Threads::All,
    );
    let saved_a = b.is_tracked().then(|| a.value().clone());
    let saved_b = a.is_tracked().then(|| b.value().clone());
    record(&[a, b], y, move |gradient, sink| {
        let dy = View::new(gradient.data(), m, n);
        if let Some(b) = saved_b {
            sink.accumulate(0, &[m, k], |da, filled| {
                let beta = f32::from(u8::from(filled));
                gemm(ViewMut::new(da, m, k), beta, 1.0, dy, View::new(b.data(), k, n).t(), Threads::All);
            });
        }
        if let Some(a) = saved_a {
            sink.accumulate(1, &[k, n], |db, filled| {
                let beta = f32::from(u8::from(filled));
                gemm(ViewMut::new(db, k, n), beta, 1.0, View::new(a.data(), m, k).t(), dy, Threads::All);
            });
        }
    })
}
