//! Rotation of pairs of coordinates, and their sums and differences.

use super::multiversion;

multiversion! {
    /// Turns the pairs (x[j], x[j + K/2]) of one head by the angles given; `out` and x have K elements, `cos` and `sin`
    /// K/2. With `add` the result is added.
    pub(crate) fn halves<F>(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], add: bool) {
        let half = cos.len();
        let (first, second) = x.split_at(half);
        let (out_first, out_second) = out.split_at_mut(half);
        let outs = out_first.iter_mut().zip(out_second);
        for ((((o, p), (&a, &b)), &c), &s) in outs.zip(first.iter().zip(second)).zip(cos).zip(sin) {
            *o = F::mul_add(a, c, F::mul_add(-b, s, if add { *o } else { 0.0 }));
            *p = F::mul_add(b, c, F::mul_add(a, s, if add { *p } else { 0.0 }));
        }
    }
}

multiversion! {
    /// The same for the pairs (x[2j], x[2j + 1]).
    pub(crate) fn neighbors<F>(out: &mut [f32], x: &[f32], cos: &[f32], sin: &[f32], add: bool) {
        let (out, _) = out.as_chunks_mut::<2>();
        let (x, _) = x.as_chunks::<2>();
        for (((o, &[a, b]), &c), &s) in out.iter_mut().zip(x).zip(cos).zip(sin) {
            let before = if add { *o } else { [0.0; 2] };
            o[0] = F::mul_add(a, c, F::mul_add(-b, s, before[0]));
            o[1] = F::mul_add(b, c, F::mul_add(a, s, before[1]));
        }
    }
}

multiversion! {
    /// Sums and differences: (a, b) becomes (a + b, a - b), entry by entry.
    pub(crate) fn butterfly<F>(first: &mut [f32], second: &mut [f32]) {
        for (a, b) in first.iter_mut().zip(second) {
            (*a, *b) = (*a + *b, *a - *b);
        }
    }
}
