//! Reordering the axes of an array.

use crate::par::{self, Shared};

/// Writes `source` of the given shape into `out` with axes reordered: axis `i` of the result is axis `axes[i]` of the
/// source. With `add`, adds instead of writing.
pub(crate) fn permute(out: &mut [f32], source: &[f32], shape: &[usize], axes: &[usize], add: bool) {
    if source.is_empty() {
        return;
    }
    let (dims, steps) = merged(shape, axes);
    let Some((&inner, outer)) = dims.split_last() else {
        store(&mut out[0], source[0], add);
        return;
    };
    let (inner_step, outer_steps) = (steps[dims.len() - 1], &steps[..dims.len() - 1]);
    let rows: usize = outer.iter().product();
    let block = par::block_rows(inner);
    let shared = Shared::new(out);
    par::each(rows.div_ceil(block), |i| {
        let range = i * block..((i + 1) * block).min(rows);
        // SAFETY: blocks of rows of different tasks do not overlap.
        let out = unsafe { shared.slice(range.start * inner, range.len() * inner) };
        let mut index = digits(range.start, outer);
        for row in out.chunks_exact_mut(inner) {
            let from: usize = index.iter().zip(outer_steps).map(|(i, step)| i * step).sum();
            if inner_step == 1 {
                let from = &source[from..from + inner];
                for (o, &s) in row.iter_mut().zip(from) {
                    store(o, s, add);
                }
            } else {
                for (j, o) in row.iter_mut().enumerate() {
                    store(o, source[from + j * inner_step], add);
                }
            }
            for (digit, &dim) in index.iter_mut().zip(outer).rev() {
                *digit += 1;
                if *digit < dim {
                    break;
                }
                *digit = 0;
            }
        }
    });
}

#[inline(always)]
fn store(to: &mut f32, value: f32, add: bool) {
    if add {
        *to += value;
    } else {
        *to = value;
    }
}

/// Result dimensions with their steps in the source; axes that stay neighbors become one, axes of length 1 vanish.
fn merged(shape: &[usize], axes: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut source_steps = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        source_steps[i - 1] = source_steps[i] * shape[i];
    }
    let (mut dims, mut steps): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    for &axis in axes {
        let (dim, step) = (shape[axis], source_steps[axis]);
        if dim == 1 {
            continue;
        }
        match (dims.last_mut(), steps.last_mut()) {
            (Some(last), Some(last_step)) if *last_step == dim * step => {
                *last *= dim;
                *last_step = step;
            }
            _ => {
                dims.push(dim);
                steps.push(step);
            }
        }
    }
    (dims, steps)
}

fn digits(mut number: usize, dims: &[usize]) -> Vec<usize> {
    let mut digits = vec![0; dims.len()];
    for (digit, &dim) in digits.iter_mut().zip(dims).rev() {
        *digit = number % dim;
        number /= dim;
    }
    digits
}
