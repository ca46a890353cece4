//! The linear map, with bias and activation in its output pass.

use super::bias_act::{chain, finish};
use crate::product::{Threads, View, ViewMut, gemm};
use crate::tape::{any_tracked, record};
use crate::{Activation, Array, Var};

/// y = f(x W^T + bias).
///
/// # Shapes
/// x N x I (leading dimensions are taken together), w O x I, bias O; the result is N x O.
///
/// # Panics
/// When the widths of x and w differ or the bias does not have one element per row of w.
#[track_caller]
pub fn linear(x: &Var, w: &Var, bias: Option<&Var>, act: Activation) -> Var {
    let (rows, inner) = (x.value().height(), x.value().width());
    let &[outer, width] = w.shape() else { panic!("the weight of a linear map has shape {:?}", w.shape()) };
    assert_eq!(inner, width, "input {:?} against weight {:?}", x.shape(), w.shape());
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [outer], "bias for weight {:?}", w.shape());
    }
    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, w, bias.unwrap_or(&constant)];

    let mut z = Array::stale(&[rows, outer]);
    gemm(
        ViewMut::new(z.data_mut(), rows, outer),
        0.0,
        1.0,
        View::new(x.value().data(), rows, inner),
        View::new(w.value().data(), outer, inner).t(),
        Threads::All,
    );
    let (y, slope) = finish(z, bias.map(Var::value), act, any_tracked(&inputs));

    // Each factor is needed only for the gradient of the other.
    let shape_x = x.shape().to_vec();
    let saved_x = w.is_tracked().then(|| x.value().clone());
    let saved_w = x.is_tracked().then(|| w.value().clone());
    let with_bias = bias.is_some();
    record(&inputs, y, move |gradient, sink| {
        let (dz, dbias) = chain(gradient, slope, with_bias && sink.wants(2));
        if let Some(dbias) = dbias {
            sink.add(2, dbias);
        }
        let dz = dz.data();
        if let Some(x) = saved_x {
            sink.accumulate(1, &[outer, inner], |dw, filled| {
                gemm(
                    ViewMut::new(dw, outer, inner),
                    f32::from(u8::from(filled)),
                    1.0,
                    View::new(dz, rows, outer).t(),
                    View::new(x.data(), rows, inner),
                    Threads::All,
                );
            });
        }
        if let Some(w) = saved_w {
            sink.accumulate(0, &shape_x, |dx, filled| {
                gemm(
                    ViewMut::new(dx, rows, inner),
                    f32::from(u8::from(filled)),
                    1.0,
                    View::new(dz, rows, outer),
                    View::new(w.data(), outer, inner),
                    Threads::All,
                );
            });
        }
    })
}
