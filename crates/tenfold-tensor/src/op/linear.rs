//! The linear map, with bias and activation in its output pass.

use super::bias_act::{chain, finish, finish_piece};
use crate::device::{self, Part};
use crate::product::{self, View, ViewMut, Weight};
use crate::tape::{any_tracked, record};
use crate::{Activation, Array, Precision, Var};

/// y = f(x W^T + bias) in `f32`.
///
/// # Shapes
/// x N x I (leading dimensions are taken together), w O x I, bias O; the result is N x O.
///
/// # Panics
/// When the widths of x and w differ or the bias does not have one element per row of w.
#[track_caller]
pub fn linear(x: &Var, w: &Var, bias: Option<&Var>, act: Activation) -> Var {
    linear_in(Precision::F32, x, w, bias, act)
}

/// y = f(x W^T + bias), with this product and those of its gradient in a precision. Outside `f32` an untracked w
/// keeps a packed copy until it is written.
///
/// # Shapes
/// As for [`linear`].
///
/// # Panics
/// As [`linear`] does.
#[track_caller]
pub fn linear_in(precision: Precision, x: &Var, w: &Var, bias: Option<&Var>, act: Activation) -> Var {
    let (rows, inner) = (x.value().height(), x.value().width());
    let &[outer, width] = w.shape() else { panic!("the weight of a linear map has shape {:?}", w.shape()) };
    assert_eq!(inner, width, "input {:?} against weight {:?}", x.shape(), w.shape());
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [outer], "bias for weight {:?}", w.shape());
    }
    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, w, bias.unwrap_or(&constant)];
    let recorded = any_tracked(&inputs);
    let keep = !w.is_tracked();

    let mut z = Array::stale(&[rows, outer]);
    let (y, slope) = if let Some(device) = device::active() {
        let (x, w) = (Part::of(x.value(), rows, inner), Part::of(w.value(), outer, inner));
        device.multiply(precision, (&mut z, 0), false, x, w.t());
        finish(z, bias.map(Var::value), act, recorded)
    } else {
        let piece = |piece: &mut [f32], first| finish_piece(piece, first, bias.map(Var::value), act);
        let finished = product::weighted(
            precision,
            ViewMut::new(z.data_mut(), rows, outer),
            false,
            View::new(x.value().data(), rows, inner),
            &Weight { value: w.value(), transposed: true, keep },
            // A recorded pass needs z itself for the slope.
            (!recorded).then_some(&piece),
        );
        if finished && !recorded { (z, None) } else { finish(z, bias.map(Var::value), act, recorded) }
    };

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
        if let Some(device) = device::active() {
            let dz = Part::of(&dz, rows, outer);
            if let Some(x) = &saved_x {
                sink.accumulate_in(1, &[outer, inner], |dw, filled| {
                    device.multiply(precision, (dw, 0), filled, dz.t(), Part::of(x, rows, inner));
                });
            }
            if let Some(w) = &saved_w {
                sink.accumulate_in(0, &shape_x, |dx, filled| {
                    device.multiply(precision, (dx, 0), filled, dz, Part::of(w, outer, inner));
                });
            }
            return;
        }
        let dz = View::new(dz.data(), rows, outer);
        if let Some(x) = saved_x {
            sink.accumulate(1, &[outer, inner], |dw, filled| {
                let (dw, x) = (ViewMut::new(dw, outer, inner), View::new(x.data(), rows, inner));
                product::multiply(precision, dw, filled, dz.t(), x);
            });
        }
        if let Some(w) = saved_w {
            sink.accumulate(0, &shape_x, |dx, filled| {
                let w = Weight { value: &w, transposed: false, keep };
                product::weighted(precision, ViewMut::new(dx, rows, inner), filled, dz, &w, None);
            });
        }
    })
}
