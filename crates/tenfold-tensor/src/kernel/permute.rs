//! Reordering the axes of an array.

use crate::par::{self, Shared};

/// Side of a square that is transposed at a time: 16 floats are one line of the cache.
const TILE: usize = 16;

/// Writes `source` of the given shape into `out` with axes reordered: axis `i` of the result is axis `axes[i]` of the
/// source. With `add`, adds instead of writing.
pub(crate) fn permute(out: &mut [f32], source: &[f32], shape: &[usize], axes: &[usize], add: bool) {
    if source.is_empty() {
        return;
    }
    let (dims, steps) = merged(shape, axes);
    match (dims.as_slice(), steps.as_slice()) {
        ([], _) => store(&mut out[0], source[0], add),
        ([outer @ .., inner], [outer_steps @ .., 1]) => runs(out, source, (outer, outer_steps), *inner, add),
        _ => transpose(out, source, &dims, &steps, add),
    }
}

/// The last axis stays the last: runs of `inner` numbers are copied.
fn runs(out: &mut [f32], source: &[f32], (outer, steps): (&[usize], &[usize]), inner: usize, add: bool) {
    // Runs of one length known to the compiler are moved by vectors instead of by a call each.
    match inner {
        _ if add => copied(out, source, (outer, steps), inner, |to, from| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        }),
        2 => copied(out, source, (outer, steps), inner, copy::<2>),
        4 => copied(out, source, (outer, steps), inner, copy::<4>),
        8 => copied(out, source, (outer, steps), inner, copy::<8>),
        16 => copied(out, source, (outer, steps), inner, copy::<16>),
        32 => copied(out, source, (outer, steps), inner, copy::<32>),
        _ => copied(out, source, (outer, steps), inner, <[f32]>::copy_from_slice),
    }
}

#[inline(always)]
fn copy<const N: usize>(to: &mut [f32], from: &[f32]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
}

#[inline(always)]
fn copied(
    out: &mut [f32],
    source: &[f32],
    (outer, steps): (&[usize], &[usize]),
    inner: usize,
    move_run: impl Fn(&mut [f32], &[f32]) + Sync + Send,
) {
    let rows: usize = outer.iter().product();
    let block = par::block_rows(inner);
    let shared = Shared::new(out);
    par::each(rows.div_ceil(block), |i| {
        let range = i * block..((i + 1) * block).min(rows);
        // SAFETY: blocks of rows of different tasks do not overlap.
        let out = unsafe { shared.slice(range.start * inner, range.len() * inner) };
        let mut walk = Walk::new(outer, steps, range.start);
        for row in out.chunks_exact_mut(inner) {
            move_run(row, &source[walk.at..walk.at + inner]);
            walk.next();
        }
    });
}

/// The last axis of the source lies elsewhere in the result: squares of both last axes are transposed, so that lines of
/// the cache are read and written whole.
fn transpose(out: &mut [f32], source: &[f32], dims: &[usize], steps: &[usize], add: bool) {
    let last = dims.len() - 1;
    // The source's last axis, the only one whose numbers are neighbors.
    let Some(turned) = steps.iter().position(|step| *step == 1) else {
        unreachable!("an axis of a contiguous array has neighbors: steps {steps:?}")
    };
    let out_steps: Vec<usize> = (0..dims.len()).map(|axis| dims[axis + 1..].iter().product()).collect();
    let rest: Vec<usize> = (0..last).filter(|axis| *axis != turned).collect();
    let of = |list: &[usize]| rest.iter().map(|axis| list[*axis]).collect::<Vec<usize>>();
    let (rest_dims, rest_steps, rest_out) = (of(dims), of(steps), of(&out_steps));
    let planes: usize = rest_dims.iter().product();
    let (height, width) = (dims[turned], dims[last]);
    let bands = height.div_ceil(TILE);
    let shared = Shared::new(out);
    par::each_with(
        planes * bands,
        || (),
        |(), task| {
            let (plane, band) = (task / bands, task % bands);
            let place = digits(plane, &rest_dims);
            let offset = |steps: &[usize]| place.iter().zip(steps).map(|(i, step)| i * step).sum::<usize>();
            let (from, to) = (offset(&rest_steps), offset(&rest_out));
            let rows = band * TILE..((band + 1) * TILE).min(height);
            for start in (0..width).step_by(TILE) {
                let cols = start..(start + TILE).min(width);
                let mut tile = [[0.0; TILE]; TILE];
                for (line, col) in tile.iter_mut().zip(cols.clone()) {
                    let at = from + col * steps[last] + rows.start;
                    line[..rows.len()].copy_from_slice(&source[at..at + rows.len()]);
                }
                for (at, row) in rows.clone().enumerate() {
                    // SAFETY: every row of a plane of the result belongs to one band, and every plane to one task.
                    let to = unsafe { shared.slice(to + row * out_steps[turned] + cols.start, cols.len()) };
                    for (line, to) in tile.iter().zip(to) {
                        store(to, line[at], add);
                    }
                }
            }
        },
    );
}

#[inline(always)]
fn store(to: &mut f32, value: f32, add: bool) {
    if add {
        *to += value;
    } else {
        *to = value;
    }
}

/// Where the runs of the result start in the source, one after another.
struct Walk<'a> {
    dims: &'a [usize],
    steps: &'a [usize],
    index: Vec<usize>,
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(dims: &'a [usize], steps: &'a [usize], start: usize) -> Walk<'a> {
        let index = digits(start, dims);
        let at = index.iter().zip(steps).map(|(i, step)| i * step).sum();
        Walk { dims, steps, index, at }
    }

    #[inline(always)]
    fn next(&mut self) {
        for axis in (0..self.dims.len()).rev() {
            self.index[axis] += 1;
            self.at += self.steps[axis];
            if self.index[axis] < self.dims[axis] {
                return;
            }
            self.at -= self.dims[axis] * self.steps[axis];
            self.index[axis] = 0;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Every order of the axes of arrays around the size of a tile, written and added, against the definition.
    #[test]
    fn every_order_agrees_with_the_definition() {
        let orders: [[usize; 4]; 24] = std::array::from_fn(|code| {
            let (mut left, mut code) = (vec![0, 1, 2, 3], code);
            std::array::from_fn(|at| {
                let axis = left.remove(code % (4 - at));
                code /= 4 - at;
                axis
            })
        });
        for shape in [[2, 17, 3, 16], [5, 1, 33, 4], [1, 40, 1, 31], [3, 2, 8, 2], [1, 1, 1, 1]] {
            let len = shape.iter().product();
            let source: Vec<f32> = (0..len).map(|x| x as f32).collect();
            for axes in orders {
                let dims = axes.map(|axis| shape[axis]);
                let steps = axes.map(|axis| shape[axis + 1..].iter().product::<usize>());
                let expected = (0..len).map(|at| {
                    digits(at, &dims).iter().zip(steps).map(|(i, step)| i * step).sum::<usize>() as f32
                });
                let expected: Vec<f32> = expected.collect();
                let mut out = vec![f32::NAN; len];
                permute(&mut out, &source, &shape, &axes, false);
                assert_eq!(out, expected, "{shape:?} {axes:?}");
                permute(&mut out, &source, &shape, &axes, true);
                let twice: Vec<f32> = expected.iter().map(|x| 2.0 * x).collect();
                assert_eq!(out, twice, "{shape:?} {axes:?}, added");
            }
        }
    }
}
