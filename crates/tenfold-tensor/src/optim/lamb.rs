//! Adam whose rate is, for every leaf, a share of the leaf's own norm.

use super::{AdamWState, Step, check};
use crate::Array;
use crate::device;
use crate::kernel::lamb;
use crate::par::{self, Shared};

/// LAMB: with Adam's direction u = m' / (sqrt(v') + eps) + decay value of a leaf,
/// value <- value - lr u min(max(norm(value), least), most) / norm(u). Where one of both norms is 0 the quotient is 1, and so it is
/// of vectors (biases, gains, shifts), as in the authors' own program, which leaves the same leaves without decay and without it.
///
/// Source: You et al. 2020, Large batch optimization for deep learning, algorithm 2; bounds of 0 and 10 from its first version. Of m'
/// and v', algorithm 2 corrects the bias; the program published with it does not.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Lamb {
    /// Decay rates of the first and second moment.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Whether moments are corrected for having begun at 0.
    pub bias_correction: bool,
    /// The least and the largest norm of a leaf that counts.
    pub norms: (f32, f32),
}

impl Default for Lamb {
    fn default() -> Lamb {
        Lamb { betas: (0.9, 0.999), eps: 1e-6, bias_correction: true, norms: (0.0, 10.0) }
    }
}

impl Lamb {
    /// One step in place.
    ///
    /// # Panics
    /// When the lengths differ or the step is 0.
    #[track_caller]
    pub fn step(&self, value: &mut Array, grad: &Array, state: &mut AdamWState, step: Step) {
        check(value, grad, state, step);
        let power = |beta: f32| match self.bias_correction {
            true => 1.0 - f64::from(beta).powf(step.number as f64),
            false => 1.0,
        };
        let constants = lamb::Step {
            beta1: self.betas.0,
            beta2: self.betas.1,
            first: power(self.betas.0).recip() as f32,
            second: power(self.betas.1).sqrt().recip() as f32,
            eps: self.eps,
            decay: step.weight_decay,
            grad_scale: step.grad_scale,
        };
        if let Some(device) = device::near([&*value, grad]) {
            let squares = device.lamb_moments(value, grad, [&mut state.m, &mut state.v], constants);
            let rate = (f64::from(step.lr) * self.trust(squares.map(f64::sqrt), step.adapts)) as f32;
            return device.lamb_values(value, [&state.m, &state.v], rate, constants);
        }
        let squares = {
            let (values, grad) = (value.data(), grad.data());
            let (m, v) = (Shared::new(state.m.data_mut()), Shared::new(state.v.data_mut()));
            par::sums(values.len(), par::GRAIN, |start, end| {
                // SAFETY: chunks of different tasks do not overlap.
                let (m, v) = unsafe { (m.slice(start, end - start), v.slice(start, end - start)) };
                lamb::moments(&values[start..end], &grad[start..end], m, v, constants)
            })
        };
        let rate = (f64::from(step.lr) * self.trust(squares.map(f64::sqrt), step.adapts)) as f32;
        let (m, v) = (state.m.data(), state.v.data());
        par::chunks_mut(value.data_mut(), par::GRAIN, |start, value| {
            let end = start + value.len();
            lamb::values(value, &m[start..end], &v[start..end], rate, constants);
        });
    }

    /// What the rate of a leaf is multiplied by, from the norms of its values and of its direction.
    fn trust(&self, [value, direction]: [f64; 2], adapts: bool) -> f64 {
        let norm = value.max(self.norms.0.into()).min(self.norms.1.into());
        if adapts && value > 0.0 && norm > 0.0 && direction > 0.0 { norm / direction } else { 1.0 }
    }
}
