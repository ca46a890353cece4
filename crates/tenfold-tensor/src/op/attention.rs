//! Multi-head attention over a packed batch.

use crate::kernel::{reduce, softmax};
use crate::par::{self, Shared};
use crate::pool::Buffer;
use crate::product::{Threads, View, ViewMut, gemm};
use crate::tape::{any_tracked, record};
use crate::{Array, Offsets, Var};

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
    let plan = Plan::new(offsets, heads, width, causal);

    let inputs = [q, k, v];
    let keep = any_tracked(&inputs);
    let mut y = Array::stale(&[tokens, width]);
    let mut weights = Array::stale(&[if keep { plan.weights_len } else { 0 }]);
    {
        let (out, kept) = (Shared::new(y.data_mut()), Shared::new(weights.data_mut()));
        let (q, k, v) = (q.value().data(), k.value().data(), v.value().data());
        par::each(plan.tasks(), |task| {
            let head = plan.head(task);
            let mut scratch = Buffer::stale(if keep { 0 } else { head.weights_len() });
            // SAFETY: every task has its own part of the kept weights.
            let p =
                if keep { unsafe { kept.slice(head.weights_at, head.weights_len()) } } else { &mut scratch };
            head.forward(p, &out, q, k, v);
        });
    }

    let (q_value, k_value, v_value) = (q.value().clone(), k.value().clone(), v.value().clone());
    record(&inputs, y.clone(), move |gradient, sink| {
        let shape = [tokens, width];
        let (mut dq, mut dk, mut dv) = (Array::stale(&shape), Array::stale(&shape), Array::stale(&shape));
        {
            let (dq, dk, dv) =
                (Shared::new(dq.data_mut()), Shared::new(dk.data_mut()), Shared::new(dv.data_mut()));
            par::each(plan.tasks(), |task| {
                let head = plan.head(task);
                let p = &weights.data()[head.weights_at..head.weights_at + head.weights_len()];
                let mut scratch = Buffer::stale(head.weights_len());
                let (q, k, v) = (q_value.data(), k_value.data(), v_value.data());
                head.backward(p, &mut scratch, gradient.data(), y.data(), [q, k, v], [&dq, &dk, &dv]);
            });
        }
        sink.add(0, dq);
        sink.add(1, dk);
        sink.add(2, dv);
    })
}

/// Where every sequence and head finds its tokens, columns and saved weights.
struct Plan {
    offsets: Offsets,
    heads: usize,
    width: usize,
    causal: bool,
    /// Start of the weights of every sequence.
    weights_at: Vec<usize>,
    weights_len: usize,
}

impl Plan {
    fn new(offsets: &Offsets, heads: usize, width: usize, causal: bool) -> Plan {
        let mut weights_len = 0;
        let weights_at = offsets
            .ranges()
            .map(|range| {
                let start = weights_len;
                weights_len += heads * range.len() * range.len();
                start
            })
            .collect();
        Plan { offsets: offsets.clone(), heads, width, causal, weights_at, weights_len }
    }

    fn tasks(&self) -> usize {
        self.offsets.sequences() * self.heads
    }

    fn head(&self, task: usize) -> Head {
        let (sequence, head) = (task / self.heads, task % self.heads);
        let tokens = self.offsets.range(sequence);
        let size = self.width / self.heads;
        Head {
            tokens: tokens.len(),
            size,
            width: self.width,
            start: tokens.start * self.width + head * size,
            weights_at: self.weights_at[sequence] + head * tokens.len() * tokens.len(),
            causal: self.causal,
        }
    }
}

/// One head of one sequence: a T x K matrix inside the rows of the packed arrays.
struct Head {
    tokens: usize,
    size: usize,
    width: usize,
    start: usize,
    weights_at: usize,
    causal: bool,
}

impl Head {
    fn weights_len(&self) -> usize {
        self.tokens * self.tokens
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }

    fn view<'a>(&self, data: &'a [f32]) -> View<'a, f32> {
        View::strided(&data[self.start.min(data.len())..], self.tokens, self.size, self.width, 1)
    }

    fn view_mut<'a>(&self, data: &Shared<'a>) -> ViewMut<'a, f32> {
        // SAFETY: heads of different tasks are disjoint column bands of disjoint rows.
        unsafe { ViewMut::from_raw(data.pointer(self.start), self.tokens, self.size, self.width) }
    }

    fn row<'a>(&self, data: &'a [f32], token: usize) -> &'a [f32] {
        &data[self.start + token * self.width..][..self.size]
    }

    fn forward(&self, p: &mut [f32], out: &Shared<'_>, q: &[f32], k: &[f32], v: &[f32]) {
        let t = self.tokens;
        if t == 0 {
            return;
        }
        gemm(ViewMut::new(p, t, t), 0.0, 1.0, self.view(q), self.view(k).t(), Threads::One);
        for (i, row) in p.chunks_exact_mut(t).enumerate() {
            let seen = if self.causal { i + 1 } else { t };
            softmax::softmax(&mut row[..seen], self.scale());
            row[seen..].fill(0.0);
        }
        gemm(self.view_mut(out), 0.0, 1.0, View::new(p, t, t), self.view(v), Threads::One);
    }

    /// Writes the gradients of q, k and v, with the weights `p` of the forward pass.
    fn backward(
        &self,
        p: &[f32],
        ds: &mut [f32],
        dy: &[f32],
        y: &[f32],
        [q, k, v]: [&[f32]; 3],
        [dq, dk, dv]: [&Shared<'_>; 3],
    ) {
        let t = self.tokens;
        if t == 0 {
            return;
        }
        gemm(self.view_mut(dv), 0.0, 1.0, View::new(p, t, t).t(), self.view(dy), Threads::One);
        gemm(ViewMut::new(ds, t, t), 0.0, 1.0, self.view(dy), self.view(v).t(), Threads::One);
        for (i, (ds, p)) in ds.chunks_exact_mut(t).zip(p.chunks_exact(t)).enumerate() {
            // The sum of p dp over a row equals dy y, which is shorter.
            let inner = reduce::dot(self.row(dy, i), self.row(y, i));
            softmax::softmax_backward(ds, p, inner, self.scale());
        }
        gemm(self.view_mut(dq), 0.0, 1.0, View::new(ds, t, t), self.view(k), Threads::One);
        gemm(self.view_mut(dk), 0.0, 1.0, View::new(ds, t, t).t(), self.view(q), Threads::One);
    }
}
