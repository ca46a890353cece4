//! How unevenly experts are used.

use crate::kernel::softmax;
use crate::tape::record;
use crate::{Array, Var};

/// `E sum_e f_e P_e`, a scalar: f_e is the share of choices that fell on expert e, P_e the mean of its probability. 1 where either
/// is uniform, E where all tokens are sure of one expert. Only the probabilities have a gradient.
///
/// # Shapes
/// logits N x E, choices any number below E. Of no rows it is 0.
///
/// # Panics
/// When a choice names no expert.
///
/// # Source
/// Fedus et al. 2022 (Switch), equation 4, without its coefficient.
#[track_caller]
pub fn balance(logits: &Var, choices: &[u32]) -> Var {
    let (rows, experts) = (logits.value().height(), logits.value().width());
    let mut shares = vec![0.0f64; experts];
    choices.iter().for_each(|choice| shares[*choice as usize] += 1.0 / choices.len() as f64);
    let mut p = logits.value().clone();
    let mut total = 0.0;
    for row in p.data_mut().chunks_exact_mut(experts.max(1)) {
        softmax::softmax(row, 1.0);
        total += row.iter().zip(&shares).map(|(p, share)| f64::from(*p) * share).sum::<f64>();
    }
    let scale = experts as f64 / rows.max(1) as f64;
    record(&[logits], Array::scalar((scale * total) as f32), move |gradient, sink| {
        let factor = scale * f64::from(gradient.item());
        let mut dx = p;
        for row in dx.data_mut().chunks_exact_mut(experts.max(1)) {
            let inner: f64 = row.iter().zip(&shares).map(|(p, share)| f64::from(*p) * share).sum();
            row.iter_mut().zip(&shares).for_each(|(p, share)| {
                *p = (factor * f64::from(*p) * (share - inner)) as f32;
            });
        }
        sink.add(0, dx);
    })
}
