//! Two passes of LAMB: the moments with the two norms that a rate hangs on, then the values.

use super::{Fused, LANES, multiversion};

/// The constants of one step, the same for every element.
#[derive(Clone, Copy)]
pub(crate) struct Step {
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// 1 / (1 - beta1^t), or 1.
    pub(crate) first: f32,
    /// 1 / sqrt(1 - beta2^t), or 1.
    pub(crate) second: f32,
    pub(crate) eps: f32,
    pub(crate) decay: f32,
    /// Factor of the gradient, for clipping and averaging.
    pub(crate) grad_scale: f32,
}

/// The direction in which an element goes, of its value and moments.
#[inline(always)]
fn direction<F: Fused>(value: f32, m: f32, v: f32, step: Step) -> f32 {
    let divisor = F::mul_add(v.sqrt(), step.second, step.eps);
    F::mul_add(step.decay, value, step.first * m / divisor)
}

multiversion! {
    /// Updates both moments; the sums of squares of values and directions, in `f64`.
    pub(crate) fn moments<F>(value: &[f32], grad: &[f32], m: &mut [f32], v: &mut [f32], step: Step) -> [f64; 2] {
        let (fresh1, fresh2) = (1.0 - step.beta1, 1.0 - step.beta2);
        let one = |value: f32, grad: f32, m: &mut f32, v: &mut f32| {
            let g = grad * step.grad_scale;
            *m = F::mul_add(step.beta1, *m, fresh1 * g);
            *v = F::mul_add(step.beta2, *v, fresh2 * g * g);
            direction::<F>(value, *m, *v, step)
        };
        let (mut values, mut directions) = ([0.0f64; LANES], [0.0f64; LANES]);
        let ((value, rest), (grad, grad_rest)) = (value.as_chunks::<LANES>(), grad.as_chunks::<LANES>());
        let ((m, m_rest), (v, v_rest)) = (m.as_chunks_mut::<LANES>(), v.as_chunks_mut::<LANES>());
        for (((value, grad), m), v) in value.iter().zip(grad).zip(m).zip(v) {
            for j in 0..LANES {
                let u = one(value[j], grad[j], &mut m[j], &mut v[j]);
                values[j] += f64::from(value[j]) * f64::from(value[j]);
                directions[j] += f64::from(u) * f64::from(u);
            }
        }
        for (j, (((&value, &grad), m), v)) in rest.iter().zip(grad_rest).zip(m_rest).zip(v_rest).enumerate() {
            let u = one(value, grad, m, v);
            values[j] += f64::from(value) * f64::from(value);
            directions[j] += f64::from(u) * f64::from(u);
        }
        [values.iter().sum(), directions.iter().sum()]
    }
}

multiversion! {
    /// Moves values by `rate` times their direction.
    pub(crate) fn values<F>(value: &mut [f32], m: &[f32], v: &[f32], rate: f32, step: Step) {
        for ((value, &m), &v) in value.iter_mut().zip(m).zip(v) {
            *value -= rate * direction::<F>(*value, m, v, step);
        }
    }
}
