//! One fused pass of AdamW.

use super::multiversion;

/// The constants of one step, the same for every element.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// lr / (1 - beta1^t).
    pub(crate) rate: f32,
    /// 1 / sqrt(1 - beta2^t).
    pub(crate) correction: f32,
    pub(crate) eps: f32,
    /// 1 - lr weight_decay.
    pub(crate) shrink: f32,
    /// Factor of the gradient, for clipping and averaging.
    pub(crate) grad_scale: f32,
}

multiversion! {
    /// Updates values and both moments.
    pub(crate) fn step<F>(value: &mut [f32], grad: &[f32], m: &mut [f32], v: &mut [f32], step: Step) {
        let (fresh1, fresh2) = (1.0 - step.beta1, 1.0 - step.beta2);
        for (((value, &grad), m), v) in value.iter_mut().zip(grad).zip(m.iter_mut()).zip(v.iter_mut()) {
            let g = grad * step.grad_scale;
            let first = F::mul_add(step.beta1, *m, fresh1 * g);
            let second = F::mul_add(step.beta2, *v, fresh2 * g * g);
            *m = first;
            *v = second;
            let divisor = F::mul_add(second.sqrt(), step.correction, step.eps);
            *value = *value * step.shrink - step.rate * first / divisor;
        }
    }
}
