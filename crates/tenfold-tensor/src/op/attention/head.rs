//! Attention of one head of one sequence.

use crate::kernel::{LANES, reduce, small, softmax};
use crate::par::Shared;
use crate::pool::Buffer;
use crate::product::{View, ViewMut};

/// Query rows taken together: their scores against 512 keys fill a quarter of a second-level cache of 1 MiB.
const BLOCK: usize = 128;

/// Width of a row of scores: a multiple of the vector length, so that products have no narrow rest.
pub(super) fn padded(tokens: usize) -> usize {
    tokens.next_multiple_of(LANES)
}

/// Memory of one task after another.
pub(super) struct Scratch {
    keys: Buffer,
    values: Buffer,
    scores: Buffer,
    gradient: Buffer,
}

impl Scratch {
    /// For the forward pass over heads of at most `tokens` x `size`.
    pub(super) fn forward(tokens: usize, size: usize, all_kept: bool) -> Scratch {
        let step = padded(tokens);
        Scratch {
            keys: Buffer::stale(size * step),
            values: Buffer::stale(0),
            scores: Buffer::stale(if all_kept { 0 } else { BLOCK.min(tokens) * step }),
            gradient: Buffer::stale(0),
        }
    }

    /// For the backward pass.
    pub(super) fn backward(tokens: usize, size: usize, all_kept: bool) -> Scratch {
        let step = padded(tokens);
        Scratch {
            values: Buffer::stale(size * step),
            gradient: Buffer::stale(BLOCK.min(tokens) * step),
            ..Scratch::forward(tokens, if all_kept { 0 } else { size }, all_kept)
        }
    }
}

/// One head of one sequence: a T x K matrix inside the rows of the packed arrays.
pub(super) struct Head {
    /// T.
    pub(super) tokens: usize,
    /// K.
    pub(super) size: usize,
    /// D, the step from token to token.
    pub(super) width: usize,
    /// First element.
    pub(super) start: usize,
    pub(super) causal: bool,
}

impl Head {
    /// Writes the head's result into `out` and the logarithm of each row's sum into `sums`; the softmax weights go to
    /// `kept` unless that is empty.
    pub(super) fn forward(
        &self,
        kept: &mut [f32],
        sums: &mut [f32],
        out: &Shared<'_>,
        [q, k, v]: [&[f32]; 3],
        scratch: &mut Scratch,
    ) {
        let step = padded(self.tokens);
        let keys = self.transposed(k, &mut scratch.keys);
        let mut first = 0;
        while first < self.tokens {
            let rows = BLOCK.min(self.tokens - first);
            let p = if kept.is_empty() {
                &mut scratch.scores[..rows * step]
            } else {
                &mut kept[first * step..][..rows * step]
            };
            let seen = self.seen(first + rows);
            self.scores(p, first, rows, q, keys);
            for (i, row) in p.chunks_exact_mut(step).enumerate() {
                let end = self.seen(first + i + 1);
                sums[first + i] = softmax::softmax(&mut row[..end], self.scale());
                row[end..].fill(0.0);
            }
            small::product(
                self.rows_mut(out, first, rows),
                false,
                View::strided(p, rows, seen, step, 1),
                self.rows(v, 0, seen),
            );
            first += rows;
        }
    }

