//! Multi-head attention over a packed batch.
//!
//! Every head of every sequence is one task, a T x K matrix inside the rows of the packed arrays, and nothing is
//! transposed or copied but that head's keys. Query rows are taken in blocks, so that scores stay in cache and memory
//! is bounded: the softmax weights of a short sequence are kept for the backward pass, those of a long one are computed
//! again from the saved logarithm of each row's sum (Dao et al. 2022, algorithm 1, without blocks of keys).

mod head;
mod prefix;

pub use prefix::attention_with_prefix;

use head::{Band, Head, Scratch};
use std::ops::Range;

use crate::par::{self, Shared};
use crate::tape::{any_tracked, record};
use crate::{Array, Offsets, Var};

/// Longest sequence whose softmax weights are kept: up to here they take less memory per token than a hidden layer.
const KEPT_TOKENS: usize = 256;

/// Numbers that a recorded [`attention`] keeps of N tokens in sequences of at most `longest`, beside what it reads and gives:
/// the weights of short sequences, and a sum per token and head. A prefix of `before` rows counts with the sequence.
pub fn attention_numbers(heads: usize, tokens: usize, longest: usize, before: usize) -> usize {
    let longest = longest + before;
    let weights = if longest <= KEPT_TOKENS { head::padded(longest) } else { 0 };
    tokens * heads * (weights + 1)
}

/// softmax(q k^T / sqrt K) v for every sequence and head, without any padding (Vaswani et al. 2017, eq. 1).
///
/// Keys and values may have fewer heads than queries: with G = H / H', query head h reads head h / G of the keys and
/// values (grouped-query attention, Ainslie et al. 2023, section 2.2).
///
/// # Shapes
/// q N x D with D = heads K; k and v N x D' with D' = H' K, H' dividing `heads`; head h has columns h K to (h + 1) K.
/// The result is N x D. With `causal` a token attends only to itself and the tokens before it in its sequence.
///
/// # Panics
/// When the shapes do not fit together, the offsets do not end at N, or `heads` does not divide D.
#[track_caller]
pub fn attention(q: &Var, k: &Var, v: &Var, offsets: &Offsets, heads: usize, causal: bool) -> Var {
    assert_eq!(k.value().height(), offsets.tokens(), "key rows against the end of the offsets");
    let keys = offsets.ranges().collect();
    attend([q, k, v], Plan::new([q, k, v], offsets, keys, heads, causal))
}

/// Causal attention of the last tokens of every sequence to all of it, where keys and values of the tokens before them
/// were kept.
///
/// # Shapes
/// As [`attention`], but k and v are S x D': the keys of sequence b are rows `keys[b]`, of which the last belong to its
/// rows in q. Rows outside of all ranges are not looked at.
///
/// # Panics
/// When the shapes do not fit together, there is not one range per sequence, ranges overlap or end after S, or a
/// sequence has more tokens than keys.
#[track_caller]
pub fn attention_with_past(
    q: &Var,
    k: &Var,
    v: &Var,
    offsets: &Offsets,
    keys: &[Range<usize>],
    heads: usize,
) -> Var {
    assert_eq!(keys.len(), offsets.sequences(), "ranges of keys against sequences");
    let fits = |(range, tokens): (&Range<usize>, Range<usize>)| {
        range.start <= range.end && range.end <= k.value().height() && tokens.len() <= range.len()
    };
    assert!(keys.iter().zip(offsets.ranges()).all(fits), "ranges of keys {keys:?} of {:?}", k.shape());
    let mut sorted: Vec<_> = keys.iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_by_key(|range| range.start);
    assert!(
        sorted.windows(2).all(|pair| pair[0].end <= pair[1].start),
        "overlapping ranges of keys {keys:?}"
    );
    attend([q, k, v], Plan::new([q, k, v], offsets, keys.to_vec(), heads, true))
}

fn attend(inputs: [&Var; 3], plan: Plan) -> Var {
    let [q, k, v] = inputs;
    let mut y = Array::stale(q.shape());
    let mut weights = Array::stale(&[plan.weights_len]);
    let mut sums = Array::stale(&[q.value().height() * plan.heads]); // log of the sum of every row
    {
        let (y, weights, sums) =
            (Shared::new(y.data_mut()), Shared::new(weights.data_mut()), Shared::new(sums.data_mut()));
        let (q, k, v) = (q.value().data(), k.value().data(), v.value().data());
        let make = || Scratch::forward(plan.size(), plan.block());
        par::each_with(plan.tasks(), make, |scratch, task| {
            let (head, place) = plan.head(task);
            // SAFETY: every task has its own part of the weights and of the sums.
            let (kept, sums) = unsafe {
                (weights.slice(place.weights_at, place.weights_len), sums.slice(place.sums_at, head.tokens))
            };
            head.forward(kept, sums, &y, [q, k, v], scratch);
        });
    }

    let (q_value, k_value, v_value) = (q.value().clone(), k.value().clone(), v.value().clone());
    record(&inputs, y.clone(), move |gradient, sink| {
        let shapes = [q_value.shape(), k_value.shape(), v_value.shape()];
        // Keys that no token sees get a gradient too: zero.
        let empty = |shape: &[usize]| if plan.covers { Array::stale(shape) } else { Array::zeros(shape) };
        let mut results = [0, 1, 2].map(|input| sink.wants(input).then(|| empty(shapes[input])));
        {
            let outputs = results.each_mut().map(|result| result.as_mut().map(|d| Shared::new(d.data_mut())));
            let make = || Scratch::backward(plan.size(), plan.block());
            // All heads that read the same keys belong to one task, which adds up their gradients.
            par::each_with(plan.tasks() / plan.group(), make, |scratch, shared| {
                for member in 0..plan.group() {
                    let (head, place) = plan.head(shared * plan.group() + member);
                    let kept = &weights.data()[place.weights_at..place.weights_at + place.weights_len];
                    let sums = &sums.data()[place.sums_at..place.sums_at + head.tokens];
                    let inputs = [q_value.data(), k_value.data(), v_value.data()];
                    let grow = member > 0;
                    head.backward(kept, sums, [gradient.data(), y.data()], inputs, &outputs, grow, scratch);
                }
            });
        }
        for (input, result) in results.into_iter().enumerate() {
            if let Some(result) = result {
                sink.add(input, result);
            }
        }
    })
}

