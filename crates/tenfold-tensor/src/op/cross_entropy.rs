//! The cross entropy of class logits.

use crate::device::{self, Block};
use crate::kernel::softmax;
use crate::par::{self, Shared};
use crate::tape::record;
use crate::{Array, Error, Var};

/// Mean over rows of minus the logarithm of the softmax at the target, a scalar.
///
/// # Shapes
/// logits N x C, one target below C per row.
///
/// # Errors
/// [`Error::TargetCount`], [`Error::TargetOutOfRange`], [`Error::EmptyBatch`] when N is 0.
pub fn cross_entropy(logits: &Var, targets: &[u32]) -> Result<Var, Error> {
    let (rows, classes) = (logits.value().height(), logits.value().width());
    if targets.len() != rows {
        return Err(Error::TargetCount { expected: rows, got: targets.len() });
    }
    if rows == 0 {
        return Err(Error::EmptyBatch);
    }
    if let Some((row, &target)) = targets.iter().enumerate().find(|&(_, &target)| target as usize >= classes)
    {
        return Err(Error::TargetOutOfRange { target, row, classes });
    }
    let values = logits.value().clone();
    if let Some(device) = device::near([&values]) {
        let targets = Block::of_words(targets);
        let (loss, shift) = device.surprise(&values, &targets);
        return Ok(record(&[logits], loss, move |gradient, sink| {
            sink.add(0, device.surprise_back(&values, &shift, &targets, &gradient));
        }));
    }
    let block = par::block_rows(classes);
    let mut shift = Array::stale(&[rows]); // log of the sum of exponentials of every row
    par::chunks_mut(shift.data_mut(), block, |start, shift| {
        for (i, shift) in shift.iter_mut().enumerate() {
            let row = start + i;
            *shift = softmax::log_sum_exp(&values.data()[row * classes..(row + 1) * classes]);
        }
    });
    let pairs = shift.data().iter().zip(values.data().chunks_exact(classes)).zip(targets);
    let total: f64 =
        pairs.map(|((&shift, row), &target)| f64::from(shift) - f64::from(row[target as usize])).sum();
    let loss = Array::scalar((total / rows as f64) as f32);

    let targets = targets.to_vec();
    Ok(record(&[logits], loss, move |gradient, sink| {
        let factor = gradient.item() / rows as f32;
        let mut dx = Array::stale(values.shape());
        let shared = Shared::new(dx.data_mut());
        par::each(rows.div_ceil(block), |i| {
            for row in i * block..((i + 1) * block).min(rows) {
                // SAFETY: every row belongs to one task.
                let dx = unsafe { shared.slice(row * classes, classes) };
                let x = &values.data()[row * classes..(row + 1) * classes];
                softmax::exp_shifted(dx, x, 1.0, shift.data()[row], factor);
                dx[targets[row] as usize] -= factor;
            }
        });
        sink.add(0, dx);
    }))
}
