//! Multi-head attention over a packed batch.
//!
//! Every head of every sequence is one task, a T x K matrix inside the rows of the packed arrays, and nothing is
//! transposed or copied but that head's keys. Query rows are taken in blocks, so that scores stay in cache and memory
//! is bounded: the softmax weights of a short sequence are kept for the backward pass, those of a long one are computed
//! again from the saved logarithm of each row's sum (Dao et al. 2022, algorithm 1, without blocks of keys).

mod head;

use head::{Head, Scratch};

use crate::par::{self, Shared};
use crate::tape::{any_tracked, record};
use crate::{Array, Offsets, Var};

/// Longest sequence whose softmax weights are kept: up to here they take less memory per token than a hidden layer.
const KEPT_TOKENS: usize = 256;

/// softmax(q k^T / sqrt K) v for every sequence and head, without any padding (Vaswani et al. 2017, eq. 1).
///
/// # Shapes
/// q, k, v N x D with D = heads K; head h has columns h K to (h + 1) K. The result is N x D. With `causal` a token
/// attends only to itself and the tokens before it in its sequence.
///
/// # Panics
/// When the shapes differ, the offsets do not end at N, or `heads` does not divide D.
#[track_caller]
pub fn attention(q: &Var, k: &Var, v: &Var, offsets: &Offsets, heads: usize, causal: bool) -> Var {
    let &[tokens, width] = q.shape() else { panic!("packed tokens of shape {:?}", q.shape()) };
    assert!(
        k.shape() == q.shape() && v.shape() == q.shape(),
        "attention of {:?}, {:?}, {:?}",
        q.shape(),
        k.shape(),
        v.shape()
    );
    assert_eq!(tokens, offsets.tokens(), "token rows against the end of the offsets");
    assert!(heads > 0 && width % heads == 0, "{heads} heads do not divide a width of {width}");
    let inputs = [q, k, v];
    let plan = Plan::new(offsets, heads, width, causal, any_tracked(&inputs));

    let mut y = Array::stale(&[tokens, width]);
    let mut weights = Array::stale(&[plan.weights_len]);
    let mut sums = Array::stale(&[tokens * heads]); // log of the sum of every row
    {
        let (y, weights, sums) =
            (Shared::new(y.data_mut()), Shared::new(weights.data_mut()), Shared::new(sums.data_mut()));
        let (q, k, v) = (q.value().data(), k.value().data(), v.value().data());
        let make = || Scratch::forward(plan.longest(), plan.size(), plan.all_kept());
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
        let mut results = [0, 1, 2].map(|input| sink.wants(input).then(|| Array::stale(&[tokens, width])));
        {
            let outputs = results.each_mut().map(|result| result.as_mut().map(|d| Shared::new(d.data_mut())));
            let make = || Scratch::backward(plan.longest(), plan.size(), plan.all_kept());
            par::each_with(plan.tasks(), make, |scratch, task| {
                let (head, place) = plan.head(task);
                let kept = &weights.data()[place.weights_at..place.weights_at + place.weights_len];
                let sums = &sums.data()[place.sums_at..place.sums_at + head.tokens];
                let inputs = [q_value.data(), k_value.data(), v_value.data()];
                head.backward(kept, sums, [gradient.data(), y.data()], inputs, &outputs, scratch);
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
    heads: usize,
    width: usize,
    causal: bool,
    /// Start of the weights of every sequence, and their total.
    weights_at: Vec<usize>,
    weights_len: usize,
    keep: bool,
}

/// Where a task keeps what it saves.
struct Place {
    weights_at: usize,
    /// 0 when the weights are not kept.
    weights_len: usize,
    sums_at: usize,
}

impl Plan {
    fn new(offsets: &Offsets, heads: usize, width: usize, causal: bool, keep: bool) -> Plan {
        let mut plan = Plan {
            offsets: offsets.clone(),
            heads,
            width,
            causal,
            weights_at: Vec::with_capacity(offsets.sequences()),
            weights_len: 0,
            keep,
        };
        for tokens in offsets.ranges() {
            plan.weights_at.push(plan.weights_len);
            plan.weights_len += heads * plan.kept(tokens.len());
        }
        plan
    }

    /// Weights kept per head of a sequence of this length.
    fn kept(&self, tokens: usize) -> usize {
        if self.keep && tokens <= KEPT_TOKENS { tokens * head::padded(tokens) } else { 0 }
    }

    fn longest(&self) -> usize {
        self.offsets.longest()
    }

    /// Width of a head.
    fn size(&self) -> usize {
        self.width / self.heads
    }

    /// Whether no weights are computed again.
    fn all_kept(&self) -> bool {
        self.keep && self.longest() <= KEPT_TOKENS
    }

    fn tasks(&self) -> usize {
        self.offsets.sequences() * self.heads
    }

    fn head(&self, task: usize) -> (Head, Place) {
        let (sequence, index) = (task / self.heads, task % self.heads);
        let tokens = self.offsets.range(sequence);
        let size = self.size();
        let weights_len = self.kept(tokens.len());
        let place = Place {
            weights_at: self.weights_at[sequence] + index * weights_len,
            weights_len,
            sums_at: tokens.start * self.heads + index * tokens.len(),
        };
        let head = Head {
            tokens: tokens.len(),
            size,
            width: self.width,
            start: tokens.start * self.width + index * size,
            causal: self.causal,
        };
        (head, place)
    }
}
