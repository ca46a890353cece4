//! Attention of one head of one sequence.

use crate::kernel::{LANES, elementwise, few, reduce, small, softmax};
use crate::par::Shared;
use crate::pool::Buffer;
use crate::product::{View, ViewMut};

/// Query rows taken together: their scores against 512 keys fill a quarter of a second-level cache of 1 MiB.
const BLOCK: usize = 128;

/// Width of a row of scores: a multiple of the vector length, so that products have no narrow rest.
pub(super) fn padded(tokens: usize) -> usize {
    tokens.next_multiple_of(LANES)
}

/// The largest task.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// T.
    pub(super) tokens: usize,
    /// Keys of a sequence.
    pub(super) keys: usize,
    /// Whether the weights of all tasks are kept.
    pub(super) kept: bool,
}

/// Memory of one task after another.
pub(super) struct Scratch {
    keys: Buffer,
    values: Buffer,
    scores: Buffer,
    gradient: Buffer,
}

impl Scratch {
    /// For the forward pass over heads of `size` columns.
    pub(super) fn forward(size: usize, block: Block) -> Scratch {
        let step = padded(block.keys);
        Scratch {
            // A single row of queries meets the keys where they lie.
            keys: Buffer::stale(if block.tokens > 1 || block.kept { size * step } else { 0 }),
            values: Buffer::stale(0),
            scores: Buffer::stale(if block.kept { 0 } else { BLOCK.min(block.tokens) * step }),
            gradient: Buffer::stale(0),
        }
    }

    /// For the backward pass.
    pub(super) fn backward(size: usize, block: Block) -> Scratch {
        let step = padded(block.keys);
        Scratch {
            keys: Buffer::stale(if block.kept { 0 } else { size * step }),
            values: Buffer::stale(size * step),
            scores: Buffer::stale(if block.kept { 0 } else { BLOCK.min(block.tokens) * step }),
            gradient: Buffer::stale(BLOCK.min(block.tokens) * step),
        }
    }
}

/// The columns of one head in a packed array.
#[derive(Clone, Copy)]
pub(super) struct Band {
    /// First element.
    pub(super) start: usize,
    /// From token to token.
    pub(super) step: usize,
}

/// What is added to the scores of one head: a number for every distance of a key from a query.
#[derive(Clone, Copy)]
pub(super) struct Bias<'a> {
    /// Distances -(L - 1) to L - 1.
    pub(super) line: &'a [f32],
    /// L, the most keys.
    pub(super) reach: usize,
}

/// One head of one sequence: a T x K matrix inside the rows of the packed arrays.
pub(super) struct Head<'a> {
    /// T.
    pub(super) tokens: usize,
    /// Keys; in self-attention the last T are the tokens' own, T of them where nothing was kept from before.
    pub(super) keys: usize,
    /// K.
    pub(super) size: usize,
    /// In queries and results.
    pub(super) own: Band,
    /// In keys and values.
    pub(super) read: Band,
    pub(super) causal: bool,
    /// What products of queries and keys are multiplied with.
    pub(super) scale: f32,
    /// Where there is one, the scale is 1.
    pub(super) bias: Option<Bias<'a>>,
}

