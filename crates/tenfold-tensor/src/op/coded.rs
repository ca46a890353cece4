//! The linear map of a quantized matrix, whose rows or columns the codes hold.

use super::bias_act::{chain, finish};
use crate::product::{self, View, ViewMut};
use crate::tape::{any_tracked, record};
use crate::{Activation, Array, Codes, Precision, Var};

/// y = f(x W^T + bias), with this product and that of its gradient in a precision. W is constant: gradients reach x and the
/// bias.
///
/// # Shapes
/// x N x I (leading dimensions are taken together), W O x I, bias O; the result is N x O.
///
/// # Panics
/// When the widths of x and W differ or the bias does not have one element per row of W.
#[track_caller]
pub fn coded(precision: Precision, x: &Var, w: &Codes, bias: Option<&Var>, act: Activation) -> Var {
    mapped(precision, x, w, bias, act, |dst, x| product::coded(precision, dst, x, w))
}

/// The same of inputs that are rounded to 8 bits, each row of x to whole multiples of its largest magnitude over 127: codes and
/// inputs are multiplied as whole numbers, exactly, and each sum over a group of columns is scaled once (Dettmers et al. 2022,
/// LLM.int8(), section 2.1). The gradient of x is that of the product without rounding (straight through), in `precision`.
///
/// # Shapes
/// As [`coded`].
///
/// # Panics
/// As [`coded`], and when w is in no affine scheme.
#[track_caller]
pub fn coded_rounded(precision: Precision, x: &Var, w: &Codes, bias: Option<&Var>, act: Activation) -> Var {
    mapped(precision, x, w, bias, act, |dst, x| product::rounded(dst, x, w))
}

/// f(product(x) + bias), whose gradient is that of the product with w.
#[track_caller]
fn mapped(
    precision: Precision,
    x: &Var,
    w: &Codes,
    bias: Option<&Var>,
    act: Activation,
    product: impl FnOnce(ViewMut<'_, f32>, View<'_, f32>),
) -> Var {
    let (rows, inner) = (x.value().height(), x.value().width());
    let [outer, width] = w.shape();
    assert_eq!(inner, width, "input {:?} against {w:?}", x.shape());
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [outer], "bias for {w:?}");
    }
    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, bias.unwrap_or(&constant)];

    let mut z = Array::stale(&[rows, outer]);
    let (dst, source) = (ViewMut::new(z.data_mut(), rows, outer), View::new(x.value().data(), rows, inner));
    product(dst, source);
    let (y, slope) = finish(z, bias.map(Var::value), act, any_tracked(&inputs));

    let shape_x = x.shape().to_vec();
    let w = w.clone();
    let with_bias = bias.is_some();
    record(&inputs, y, move |gradient, sink| {
        let (dz, dbias) = chain(gradient, slope, with_bias && sink.wants(1));
        if let Some(dbias) = dbias {
            sink.add(1, dbias);
        }
        sink.accumulate(0, &shape_x, |dx, filled| {
            let (dx, dz) = (ViewMut::new(dx, rows, inner), View::new(dz.data(), rows, outer));
            product::coded_back(precision, dx, filled, dz, &w);
        });
    })
}

/// The maps of several matrices that read the same x, each as [`coded`] without an activation. Few inputs of 8 bits without gradients
/// are rounded once for all of them and multiplied in one round of work.
///
/// # Shapes
/// x N x I (leading dimensions are taken together), every W O x I and every bias O with an O of its own; the results are N x O.
///
/// # Panics
/// As [`coded`].
#[track_caller]
pub fn coded_each(precision: Precision, x: &Var, maps: &[(&Codes, Option<&Var>)]) -> Vec<Var> {
    let (rows, inner) = (x.value().height(), x.value().width());
    let each = || maps.iter().map(|(w, bias)| coded(precision, x, w, *bias, Activation::Identity)).collect();
    let tracked = maps.iter().filter_map(|(_, bias)| *bias).chain([x]).any(Var::is_tracked);
    if tracked || precision != Precision::Int8 {
        return each();
    }
    let mut sums: Vec<Array> = maps.iter().map(|(w, _)| Array::stale(&[rows, w.height()])).collect();
    let mut places: Vec<_> = (sums.iter_mut().zip(maps))
        .map(|(sums, (w, _))| (ViewMut::new(sums.data_mut(), rows, w.height()), *w))
        .collect();
    if !product::whole_rows(&mut places, View::new(x.value().data(), rows, inner)) {
        return each();
    }
    let finished = sums.into_iter().zip(maps).map(|(sums, (_, bias))| {
        if let Some(bias) = bias {
            assert_eq!(bias.shape(), [sums.width()], "bias for a matrix of codes");
        }
        finish(sums, bias.map(Var::value), Activation::Identity, false).0
    });
    finished.map(Var::constant).collect()
}

/// y = f(x C + bias) for codes C whose rows are the columns of the weight: W = C^T. Else as [`coded`].
///
/// # Shapes
/// x N x I (leading dimensions are taken together), C I x O, bias O; the result is N x O.
///
/// # Panics
/// When x is not as wide as C has rows or the bias does not have one element per column of C.
#[track_caller]
pub fn coded_columns(precision: Precision, x: &Var, c: &Codes, bias: Option<&Var>, act: Activation) -> Var {
    let (rows, inner) = (x.value().height(), x.value().width());
    let [height, outer] = c.shape();
    assert_eq!(inner, height, "input {:?} against the columns {c:?}", x.shape());
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [outer], "bias for the columns {c:?}");
    }
    let constant = Var::constant(Array::scalar(0.0));
    let inputs = [x, bias.unwrap_or(&constant)];

    let mut z = Array::stale(&[rows, outer]);
    let (dst, source) = (ViewMut::new(z.data_mut(), rows, outer), View::new(x.value().data(), rows, inner));
    product::coded_back(precision, dst, false, source, c);
    let (y, slope) = finish(z, bias.map(Var::value), act, any_tracked(&inputs));

    let shape_x = x.shape().to_vec();
    let c = c.clone();
    let with_bias = bias.is_some();
    record(&inputs, y, move |gradient, sink| {
        let (dz, dbias) = chain(gradient, slope, with_bias && sink.wants(1));
        if let Some(dbias) = dbias {
            sink.add(1, dbias);
        }
        if sink.wants(0) {
            let mut dx = Array::stale(&shape_x);
            let (dst, dz) = (ViewMut::new(dx.data_mut(), rows, inner), View::new(dz.data(), rows, outer));
            // Gradients are never rounded to 8 bits.
            product::coded(product::of_values(precision), dst, dz, &c);
            sink.add(0, dx);
        }
    })
}
