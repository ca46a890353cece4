//! Groups of neighbors in a row that share a factor and a summand.

use super::multiversion;

multiversion! {
    /// values = scale values + shift, with the scale and the shift of the group that a column lies in.
    pub(crate) fn stretch<F>(values: &mut [f32], group: usize, scales: &[f32], shifts: &[f32]) {
        for ((values, &scale), &shift) in values.chunks_mut(group).zip(scales).zip(shifts) {
            for value in values {
                *value = F::mul_add(scale, *value, shift);
            }
        }
    }
}
