//! Layer and root-mean-square normalization over blocks of rows.

use super::{Fused, LANES, fold, multiversion};

multiversion! {
    /// out = (h - mean) rstd gain + bias with h = x (+ residual), over rows as wide as `gain`; mean and reciprocal
    /// standard deviation of every row are left in `mean` and `rstd`.
    pub(crate) fn forward<F>(
        out: &mut [f32], mean: &mut [f32], rstd: &mut [f32], x: &[f32], residual: Option<&[f32]>,
        gain: &[f32], bias: &[f32], eps: f32,
    ) {
        let width = gain.len();
        let scale = 1.0 / width as f32;
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            let span = i * width..(i + 1) * width;
            sum_into(row, &x[span.clone()], residual.map(|r| &r[span]));
            let center = sum::<F>(row) * scale;
            let variance = squares_about::<F>(row, center) * scale;
            let factor = 1.0 / (variance + eps).sqrt();
            for ((o, &g), &b) in row.iter_mut().zip(gain).zip(bias) {
                *o = F::mul_add((*o - center) * factor, g, b);
            }
            mean[i] = center;
            rstd[i] = factor;
        }
    }
}

multiversion! {
    /// Gradients of a block of rows: `dx` gets the gradient of h = x (+ residual) when it is not empty, `dgain` and
    /// `dbias` are added to.
    pub(crate) fn backward<F>(
        dx: &mut [f32], dgain: &mut [f32], dbias: &mut [f32], dy: &[f32], x: &[f32], residual: Option<&[f32]>,
        gain: &[f32], mean: &[f32], rstd: &[f32], scratch: &mut [f32],
    ) {
        let width = gain.len();
        let scale = 1.0 / width as f32;
        for (i, dy) in dy.chunks_exact(width).enumerate() {
            let span = i * width..(i + 1) * width;
            let normal = &mut scratch[..width];
            let (center, factor) = (mean[i], rstd[i]);
            match residual {
                Some(residual) => {
                    for ((n, &x), &r) in normal.iter_mut().zip(&x[span.clone()]).zip(&residual[span.clone()]) {
                        *n = (x + r - center) * factor;
                    }
                }
                None => {
                    for (n, &x) in normal.iter_mut().zip(&x[span.clone()]) {
                        *n = (x - center) * factor;
                    }
                }
            }
            for (((&n, &d), dg), db) in normal.iter().zip(dy).zip(dgain.iter_mut()).zip(dbias.iter_mut()) {
                *dg = F::mul_add(n, d, *dg);
                *db += d;
            }
            if dx.is_empty() {
                continue;
            }
            let (plain, along) = inner_sums::<F>(dy, gain, normal);
            let (plain, along) = (plain * scale, along * scale);
            for (((o, &d), &g), &n) in dx[span].iter_mut().zip(dy).zip(gain).zip(normal.iter()) {
                *o = factor * (F::mul_add(d, g, -plain) - n * along);
            }
        }
    }
}

multiversion! {
    /// out = h rstd gain with h = x (+ residual), rstd the reciprocal root mean square of every row, over rows as wide as
    /// `gain`.
    pub(crate) fn rms_forward<F>(
        out: &mut [f32], rstd: &mut [f32], x: &[f32], residual: Option<&[f32]>, gain: &[f32], eps: f32,
    ) {
        let width = gain.len();
        let scale = 1.0 / width as f32;
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            let span = i * width..(i + 1) * width;
            sum_into(row, &x[span.clone()], residual.map(|r| &r[span]));
            let factor = 1.0 / (squares_about::<F>(row, 0.0) * scale + eps).sqrt();
            for (o, &g) in row.iter_mut().zip(gain) {
                *o = *o * factor * g;
            }
            rstd[i] = factor;
        }
    }
}

multiversion! {
    /// Gradients of a block of rows: `dx` gets the gradient of h = x (+ residual) when it is not empty, `dgain` is
    /// added to.
    pub(crate) fn rms_backward<F>(
        dx: &mut [f32], dgain: &mut [f32], dy: &[f32], x: &[f32], residual: Option<&[f32]>, gain: &[f32],
        rstd: &[f32], scratch: &mut [f32],
    ) {
        let width = gain.len();
        let scale = 1.0 / width as f32;
        for (i, dy) in dy.chunks_exact(width).enumerate() {
            let span = i * width..(i + 1) * width;
            let normal = &mut scratch[..width];
            let factor = rstd[i];
            for (n, &x) in normal.iter_mut().zip(&x[span.clone()]) {
                *n = x * factor;
            }
            if let Some(residual) = residual {
                for (n, &r) in normal.iter_mut().zip(&residual[span.clone()]) {
                    *n = F::mul_add(r, factor, *n);
                }
            }
            for ((&n, &d), dg) in normal.iter().zip(dy).zip(dgain.iter_mut()) {
                *dg = F::mul_add(n, d, *dg);
            }
            if dx.is_empty() {
                continue;
            }
            let along = inner_sums::<F>(dy, gain, normal).1 * scale;
            for (((o, &d), &g), &n) in dx[span].iter_mut().zip(dy).zip(gain).zip(normal.iter()) {
                *o = factor * F::mul_add(d, g, -n * along);
            }
        }
    }
}

/// h = x (+ residual).
#[inline(always)]
fn sum_into(h: &mut [f32], x: &[f32], residual: Option<&[f32]>) {
    match residual {
        Some(residual) => {
            for ((h, &x), &r) in h.iter_mut().zip(x).zip(residual) {
                *h = x + r;
            }
        }
        None => h.copy_from_slice(x),
    }
}

#[inline(always)]
fn sum<F: Fused>(row: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for j in 0..LANES {
            lanes[j] += chunk[j];
        }
    }
    for (j, &x) in rest.iter().enumerate() {
        lanes[j] += x;
    }
    fold(&lanes)
}

#[inline(always)]
fn squares_about<F: Fused>(row: &[f32], center: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = row.as_chunks::<LANES>();
    for chunk in chunks {
        for j in 0..LANES {
            let d = chunk[j] - center;
            lanes[j] = F::mul_add(d, d, lanes[j]);
        }
    }
    for (j, &x) in rest.iter().enumerate() {
        let d = x - center;
        lanes[j] = F::mul_add(d, d, lanes[j]);
    }
    fold(&lanes)
}

/// Sums of dy gain and of dy gain normal.
#[inline(always)]
fn inner_sums<F: Fused>(dy: &[f32], gain: &[f32], normal: &[f32]) -> (f32, f32) {
    let mut plain = [0.0f32; LANES];
    let mut along = [0.0f32; LANES];
    let (d_chunks, d_rest) = dy.as_chunks::<LANES>();
    let (g_chunks, g_rest) = gain.as_chunks::<LANES>();
    let (n_chunks, n_rest) = normal.as_chunks::<LANES>();
    for ((d, g), n) in d_chunks.iter().zip(g_chunks).zip(n_chunks) {
        for j in 0..LANES {
            let dg = d[j] * g[j];
            plain[j] += dg;
            along[j] = F::mul_add(dg, n[j], along[j]);
        }
    }
    for (j, ((&d, &g), &n)) in d_rest.iter().zip(g_rest).zip(n_rest).enumerate() {
        let dg = d * g;
        plain[j] += dg;
        along[j] = F::mul_add(dg, n, along[j]);
    }
    (fold(&plain), fold(&along))
}
