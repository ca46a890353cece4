//! Arithmetic of one optimizer step.

mod lamb;

pub use lamb::Lamb;

use crate::Array;
use crate::device;
use crate::kernel::{adam, reduce};
use crate::par::{self, Shared};

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2, with schedule multiplier 1):
/// value <- value (1 - lr decay) - lr m' / (sqrt(v') + eps), with the bias-corrected moments m' and v'.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct AdamW {
    /// Decay rates of the first and second moment.
    pub betas: (f32, f32),
    /// Added to the root of the second moment.
    pub eps: f32,
}

impl Default for AdamW {
    fn default() -> AdamW {
        AdamW { betas: (0.9, 0.999), eps: 1e-8 }
    }
}

/// Both moments of one leaf, of its shape.
#[derive(Clone, Debug)]
pub struct AdamWState {
    /// Running mean of the gradient.
    pub m: Array,
    /// Running mean of its square.
    pub v: Array,
}

impl AdamWState {
    /// Zero moments for a leaf of the given shape.
    pub fn new(shape: &[usize]) -> AdamWState {
        AdamWState { m: Array::zeros(shape), v: Array::zeros(shape) }
    }
}

/// One step of one leaf.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Step {
    /// The leaf's steps so far and this one: from 1.
    pub number: u64,
    /// The learning rate.
    pub lr: f32,
    /// The weight decay.
    pub weight_decay: f32,
    /// What the gradient is multiplied by first.
    pub grad_scale: f32,
    /// Whether the rate may depend on the leaf's norm, where the optimizer has it so: that of matrices and operators.
    pub adapts: bool,
}

/// An optimizer with its constants. All keep the same two moments.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Its direction, by a share of the leaf's norm.
    Lamb(Lamb),
}

impl Default for Optimizer {
    fn default() -> Optimizer {
        Optimizer::AdamW(AdamW::default())
    }
}

impl From<AdamW> for Optimizer {
    fn from(adamw: AdamW) -> Optimizer {
        Optimizer::AdamW(adamw)
    }
}

impl From<Lamb> for Optimizer {
    fn from(lamb: Lamb) -> Optimizer {
        Optimizer::Lamb(lamb)
    }
}

impl Optimizer {
    /// Decay rates of the moments.
    pub fn betas(&self) -> (f32, f32) {
        match self {
            Optimizer::AdamW(adamw) => adamw.betas,
            Optimizer::Lamb(lamb) => lamb.betas,
        }
    }

    /// What is added to the root of the second moment.
    pub fn eps(&self) -> f32 {
        match self {
            Optimizer::AdamW(adamw) => adamw.eps,
            Optimizer::Lamb(lamb) => lamb.eps,
        }
    }

    /// One step in place.
    ///
    /// # Panics
    /// When the lengths differ or the step is 0.
    #[track_caller]
    pub fn step(&self, value: &mut Array, grad: &Array, state: &mut AdamWState, step: Step) {
        match self {
            Optimizer::AdamW(adamw) => {
                adamw.step(value, grad, state, step.number, step.lr, step.weight_decay, step.grad_scale);
            }
            Optimizer::Lamb(lamb) => lamb.step(value, grad, state, step),
        }
    }
}

/// Asserts that a leaf's arrays are of one length and that steps count from 1.
#[track_caller]
fn check(value: &Array, grad: &Array, state: &AdamWState, step: Step) {
    assert!(step.number > 0, "optimizer steps count from 1");
    let len = value.len();
    assert!(
        grad.len() == len && state.m.len() == len && state.v.len() == len,
        "a leaf of {len} elements with a gradient of {} and moments of {} and {}",
        grad.len(),
        state.m.len(),
        state.v.len()
    );
}

impl AdamW {
    /// One step in place. `step` counts from 1; the gradient is multiplied by `grad_scale` first.
    ///
    /// # Panics
    /// When the lengths differ or `step` is 0.
    #[expect(clippy::too_many_arguments, reason = "the constants of one step, each used once")]
    #[track_caller]
    pub fn step(
        &self,
        value: &mut Array,
        grad: &Array,
        state: &mut AdamWState,
        step: u64,
        lr: f32,
        weight_decay: f32,
        grad_scale: f32,
    ) {
        check(value, grad, state, Step { number: step, lr, weight_decay, grad_scale, adapts: false });
        let power = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
        let constants = adam::Step {
            beta1: self.betas.0,
            beta2: self.betas.1,
            rate: (f64::from(lr) / power(self.betas.0)) as f32,
            correction: power(self.betas.1).sqrt().recip() as f32,
            eps: self.eps,
            shrink: 1.0 - lr * weight_decay,
            grad_scale,
        };
        if let Some(device) = device::near([&*value, grad]) {
            return device.adamw(value, grad, [&mut state.m, &mut state.v], constants);
        }
        let grad = grad.data();
        let (m, v) = (Shared::new(state.m.data_mut()), Shared::new(state.v.data_mut()));
        par::chunks_mut(value.data_mut(), par::GRAIN, |start, value| {
            // SAFETY: chunks of different tasks do not overlap.
            let (m, v) = unsafe { (m.slice(start, value.len()), v.slice(start, value.len())) };
            adam::step(value, &grad[start..start + value.len()], m, v, constants);
        });
    }
}

/// Root of the sum of squares over all arrays, summed in `f64`: the norm that gradient clipping compares.
pub fn global_norm<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> f64 {
    let (near, here): (Vec<&Array>, Vec<&Array>) =
        arrays.into_iter().partition(|array| device::near([*array]).is_some());
    let near = device::active().map_or(0.0, |device| device.sums_of_squares(&near).iter().sum());
    let square = |array: &Array| {
        let data = array.data();
        par::sum(data.len(), par::GRAIN, |start, end| reduce::sum_squares(&data[start..end]))
    };
    (near + here.into_iter().map(square).sum::<f64>()).sqrt()
}