    /// Writes the wanted gradients of q, k and v of this head, from that of its result `y`.
    pub(super) fn backward(
        &self,
        kept: &[f32],
        sums: &[f32],
        [dy, y]: [&[f32]; 2],
        [q, k, v]: [&[f32]; 3],
        [dq, dk, dv]: &[Option<Shared<'_>>; 3],
        scratch: &mut Scratch,
    ) {
        let step = padded(self.tokens);
        let keys: &[f32] = if kept.is_empty() { self.transposed(k, &mut scratch.keys) } else { &[] };
        let values = self.transposed(v, &mut scratch.values);
        // A later block adds to the rows of k and v that an earlier one wrote; with causal attention it sees more
        // rows, which are zeroed here because no block wrote them yet.
        let add = self.causal && self.tokens > BLOCK;
        if add {
            dk.iter().chain(dv).for_each(|d| self.clear(d));
        }
        let mut first = 0;
        while first < self.tokens {
            let rows = BLOCK.min(self.tokens - first);
            let seen = self.seen(first + rows);
            let p = if kept.is_empty() {
                let p = &mut scratch.scores[..rows * step];
                self.scores(p, first, rows, q, keys);
                for (i, row) in p.chunks_exact_mut(step).enumerate() {
                    let end = self.seen(first + i + 1);
                    softmax::exp_in_place(&mut row[..end], self.scale(), sums[first + i]);
                    row[end..].fill(0.0);
                }
                &*p
            } else {
                &kept[first * step..][..rows * step]
            };
            let add = add || first > 0;
            let weights = View::strided(p, rows, seen, step, 1);
            if let Some(dv) = dv {
                small::product(self.rows_mut(dv, 0, seen), add, weights.t(), self.rows(dy, first, rows));
            }
            if dq.is_none() && dk.is_none() {
                first += rows;
                continue;
            }
            let ds = &mut scratch.gradient[..rows * step];
            let wide = padded(seen);
            small::product(
                ViewMut::strided(ds, rows, wide, step),
                false,
                self.rows(dy, first, rows),
                View::strided(values, self.size, wide, step, 1),
            );
            for (i, (ds, p)) in ds.chunks_exact_mut(step).zip(p.chunks_exact(step)).enumerate() {
                // The sum of p dp over a row equals dy y, which is shorter.
                let at = self.start + (first + i) * self.width;
                let inner = reduce::dot(&dy[at..at + self.size], &y[at..at + self.size]);
                softmax::softmax_backward(&mut ds[..seen], &p[..seen], inner, self.scale());
            }
            let ds = View::strided(ds, rows, seen, step, 1);
            if let Some(dq) = dq {
                small::product(self.rows_mut(dq, first, rows), false, ds, self.rows(k, 0, seen));
            }
            if let Some(dk) = dk {
                small::product(self.rows_mut(dk, 0, seen), add, ds.t(), self.rows(q, first, rows));
            }
            first += rows;
        }
    }

    /// Scores of a block of query rows against all keys that any of them sees, and zeros to the next whole vector.
    fn scores(&self, p: &mut [f32], first: usize, rows: usize, q: &[f32], keys: &[f32]) {
        let step = padded(self.tokens);
        let wide = padded(self.seen(first + rows));
        small::product(
            ViewMut::strided(p, rows, wide, step),
            false,
            self.rows(q, first, rows),
            View::strided(keys, self.size, wide, step, 1),
        );
    }

    /// Keys that the first `rows` query rows see.
    fn seen(&self, rows: usize) -> usize {
        if self.causal { rows } else { self.tokens }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    /// The head's matrix as K x T with padded rows.
    fn transposed<'a>(&self, data: &[f32], out: &'a mut [f32]) -> &'a [f32] {
        let step = padded(self.tokens);
        let out = &mut out[..self.size * step];
        if out.is_empty() {
            return out;
        }
        for (j, row) in out.chunks_exact_mut(step).enumerate() {
            for (i, o) in row[..self.tokens].iter_mut().enumerate() {
                *o = data[self.start + i * self.width + j];
            }
            row[self.tokens..].fill(0.0);
        }
        out
    }

    fn rows<'a>(&self, data: &'a [f32], first: usize, rows: usize) -> View<'a, f32> {
        View::strided(&data[self.start + first * self.width..], rows, self.size, self.width, 1)
    }

    fn rows_mut<'a>(&self, data: &Shared<'a>, first: usize, rows: usize) -> ViewMut<'a, f32> {
        // SAFETY: heads of different tasks are disjoint column bands of disjoint rows, and a task makes one view of
        // an array at a time.
        unsafe { data.matrix(self.start + first * self.width, rows, self.size, self.width) }
    }

    fn clear(&self, data: &Shared<'_>) {
        for token in 0..self.tokens {
            // SAFETY: as in `rows_mut`.
            unsafe { data.slice(self.start + token * self.width, self.size) }.fill(0.0);
        }
    }
}
