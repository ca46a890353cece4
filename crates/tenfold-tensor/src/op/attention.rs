//! Multi-head attention over a packed batch.
//!
//! Every head of every sequence is one task, a T x K matrix inside the rows of the packed arrays, and nothing is
//! transposed or copied but that head's keys. Query rows are taken in blocks, so that scores stay in cache and memory
//! is bounded: the softmax weights of a short sequence are kept for the backward pass, those of a long one are computed
//! again from the saved logarithm of each row's sum (Dao et al. 2022, algorithm 1, without blocks of keys).

mod head;
mod prefix;
mod relative;

pub use prefix::attention_with_prefix;
pub use relative::{Buckets, attention_relative};

use head::{Band, Bias, Head, Scratch};
use std::ops::Range;

use crate::device::{self, Device, Sight};
use crate::kernel::reduce;
use crate::par::{self, Shared};
use crate::tape::{any_tracked, record};
use crate::{Array, Offsets, Var};

/// Longest sequence whose softmax weights are kept: up to here they take less memory per token than a hidden layer.
const KEPT_TOKENS: usize = 256;

/// Numbers that a recorded [`attention`] keeps of N tokens in sequences of at most `longest`, beside what it reads and gives:
/// the weights of short sequences, and a sum per token and head. Where the longest keeps none, shorter ones may. A prefix of `before` rows counts with the sequence.
pub fn attention_numbers(heads: usize, tokens: usize, longest: usize, before: usize) -> usize {
    let kept = (longest + before).min(KEPT_TOKENS);
    tokens * heads * (head::padded(kept) + 1)
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
    attend([q, k, v], None, offsets, keys, Scores { heads, causal, scale: None })
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
    last_of_keys(k, offsets, keys);
    attend([q, k, v], None, offsets, keys.to_vec(), Scores { heads, causal: true, scale: None })
}

/// softmax(scale q k^T) v where every sequence reads the keys of another one: how a decoder sees what its encoder made of the
/// source (Vaswani et al. 2017, section 3.2.3). Where there are no keys the result is 0.
///
/// # Shapes
/// As [`attention`], but k and v are S x D': every token of sequence b sees the rows `keys[b]`, however many they are. Rows
/// outside of all ranges are not looked at. Sequences may share rows where neither k nor v is tracked.
///
/// # Panics
/// When the shapes do not fit together, there is not one range per sequence, or ranges end after S; when they overlap and k or v
/// is tracked.
#[track_caller]
pub fn attention_across(
    [q, k, v]: [&Var; 3],
    offsets: &Offsets,
    keys: &[Range<usize>],
    heads: usize,
    scale: f32,
) -> Var {
    within(k, offsets, keys);
    // Tasks write the gradients of their own keys side by side.
    assert!(!any_tracked(&[k, v]) || disjoint(keys), "overlapping ranges of tracked keys {keys:?}");
    attend([q, k, v], None, offsets, keys.to_vec(), Scores { heads, causal: false, scale: Some(scale) })
}

/// Demands a range of rows of k for every sequence.
#[track_caller]
fn within(k: &Var, offsets: &Offsets, keys: &[Range<usize>]) {
    assert_eq!(keys.len(), offsets.sequences(), "ranges of keys against sequences");
    let fits = |range: &Range<usize>| range.start <= range.end && range.end <= k.value().height();
    assert!(keys.iter().all(fits), "ranges of keys {keys:?} of {:?}", k.shape());
}

/// Demands that the tokens of every sequence are the last of a range of keys of its own.
#[track_caller]
fn last_of_keys(k: &Var, offsets: &Offsets, keys: &[Range<usize>]) {
    within(k, offsets, keys);
    let fits = |(range, tokens): (&Range<usize>, Range<usize>)| tokens.len() <= range.len();
    assert!(
        keys.iter().zip(offsets.ranges()).all(fits),
        "ranges of keys {keys:?} hold fewer than the tokens"
    );
    assert!(disjoint(keys), "overlapping ranges of keys {keys:?}");
}

fn disjoint(keys: &[Range<usize>]) -> bool {
    let mut sorted: Vec<_> = keys.iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_by_key(|range| range.start);
    sorted.windows(2).all(|pair| pair[0].end <= pair[1].start)
}

/// How scores come about.
#[derive(Clone, Copy)]
struct Scores {
    heads: usize,
    /// Whether a token sees only itself and the tokens before it.
    causal: bool,
    /// What products of queries and keys are multiplied with; nothing: 1 / sqrt K.
    scale: Option<f32>,
}

