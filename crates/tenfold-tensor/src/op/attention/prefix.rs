//! Attention in which the same rows of keys and values stand before every sequence.

use super::{Scores, attend};
use crate::kernel::elementwise;
use crate::par::{self, Shared};
use crate::tape::record;
use crate::{Array, Offsets, Var};

/// [`attention`](super::attention) in which every token of every sequence also sees the rows of a prefix (Li and Liang 2021,
/// equation 3, with the prefix given as keys and values). With `causal` a token sees the whole prefix, itself and the tokens before it.
///
/// # Shapes
/// As [`attention`](super::attention); `prefix` are keys and values, each P x D'.
///
/// # Panics
/// When the shapes do not fit together, the offsets do not end at N, or `heads` does not divide D.
#[track_caller]
pub fn attention_with_prefix(
    [q, k, v]: [&Var; 3],
    prefix: [&Var; 2],
    offsets: &Offsets,
    heads: usize,
    causal: bool,
) -> Var {
    assert_eq!(k.value().height(), offsets.tokens(), "key rows against the end of the offsets");
    assert_eq!(prefix[0].shape(), prefix[1].shape(), "keys and values of a prefix");
    let rows = prefix[0].value().height();
    let keys: Vec<_> = offsets
        .ranges()
        .enumerate()
        .map(|(b, range)| range.start + b * rows..range.end + (b + 1) * rows)
        .collect();
    let (k, v) = (prepend(prefix[0], k, offsets), prepend(prefix[1], v, offsets));
    attend([q, &k, &v], None, offsets, keys, Scores { heads, causal, scale: None })
}

/// The rows of `prefix` (P x D') before the rows of every sequence of x (N x D'): N + B P rows.
#[track_caller]
fn prepend(prefix: &Var, x: &Var, offsets: &Offsets) -> Var {
    let (rows, width) = (prefix.value().height(), x.value().width());
    assert_eq!(prefix.shape(), [rows, width], "a prefix before rows of width {width}");
    let before = rows * width;
    // Where a sequence begins in x, and where its prefix begins in the result.
    let start =
        move |offsets: &Offsets, b: usize| (offsets.range(b), offsets.range(b).start * width + b * before);
    let mut y = Array::stale(&[offsets.tokens() + offsets.sequences() * rows, width]);
    let (own, source) = (prefix.value().data(), x.value().data());
    let shared = Shared::new(y.data_mut());
    par::each(offsets.sequences(), |b| {
        let (tokens, at) = start(offsets, b);
        // SAFETY: every sequence has rows of its own.
        let y = unsafe { shared.slice(at, before + tokens.len() * width) };
        y[..before].copy_from_slice(own);
        y[before..].copy_from_slice(&source[tokens.start * width..tokens.end * width]);
    });
    let (offsets, shapes) = (offsets.clone(), [prefix.shape().to_vec(), x.shape().to_vec()]);
    record(&[prefix, x], y, move |gradient, sink| {
        let dy = gradient.data();
        sink.accumulate(0, &shapes[0], |dp, filled| {
            par::chunks_mut(dp, par::GRAIN, |first, dp| {
                if !filled {
                    dp.fill(0.0);
                }
                for b in 0..offsets.sequences() {
                    let at = start(&offsets, b).1 + first;
                    elementwise::add_assign(dp, &dy[at..at + dp.len()]);
                }
            });
        });
        sink.accumulate(1, &shapes[1], |dx, filled| {
            let shared = Shared::new(dx);
            par::each(offsets.sequences(), |b| {
                let (tokens, at) = start(&offsets, b);
                let dy = &dy[at + before..][..tokens.len() * width];
                // SAFETY: as above.
                let dx = unsafe { shared.slice(tokens.start * width, dy.len()) };
                if filled {
                    elementwise::add_assign(dx, dy);
                } else {
                    dx.copy_from_slice(dy);
                }
            });
        });
    })
}