/// Where every sequence and head finds its tokens, columns and saved weights.
struct Plan {
    offsets: Offsets,
    /// Rows of keys and values of every sequence.
    keys: Vec<Range<usize>>,
    heads: usize,
    /// D and D'.
    widths: [usize; 2],
    causal: bool,
    /// Start of the weights of every sequence, and their total.
    weights_at: Vec<usize>,
    weights_len: usize,
    keep: bool,
    /// Whether every row of keys is in a range and seen by some token.
    covers: bool,
}

/// Where a task keeps what it saves.
struct Place {
    weights_at: usize,
    /// 0 when the weights are not kept.
    weights_len: usize,
    sums_at: usize,
}

impl Plan {
    #[track_caller]
    fn new(
        inputs: [&Var; 3],
        offsets: &Offsets,
        keys: Vec<Range<usize>>,
        heads: usize,
        causal: bool,
    ) -> Plan {
        let [q, k, v] = inputs;
        let &[tokens, width] = q.shape() else { panic!("packed tokens of shape {:?}", q.shape()) };
        assert_eq!(tokens, offsets.tokens(), "token rows against the end of the offsets");
        assert!(heads > 0 && width.is_multiple_of(heads), "{heads} heads do not divide a width of {width}");
        let size = width / heads;
        let shared = k.value().width().checked_div(size).unwrap_or(heads);
        assert!(
            k.shape().len() == 2
                && k.shape() == v.shape()
                && shared * size == k.value().width()
                && (shared > 0 && heads.is_multiple_of(shared)),
            "attention of {:?} in {heads} heads, {:?}, {:?}",
            q.shape(),
            k.shape(),
            v.shape()
        );
        let mut plan = Plan {
            offsets: offsets.clone(),
            heads,
            widths: [width, shared * size],
            causal,
            weights_at: Vec::with_capacity(offsets.sequences()),
            weights_len: 0,
            keep: any_tracked(&inputs),
            covers: keys.iter().map(Range::len).sum::<usize>() == k.value().height()
                && offsets.ranges().zip(&keys).all(|(tokens, keys)| !tokens.is_empty() || keys.is_empty()),
            keys,
        };
        for sequence in 0..offsets.sequences() {
            plan.weights_at.push(plan.weights_len);
            plan.weights_len += heads * plan.kept(sequence);
        }
        plan
    }

    /// Weights kept per head of a sequence.
    fn kept(&self, sequence: usize) -> usize {
        let (tokens, keys) = (self.offsets.range(sequence).len(), self.keys[sequence].len());
        if self.keep && keys <= KEPT_TOKENS { tokens * head::padded(keys) } else { 0 }
    }

    /// Width of a head.
    fn size(&self) -> usize {
        self.widths[0] / self.heads
    }

    /// Query heads that read the same head of the keys.
    fn group(&self) -> usize {
        (self.widths[0] / self.widths[1].max(1)).max(1)
    }

    /// Room for a task's scores and keys.
    fn block(&self) -> head::Block {
        let longest = self.keys.iter().map(Range::len).max().unwrap_or(0);
        head::Block {
            tokens: self.offsets.longest(),
            keys: longest,
            kept: self.keep && longest <= KEPT_TOKENS,
        }
    }

    fn tasks(&self) -> usize {
        self.offsets.sequences() * self.heads
    }

    fn head(&self, task: usize) -> (Head, Place) {
        let (sequence, index) = (task / self.heads, task % self.heads);
        let (tokens, keys) = (self.offsets.range(sequence), &self.keys[sequence]);
        let size = self.size();
        let weights_len = self.kept(sequence);
        let place = Place {
            weights_at: self.weights_at[sequence] + index * weights_len,
            weights_len,
            sums_at: tokens.start * self.heads + index * tokens.len(),
        };
        let head = Head {
            tokens: tokens.len(),
            keys: keys.len(),
            size,
            own: Band { start: tokens.start * self.widths[0] + index * size, step: self.widths[0] },
            read: Band {
                start: keys.start * self.widths[1] + index / self.group() * size,
                step: self.widths[1],
            },
            causal: self.causal,
        };
        (head, place)
    }
}