impl Head<'_> {
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
        if self.tokens == 0 {
            return;
        }
        if self.keys == 0 {
            sums.fill(f32::NEG_INFINITY);
            return clear(out, self.own, [self.tokens, self.size]);
        }
        if self.tokens == 1 && kept.is_empty() {
            return self.single(sums, out, [q, k, v], &mut scratch.scores[..self.keys]);
        }
        let step = padded(self.keys);
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
                sums[first + i] = softmax::softmax(&mut row[..end], self.scale);
                row[end..].fill(0.0);
            }
            small::product(
                band_mut(out, self.own, first, [rows, self.size]),
                false,
                View::strided(p, rows, seen, step, 1),
                band(v, self.read, 0, [seen, self.size]),
            );
            first += rows;
        }
    }

    /// Writes the wanted gradients of q, k and v of this head, from that of its result `y`, and adds that of the biases to
    /// `dline`; with `grow` those of k and v are added to what another head left there.
    #[expect(clippy::too_many_arguments, reason = "values and gradients of one op")]
    pub(super) fn backward(
        &self,
        kept: &[f32],
        sums: &[f32],
        [dy, y]: [&[f32]; 2],
        [q, k, v]: [&[f32]; 3],
        ([dq, dk, dv], mut dline): (&[Option<Shared<'_>>; 3], Option<&mut [f32]>),
        grow: bool,
        scratch: &mut Scratch,
    ) {
        if self.tokens == 0 {
            return;
        }
        if self.keys == 0 {
            return dq.iter().for_each(|d| clear(d, self.own, [self.tokens, self.size]));
        }
        let step = padded(self.keys);
        let keys: &[f32] = if kept.is_empty() { self.transposed(k, &mut scratch.keys) } else { &[] };
        let values = self.transposed(v, &mut scratch.values);
        // A later block adds to the rows of k and v that an earlier one wrote; with causal attention it sees more
        // rows, which are zeroed here because no block wrote them yet.
        let add = grow || (self.causal && self.tokens > BLOCK);
        if add && !grow {
            dk.iter().chain(dv).for_each(|d| clear(d, self.read, [self.keys, self.size]));
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
                    softmax::exp_in_place(&mut row[..end], self.scale, sums[first + i]);
                    row[end..].fill(0.0);
                }
                &*p
            } else {
                &kept[first * step..][..rows * step]
            };
            let add = add || first > 0;
            let weights = View::strided(p, rows, seen, step, 1);
            if let Some(dv) = dv {
                small::product(
                    band_mut(dv, self.read, 0, [seen, self.size]),
                    add,
                    weights.t(),
                    band(dy, self.own, first, [rows, self.size]),
                );
            }
            if dq.is_none() && dk.is_none() && dline.is_none() {
                first += rows;
                continue;
            }
            let ds = &mut scratch.gradient[..rows * step];
            let wide = padded(seen);
            small::product(
                ViewMut::strided(ds, rows, wide, step),
                false,
                band(dy, self.own, first, [rows, self.size]),
                View::strided(values, self.size, wide, step, 1),
            );
            for (i, (ds, p)) in ds.chunks_exact_mut(step).zip(p.chunks_exact(step)).enumerate() {
                // The sum of p dp over a row equals dy y, which is shorter.
                let at = self.own.start + (first + i) * self.own.step;
                let inner = reduce::dot(&dy[at..at + self.size], &y[at..at + self.size]);
                softmax::softmax_backward(&mut ds[..seen], &p[..seen], inner, self.scale);
                if let Some((from, dline)) = self.line_at(first + i).zip(dline.as_deref_mut()) {
                    let end = self.seen(first + i + 1);
                    elementwise::add_assign(&mut dline[from..from + end], &ds[..end]);
                }
            }
            let ds = View::strided(ds, rows, seen, step, 1);
            if let Some(dq) = dq {
                small::product(
                    band_mut(dq, self.own, first, [rows, self.size]),
                    false,
                    ds,
                    band(k, self.read, 0, [seen, self.size]),
                );
            }
            if let Some(dk) = dk {
                small::product(
                    band_mut(dk, self.read, 0, [seen, self.size]),
                    add,
                    ds.t(),
                    band(q, self.own, first, [rows, self.size]),
                );
            }
            first += rows;
        }
    }

    /// Scores of a block of query rows against all keys that any of them sees, and zeros to the next whole vector; biases are
    /// on those that the row itself sees.
    fn scores(&self, p: &mut [f32], first: usize, rows: usize, q: &[f32], keys: &[f32]) {
        let step = padded(self.keys);
        let wide = padded(self.seen(first + rows));
        small::product(
            ViewMut::strided(p, rows, wide, step),
            false,
            band(q, self.own, first, [rows, self.size]),
            View::strided(keys, self.size, wide, step, 1),
        );
        if self.bias.is_some() {
            for (i, row) in p.chunks_exact_mut(step).enumerate() {
                let end = self.seen(first + i + 1);
                self.add_bias(&mut row[..end], first + i);
            }
        }
    }

    /// Adds the biases of a query row to the scores of the first keys.
    fn add_bias(&self, scores: &mut [f32], row: usize) {
        if let Some((bias, from)) = self.bias.zip(self.line_at(row)) {
            elementwise::add_assign(scores, &bias.line[from..from + scores.len()]);
        }
    }

    /// Where the line of biases has the distance of the first key from a query row.
    fn line_at(&self, row: usize) -> Option<usize> {
        self.bias.map(|bias| bias.reach - 1 - (self.keys - self.tokens + row))
    }

    /// Keys that the first `rows` query rows see.
    fn seen(&self, rows: usize) -> usize {
        if self.causal { self.keys - self.tokens + rows } else { self.keys }
    }

    /// The head's keys or values, transposed, with padded rows.
    fn transposed<'a>(&self, data: &[f32], out: &'a mut [f32]) -> &'a [f32] {
        let step = padded(self.keys);
        let out = &mut out[..self.size * step];
        if out.is_empty() {
            return out;
        }
        for (j, row) in out.chunks_exact_mut(step).enumerate() {
            for (i, o) in row[..self.keys].iter_mut().enumerate() {
                *o = data[self.read.start + i * self.read.step + j];
            }
            row[self.keys..].fill(0.0);
        }
        out
    }

    /// The forward pass of a single query row.
    fn single(&self, sums: &mut [f32], out: &Shared<'_>, [q, k, v]: [&[f32]; 3], scores: &mut [f32]) {
        let query = View::new(&q[self.own.start..self.own.start + self.size], 1, self.size);
        let keys = scores.len();
        let of = |data| band(data, self.read, 0, [keys, self.size]);
        few::product(ViewMut::new(scores, 1, keys), false, query, of(k));
        self.add_bias(scores, 0);
        sums[0] = softmax::softmax(scores, self.scale);
        // SAFETY: heads of different tasks are disjoint columns.
        let out = unsafe { out.slice(self.own.start, self.size) };
        small::product(ViewMut::new(out, 1, self.size), false, View::new(scores, 1, keys), of(v));
    }
}

/// Zeros in the first rows of a band; the shape is rows x columns.
fn clear(data: &Shared<'_>, band: Band, [rows, cols]: [usize; 2]) {
    for row in 0..rows {
        // SAFETY: as in `band_mut`.
        unsafe { data.slice(band.start + row * band.step, cols) }.fill(0.0);
    }
}

/// Rows of a band from `first` on; the shape is rows x columns.
fn band(data: &[f32], band: Band, first: usize, [rows, cols]: [usize; 2]) -> View<'_, f32> {
    View::strided(&data[band.start + first * band.step..], rows, cols, band.step, 1)
}

fn band_mut<'a>(data: &Shared<'a>, band: Band, first: usize, [rows, cols]: [usize; 2]) -> ViewMut<'a, f32> {
    // SAFETY: bands of different tasks are disjoint, and a task makes one view of an array at a time.
    unsafe { data.matrix(band.start + first * band.step, rows, cols, band.step) }
}
