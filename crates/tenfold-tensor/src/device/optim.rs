//! Steps of optimizers.

use super::row::{PARTS, doubles};
use super::{Block, Device, THREADS, number, whole};
use crate::Array;
use crate::kernel::{adam, lamb};

impl Device {
    /// Updates values and both moments.
    pub(crate) fn adamw(&self, value: &mut Array, grad: &Array, [m, v]: [&mut Array; 2], step: adam::Step) {
        let n = value.len();
        let mut arguments = vec![value.write(), grad.read(), m.write(), v.write()];
        let adam::Step { beta1, beta2, rate, correction, eps, shrink, grad_scale } = step;
        arguments.extend([beta1, beta2, rate, correction, eps, shrink, grad_scale].map(number));
        self.each("adamw", n, &arguments);
    }

    /// Updates both moments; the sums of squares of values and directions.
    pub(crate) fn lamb_moments(
        &self,
        value: &Array,
        grad: &Array,
        [m, v]: [&mut Array; 2],
        step: lamb::Step,
    ) -> [f64; 2] {
        let squares = Block::stale(4 * PARTS);
        let mut arguments =
            vec![whole(value.len()), squares.argument(), value.read(), grad.read(), m.write(), v.write()];
        let lamb::Step { beta1, beta2, first, second, eps, decay, grad_scale } = step;
        arguments.extend([beta1, beta2, first, second, eps, decay, grad_scale].map(number));
        self.launch("lamb_moments", [PARTS, 1], THREADS, &arguments);
        let sums = doubles(&squares, 2 * PARTS);
        let (values, directions) = sums.split_at(PARTS);
        [values.iter().sum(), directions.iter().sum()]
    }

    /// Moves values by `rate` times their direction.
    pub(crate) fn lamb_values(&self, value: &mut Array, [m, v]: [&Array; 2], rate: f32, step: lamb::Step) {
        let n = value.len();
        let mut arguments = vec![value.write(), m.read(), v.read()];
        arguments.extend([rate, step.first, step.second, step.eps, step.decay].map(number));
        self.each("lamb_values", n, &arguments);
    }
}
