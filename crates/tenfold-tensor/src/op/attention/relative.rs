//! Attention with a learned bias for the distance of a key from a query.

use super::{Scores, attend, last_of_keys};
use crate::tape::record;
use crate::{Array, Offsets, Var};
use std::ops::Range;

/// Which row of a table of biases a distance has: near distances one each, far ones in ranges that grow with the logarithm
/// (Raffel et al. 2020, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buckets {
    count: usize,
    farthest: usize,
    causal: bool,
}

impl Buckets {
    /// `count` rows, the last for distances of about `farthest` tokens and more. Half of the rows are for near distances. With
    /// `causal` all rows are for keys before the query; without, half of them are for keys after it.
    ///
    /// # Panics
    /// When the rows of one side are fewer than 2, or their nearer half reaches `farthest`.
    #[track_caller]
    pub fn new(count: usize, farthest: usize, causal: bool) -> Self {
        let buckets = Self { count, farthest, causal };
        let side = buckets.side();
        assert!(side > 1 && side / 2 < farthest, "{count} rows for distances to {farthest}, causal {causal}");
        buckets
    }

    /// Rows of the table.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether a token sees only itself and the tokens before it.
    pub fn causal(&self) -> bool {
        self.causal
    }

    /// Rows for one side.
    fn side(&self) -> usize {
        if self.causal { self.count } else { self.count / 2 }
    }

    /// The row for a key that stands so many tokens after the query; before it where negative.
    pub fn of(&self, distance: isize) -> usize {
        let side = self.side();
        let (start, far) = match self.causal {
            true => (0, distance.min(0).unsigned_abs()),
            false => (if distance > 0 { side } else { 0 }, distance.unsigned_abs()),
        };
        let exact = side / 2;
        if far < exact {
            return start + far;
        }
        // In f32 and in this order, because trained models were: at the bounds of a range rounding decides.
        let share = (far as f32 / exact as f32).ln() / (self.farthest as f64 / exact as f64).ln() as f32;
        let beyond = (share * (side - exact) as f32) as usize;
        start + (exact + beyond).min(side - 1)
    }
}

/// softmax(q k^T + b) v, where b is the bias that the table has for the distance of a key from a query, and products are not
/// divided by anything (Raffel et al. 2020, section 2.1). The tokens of a sequence are the last of its keys; with causal buckets a token sees
/// itself and the keys before it, otherwise all keys.
///
/// # Shapes
/// As [`attention_with_past`](super::attention_with_past): the keys of sequence b are rows `keys[b]` of k and v, the bounds of its
/// tokens where nothing was kept from before. The table has a row per bucket and a column per head.
///
/// # Panics
/// As [`attention_with_past`](super::attention_with_past), and when the table has another shape.
#[track_caller]
pub fn attention_relative(
    [q, k, v]: [&Var; 3],
    (table, buckets): (&Var, Buckets),
    offsets: &Offsets,
    keys: &[Range<usize>],
    heads: usize,
) -> Var {
    assert_eq!(table.shape(), [buckets.count, heads], "a table of biases for {buckets:?} and {heads} heads");
    last_of_keys(k, offsets, keys);
    let reach = keys.iter().map(Range::len).max().unwrap_or(0).max(1);
    let line = spread(table, buckets, reach);
    let scores = Scores { heads, causal: buckets.causal, scale: Some(1.0) };
    attend([q, k, v], Some(&line), offsets, keys.to_vec(), scores)
}

/// The biases of every head (H x (2 L - 1)) for the distances -(L - 1) to L - 1.
fn spread(table: &Var, buckets: Buckets, reach: usize) -> Var {
    let (heads, wide) = (table.value().width(), 2 * reach - 1);
    let of = move |at: usize| buckets.of(at as isize - (reach as isize - 1));
    let rows: Vec<usize> = (0..wide).map(of).collect();
    let source = table.value().data();
    let mut line = Array::stale(&[heads, wide]);
    for (head, line) in line.data_mut().chunks_exact_mut(wide).enumerate() {
        line.iter_mut().zip(&rows).for_each(|(to, row)| *to = source[row * heads + head]);
    }
    let shape = table.shape().to_vec();
    record(&[table], line, move |gradient, sink| {
        sink.accumulate(0, &shape, |table, filled| {
            if !filled {
                table.fill(0.0);
            }
            for (head, line) in gradient.data().chunks_exact(wide).enumerate() {
                line.iter().zip(&rows).for_each(|(from, row)| table[row * heads + head] += from);
            }
        });
    })
}