/// Attention to the rows `keys` of k and v. `line` (H x (2 L - 1), for at most L keys) is added to products that have no scale.
#[track_caller]
fn attend(
    inputs: [&Var; 3],
    line: Option<&Var>,
    offsets: &Offsets,
    keys: Vec<Range<usize>>,
    scores: Scores,
) -> Var {
    let [q, k, v] = inputs;
    let all: Vec<&Var> = inputs.into_iter().chain(line).collect();
    let plan = Plan::new(&all, offsets, keys, scores);
    if let Some(device) = device::active().filter(|_| line.is_none() && plan.sight().is_known()) {
        return on_device(device, inputs, plan);
    }
    let line = line.map(|line| line.value().clone());
    let mut y = Array::stale(q.shape());
    let mut weights = Array::stale(&[plan.weights_len]);
    let mut sums = Array::stale(&[q.value().height() * plan.heads]); // log of the sum of every row
    {
        let (y, weights, sums) =
            (Shared::new(y.data_mut()), Shared::new(weights.data_mut()), Shared::new(sums.data_mut()));
        let (q, k, v) = (q.value().data(), k.value().data(), v.value().data());
        let make = || Scratch::forward(plan.size(), plan.block());
        par::each_with(plan.tasks(), make, |scratch, task| {
            let (head, place) = plan.head(task, line.as_ref());
            // SAFETY: every task has its own part of the weights and of the sums.
            let (kept, sums) = unsafe {
                (weights.slice(place.weights_at, place.weights_len), sums.slice(place.sums_at, head.tokens))
            };
            head.forward(kept, sums, &y, [q, k, v], scratch);
        });
    }

    let (q_value, k_value, v_value) = (q.value().clone(), k.value().clone(), v.value().clone());
    record(&all, y.clone(), move |gradient, sink| {
        let shapes = [q_value.shape(), k_value.shape(), v_value.shape()];
        // Keys that no token sees get a gradient too: zero.
        let empty = |shape: &[usize]| if plan.covers { Array::stale(shape) } else { Array::zeros(shape) };
        let mut results = [0, 1, 2].map(|input| sink.wants(input).then(|| empty(shapes[input])));
        // Every task adds up the gradient of its own line; those of the sequences are added in order.
        let wide = line.as_ref().filter(|_| sink.wants(3)).map_or(0, Array::width);
        let mut lines = Array::zeros(&[plan.offsets.sequences().max(1), plan.heads * wide]);
        {
            let lines = Shared::new(lines.data_mut());
            let outputs = results.each_mut().map(|result| result.as_mut().map(|d| Shared::new(d.data_mut())));
            let make = || Scratch::backward(plan.size(), plan.block());
            // All heads that read the same keys belong to one task, which adds up their gradients.
            par::each_with(plan.tasks() / plan.group(), make, |scratch, shared| {
                for member in 0..plan.group() {
                    let task = shared * plan.group() + member;
                    let (head, place) = plan.head(task, line.as_ref());
                    let kept = &weights.data()[place.weights_at..place.weights_at + place.weights_len];
                    let sums = &sums.data()[place.sums_at..place.sums_at + head.tokens];
                    let inputs = [q_value.data(), k_value.data(), v_value.data()];
                    let grow = member > 0;
                    // SAFETY: every task has a line of its own.
                    let line = (wide > 0).then(|| unsafe { lines.slice(task * wide, wide) });
                    let results = (&outputs, line);
                    head.backward(kept, sums, [gradient.data(), y.data()], inputs, results, grow, scratch);
                }
            });
        }
        for (input, result) in results.into_iter().enumerate() {
            if let Some(result) = result {
                sink.add(input, result);
            }
        }
        if wide > 0 {
            let (first, rest) = lines.data_mut().split_at_mut(plan.heads * wide);
            reduce::add_rows(first, rest);
            sink.add(3, Array::from_slice(first, &[plan.heads, wide]));
        }
    })
}

/// The same on a device, which adds nothing to products.
fn on_device(device: &'static Device, [q, k, v]: [&Var; 3], plan: Plan) -> Var {
    let saved = [q, k, v].map(|input| input.value().clone());
    let (y, sums) = device.attend([&saved[0], &saved[1], &saved[2]], &plan.sight());
    record(&[q, k, v], y.clone(), move |gradient, sink| {
        let wants = [sink.wants(0), sink.wants(1) || sink.wants(2)];
        let inputs = [&saved[0], &saved[1], &saved[2]];
        let results = device.attend_back(inputs, [&y, &sums, &gradient], &plan.sight(), wants, plan.covers);
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
    scale: f32,
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
    fn new(inputs: &[&Var], offsets: &Offsets, keys: Vec<Range<usize>>, scores: Scores) -> Plan {
        let (q, k, v) = (inputs[0], inputs[1], inputs[2]);
        let Scores { heads, causal, scale } = scores;
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
            scale: scale.unwrap_or_else(|| 1.0 / (size as f32).sqrt()),
            weights_at: Vec::with_capacity(offsets.sequences()),
            weights_len: 0,
            keep: any_tracked(inputs),
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

    /// Who sees whom, as a device wants it.
    fn sight(&self) -> Sight<'_> {
        Sight {
            spans: self.offsets.ranges().zip(&self.keys).collect(),
            heads: self.heads,
            size: self.size(),
            group: self.group(),
            causal: self.causal,
            scale: self.scale,
        }
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

    fn head<'l>(&self, task: usize, line: Option<&'l Array>) -> (Head<'l>, Place) {
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
            scale: self.scale,
            bias: line.map(|line| {
                let wide = line.width();
                Bias { line: &line.data()[index * wide..(index + 1) * wide], reach: wide.div_ceil(2) }
            }),
        };
        (head, place)
    }
}
