//! How far a distribution over classes is from another one, averaged over rows.

use crate::kernel::softmax;
use crate::par::{self, Shared};
use crate::pool::Buffer;
use crate::tape::record;
use crate::{Array, Error, Var};

/// Mean over rows of the Kullback-Leibler divergence of softmax(logits) from softmax(target), a scalar: what is lost by
/// taking the first for the second (Hinton, Vinyals and Dean 2015, section 2, at temperature 1).
///
/// # Shapes
/// logits and target N x C.
///
/// # Errors
/// [`Error::EmptyBatch`] when N is 0.
///
/// # Panics
/// When the shapes differ.
#[track_caller]
pub fn divergence(logits: &Var, target: &Array) -> Result<Var, Error> {
    assert_eq!(logits.shape(), target.shape(), "logits and target of a divergence");
    let (rows, classes) = (target.height(), target.width());
    if rows == 0 {
        return Err(Error::EmptyBatch);
    }
    let (values, target) = (logits.value().clone(), target.clone());
    let block = par::block_rows(classes);
    // Logarithms of the sums of exponentials of both, and the divergence of every row.
    let mut found = Array::stale(&[rows, 3]);
    par::chunks_mut(found.data_mut(), 3 * block, |start, found| {
        for (i, found) in found.chunks_exact_mut(3).enumerate() {
            let span = (start / 3 + i) * classes..(start / 3 + i + 1) * classes;
            let (x, t) = (&values.data()[span.clone()], &target.data()[span]);
            let (of_x, of_t) = (softmax::log_sum_exp(x), softmax::log_sum_exp(t));
            let mut p = Buffer::stale(classes);
            softmax::exp_shifted(&mut p, t, 1.0, of_t, 1.0);
            let apart = f64::from(of_x) - f64::from(of_t);
            let terms = p.iter().zip(x.iter().zip(t));
            let sum: f64 =
                terms.map(|(p, (x, t))| f64::from(*p) * (f64::from(*t) - f64::from(*x) + apart)).sum();
            found.copy_from_slice(&[of_x, of_t, sum as f32]);
        }
    });
    let total: f64 = found.data().chunks_exact(3).map(|row| f64::from(row[2])).sum();
    let loss = Array::scalar((total / rows as f64) as f32);
    Ok(record(&[logits], loss, move |gradient, sink| {
        let factor = gradient.item() / rows as f32;
        let mut dx = Array::stale(values.shape());
        let shared = Shared::new(dx.data_mut());
        par::each(rows.div_ceil(block), |i| {
            let mut p = Buffer::stale(classes);
            for row in i * block..((i + 1) * block).min(rows) {
                // SAFETY: every row belongs to one task.
                let dx = unsafe { shared.slice(row * classes, classes) };
                let span = row * classes..(row + 1) * classes;
                let (of_x, of_t) = (found.data()[3 * row], found.data()[3 * row + 1]);
                softmax::exp_shifted(dx, &values.data()[span.clone()], 1.0, of_x, factor);
                softmax::exp_shifted(&mut p, &target.data()[span], 1.0, of_t, factor);
                dx.iter_mut().zip(p.iter()).for_each(|(dx, p)| *dx -= p);
            }
        });
        sink.add(0, dx);
    }))
}
