//! The weights with which a router lets experts speak.

use crate::kernel::softmax;
use crate::tape::record;
use crate::{Array, Var};

/// The gates of chosen experts: their probabilities under the softmax of the logits of all experts, or of the chosen ones alone,
/// which then add up to 1.
///
/// # Shapes
/// logits N x E, choices N k below E, distinct in a row; the result is N x k.
///
/// # Panics
/// When the choices do not divide into N rows or name no expert.
///
/// # Source
/// Over all: Fedus et al. 2022 (Switch), equation 1. Over the chosen: Shazeer et al. 2017, equations 3 and 5.
#[track_caller]
pub fn gates(logits: &Var, choices: &[u32], among_chosen: bool) -> Var {
    let (rows, experts) = (logits.value().height(), logits.value().width());
    let k = choices.len().checked_div(rows).unwrap_or(1).max(1);
    assert!(
        choices.len() == rows * k && choices.iter().all(|choice| (*choice as usize) < experts),
        "{} choices for {rows} rows of {experts} experts",
        choices.len()
    );
    // The logits that take part, and afterwards their probabilities.
    let taking = if among_chosen { k } else { experts };
    let mut p = Array::stale(&[rows, taking]);
    let mut y = Array::stale(&[rows, k]);
    for row in 0..rows {
        let x = &logits.value().data()[row * experts..(row + 1) * experts];
        let chosen = &choices[row * k..(row + 1) * k];
        let p = &mut p.data_mut()[row * taking..(row + 1) * taking];
        match among_chosen {
            true => p.iter_mut().zip(chosen).for_each(|(p, choice)| *p = x[*choice as usize]),
            false => p.copy_from_slice(x),
        }
        softmax::softmax(p, 1.0);
        let y = &mut y.data_mut()[row * k..(row + 1) * k];
        let place = |(j, choice): (usize, &u32)| if among_chosen { j } else { *choice as usize };
        y.iter_mut().zip(chosen.iter().enumerate().map(place)).for_each(|(y, at)| *y = p[at]);
    }
    let choices = choices.to_vec();
    record(&[logits], y, move |gradient, sink| {
        sink.accumulate(0, &[rows, experts], |dx, filled| {
            if !filled {
                dx.fill(0.0);
            }
            for row in 0..rows {
                let p = &p.data()[row * taking..(row + 1) * taking];
                let g = &gradient.data()[row * k..(row + 1) * k];
                let chosen = &choices[row * k..(row + 1) * k];
                let dx = &mut dx[row * experts..(row + 1) * experts];
                let place = |(j, choice): (usize, &u32)| if among_chosen { j } else { *choice as usize };
                let places = chosen.iter().enumerate().map(place);
                let inner: f32 = places.clone().zip(g).map(|(at, g)| p[at] * g).sum();
                match among_chosen {
                    true => {
                        chosen
                            .iter()
                            .zip(p)
                            .zip(g)
                            .for_each(|((at, p), g)| dx[*at as usize] += p * (g - inner));
                    }
                    false => {
                        dx.iter_mut().zip(p).for_each(|(dx, p)| *dx -= p * inner);
                        places.zip(g).for_each(|(at, g)| dx[at] += p[at] * g);
                    }
                }
            }
        });
    })
}
