//! Sums and products along rows, and sums of rows.

use super::{LANES, fold, multiversion};

multiversion! {
    /// Sum of a b.
    pub(crate) fn dot<F>(a: &[f32], b: &[f32]) -> f32 {
        let mut lanes = [0.0f32; LANES];
        let (a_chunks, a_rest) = a.as_chunks::<LANES>();
        let (b_chunks, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            for j in 0..LANES {
                lanes[j] = F::mul_add(a[j], b[j], lanes[j]);
            }
        }
        for (j, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
            lanes[j] = F::mul_add(a, b, lanes[j]);
        }
        fold(&lanes)
    }
}

multiversion! {
    /// Sum of all elements, in `f64`.
    pub(crate) fn sum<F>(a: &[f32]) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let (chunks, rest) = a.as_chunks::<LANES>();
        for a in chunks {
            for j in 0..LANES {
                lanes[j] += f64::from(a[j]);
            }
        }
        for (j, &a) in rest.iter().enumerate() {
            lanes[j] += f64::from(a);
        }
        lanes.iter().sum()
    }
}

multiversion! {
    /// Sum of squares, in `f64`.
    pub(crate) fn sum_squares<F>(a: &[f32]) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let (chunks, rest) = a.as_chunks::<LANES>();
        for a in chunks {
            for j in 0..LANES {
                lanes[j] += f64::from(a[j]) * f64::from(a[j]);
            }
        }
        for (j, &a) in rest.iter().enumerate() {
            lanes[j] += f64::from(a) * f64::from(a);
        }
        lanes.iter().sum()
    }
}

multiversion! {
    /// Sum of (a - b)^2, in `f64`.
    pub(crate) fn sum_squared_differences<F>(a: &[f32], b: &[f32]) -> f64 {
        let mut lanes = [0.0f64; LANES];
        let (a_chunks, a_rest) = a.as_chunks::<LANES>();
        let (b_chunks, b_rest) = b.as_chunks::<LANES>();
        for (a, b) in a_chunks.iter().zip(b_chunks) {
            for j in 0..LANES {
                let d = f64::from(a[j]) - f64::from(b[j]);
                lanes[j] += d * d;
            }
        }
        for (j, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
            let d = f64::from(a) - f64::from(b);
            lanes[j] += d * d;
        }
        lanes.iter().sum()
    }
}

multiversion! {
    /// Adds every row of `rows` (each as wide as `sum`) to `sum`.
    pub(crate) fn add_rows<F>(sum: &mut [f32], rows: &[f32]) {
        let width = sum.len();
        if width == 0 {
            return;
        }
        for row in rows.chunks_exact(width) {
            for (s, &r) in sum.iter_mut().zip(row) {
                *s += r;
            }
        }
    }
}
