//! Linear maps of several experts over rows that lie in the order of experts.

use super::bias_act::{chain, finish};
use crate::device::{self, Part};
use crate::product::{self, View, ViewMut, Weight};
use crate::tape::{any_tracked, record};
use crate::{Activation, Array, Offsets, Precision, Var};

/// y = f(x W_e^T + bias) for the rows x of every expert e.
///
/// # Shapes
/// x N x I, whose rows `rows.range(e)` are those of expert e; a weight O x I for every expert that has rows (others may be left
/// out); bias O, of all experts; the result is N x O.
///
/// # Panics
/// When an expert with rows has no weight, or shapes do not fit.
#[track_caller]
pub fn linear_each(
    precision: Precision,
    x: &Var,
    rows: &Offsets,
    weights: &[Option<Var>],
    bias: Option<&Var>,
    act: Activation,
) -> Var {
    let (total, inner) = (x.value().height(), x.value().width());
    assert!(
        rows.sequences() == weights.len() && rows.tokens() == total,
        "rows of experts against {:?}",
        x.shape()
    );
    let known: Vec<&Var> = weights.iter().flatten().collect();
    let Some(outer) = known.first().map(|w| w.value().height()) else {
        panic!("no expert has a weight");
    };
    for (e, range) in rows.ranges().enumerate() {
        let fits = match &weights[e] {
            Some(w) => w.shape() == [outer, inner],
            None => range.is_empty(),
        };
        assert!(fits, "expert {e} with {} rows of {inner} numbers", range.len());
    }
    if let Some(bias) = bias {
        assert_eq!(bias.shape(), [outer], "bias of experts");
    }
    let constant = Var::constant(Array::scalar(0.0));
    let mut inputs = vec![x, bias.unwrap_or(&constant)];
    inputs.extend(weights.iter().map(|w| w.as_ref().unwrap_or(&constant)));
    let recorded = any_tracked(&inputs);
    let tracked_x = x.is_tracked();

    let mut z = Array::stale(&[total, outer]);
    for (range, w) in rows.ranges().zip(weights) {
        let Some(w) = w.as_ref().filter(|_| !range.is_empty()) else { continue };
        if let Some(device) = device::active() {
            let (x, w) = (Part::of(x.value(), total, inner), Part::of(w.value(), outer, inner));
            device.multiply(precision, (&mut z, range.start), false, x.rows(range), w.t());
            continue;
        }
        let weight = Weight { value: w.value(), transposed: true, keep: !w.is_tracked() };
        let part = &mut z.data_mut()[range.start * outer..range.end * outer];
        let read = View::new(&x.value().data()[range.start * inner..range.end * inner], range.len(), inner);
        product::weighted(precision, ViewMut::new(part, range.len(), outer), false, read, &weight, None);
    }
    let (y, slope) = finish(z, bias.map(Var::value), act, recorded);

    let saved_x = known.iter().any(|w| w.is_tracked()).then(|| x.value().clone());
    let saved: Vec<Option<(Array, bool)>> = weights
        .iter()
        .map(|w| w.as_ref().filter(|_| tracked_x).map(|w| (w.value().clone(), !w.is_tracked())))
        .collect();
    let (rows, with_bias) = (rows.clone(), bias.is_some());
    record(&inputs, y, move |gradient, sink| {
        let (dz, dbias) = chain(gradient, slope, with_bias && sink.wants(1));
        if let Some(dbias) = dbias {
            sink.add(1, dbias);
        }
        if let Some(device) = device::active() {
            let dz = Part::of(&dz, total, outer);
            if let Some(x) = &saved_x {
                let x = Part::of(x, total, inner);
                for (e, range) in rows.ranges().enumerate().filter(|(_, range)| !range.is_empty()) {
                    sink.accumulate_in(2 + e, &[outer, inner], |dw, filled| {
                        device.multiply(
                            precision,
                            (dw, 0),
                            filled,
                            dz.rows(range.clone()).t(),
                            x.rows(range),
                        );
                    });
                }
            }
            if tracked_x {
                sink.accumulate_in(0, &[total, inner], |dx, filled| {
                    for (range, w) in rows.ranges().zip(&saved) {
                        let Some((w, _)) = w.as_ref().filter(|_| !range.is_empty()) else { continue };
                        let to = (&mut *dx, range.start);
                        device.multiply(precision, to, filled, dz.rows(range), Part::of(w, outer, inner));
                    }
                });
            }
            return;
        }
        let dz_of = |range: &std::ops::Range<usize>| {
            View::new(&dz.data()[range.start * outer..range.end * outer], range.len(), outer)
        };
        if let Some(x) = saved_x {
            for (e, range) in rows.ranges().enumerate().filter(|(_, range)| !range.is_empty()) {
                sink.accumulate(2 + e, &[outer, inner], |dw, filled| {
                    let x = View::new(&x.data()[range.start * inner..range.end * inner], range.len(), inner);
                    product::multiply(
                        precision,
                        ViewMut::new(dw, outer, inner),
                        filled,
                        dz_of(&range).t(),
                        x,
                    );
                });
            }
        }
        if tracked_x {
            sink.accumulate(0, &[total, inner], |dx, filled| {
                for (range, w) in rows.ranges().zip(&saved) {
                    let Some((value, keep)) = w.as_ref().filter(|_| !range.is_empty()) else { continue };
                    let w = Weight { value, transposed: false, keep: *keep };
                    let part = &mut dx[range.start * inner..range.end * inner];
                    let part = ViewMut::new(part, range.len(), inner);
                    product::weighted(precision, part, filled, dz_of(&range), &w, None);
                }
            });
        }
    })
}
