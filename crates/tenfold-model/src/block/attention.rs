//! Multi-head attention over packed sequences: to themselves, and to those of a source.

use crate::error::Error;
use crate::past::Past;
use std::ops::Range;
use tenfold_tensor::op::{Angles, Buckets, Pairing};
use tenfold_tensor::{Activation, Offsets, Var, op};
use tenfold_weight::Scope;

/// Where the four weights are, without `.weight`, and the socket of a prefix, where there is one.
pub(crate) struct AttentionPaths<'a> {
    pub(crate) query: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    pub(crate) output: &'a str,
    pub(crate) prefix: Option<&'a str>,
}

/// How heads attend; keys and values may have fewer of them than queries.
pub(crate) struct Heads<'a> {
    /// Heads of queries.
    count: usize,
    /// Whether a token sees only what is before it.
    causal: bool,
    /// The angles by which queries and keys are turned, in the layout of Hugging Face's checkpoints.
    angles: Option<&'a Angles>,
    /// Biases by distance, in place of a scale of scores: the table's path without `.weight`, and what its rows stand for.
    biases: Option<(&'a str, Buckets)>,
}

/// What a decoder reads of an encoder: hidden states, and the rows of every sequence.
#[derive(Clone, Copy)]
pub(crate) struct Read<'a> {
    pub(crate) memory: &'a Var,
    pub(crate) rows: &'a [Range<usize>],
}

/// Where keys and values of earlier tokens are kept: the past, and the layer's number.
pub(crate) type Kept<'p> = Option<(&'p mut Past, usize)>;

impl<'a> Heads<'a> {
    /// Heads that see the whole sequence.
    pub(crate) fn bidirectional(count: usize) -> Self {
        Self { count, causal: false, angles: None, biases: None }
    }

    /// Heads that see their own token and those before it.
    pub(crate) fn causal(count: usize) -> Self {
        Self { causal: true, ..Self::bidirectional(count) }
    }

    /// Heads whose scores are not scaled and have learned biases by distance.
    pub(crate) fn relative(count: usize, table: &'a str, buckets: Buckets) -> Self {
        Self { causal: buckets.causal(), biases: Some((table, buckets)), ..Self::bidirectional(count) }
    }

    /// The same heads with rotary positions, where there are some.
    pub(crate) fn turned(self, angles: Option<&'a Angles>) -> Self {
        Self { angles, ..self }
    }
}

/// Self-attention of x (N x D) and the output projection: N x D. A prefix holds keys as they are after any turning. With a past, x are the next tokens of its sequences, and heads
/// are causal.
pub(crate) fn attention(
    cx: &Scope<'_>,
    paths: &AttentionPaths<'_>,
    x: &Var,
    offsets: &Offsets,
    heads: &Heads<'_>,
    kept: Kept<'_>,
) -> Result<Var, Error> {
    let [query, key, value] = cx.linears([paths.query, paths.key, paths.value], x)?;
    let [query, key] = [query, key]
        .map(|flat| heads.angles.map(|angles| op::rotary(&flat, angles, Pairing::Halves)).unwrap_or(flat));
    let before = match paths.prefix {
        Some(prefix) => cx.prefix(prefix, key.value().width())?,
        None => None,
    };
    let biases = match heads.biases {
        Some((table, buckets)) => {
            let rows: Vec<u32> = (0..buckets.count() as u32).collect();
            Some((cx.rows(table, &rows)?, buckets))
        }
        None => None,
    };
    let biases = biases.as_ref().map(|(table, buckets)| (table, *buckets));
    // No architecture has both a socket for a prefix and biases by distance.
    let mixed = match (kept, &before) {
        (Some((past, layer)), _) => {
            let inputs = [&query, &key, &value];
            past.attend(layer, inputs, before.as_ref(), offsets, heads.count, biases)
        }
        (None, Some([keys, values])) => op::attention_with_prefix(
            [&query, &key, &value],
            [keys, values],
            offsets,
            heads.count,
            heads.causal,
        ),
        (None, None) => match biases {
            Some(biases) => {
                let keys: Vec<Range<usize>> = offsets.ranges().collect();
                op::attention_relative([&query, &key, &value], biases, offsets, &keys, heads.count)
            }
            None => op::attention(&query, &key, &value, offsets, heads.count, heads.causal),
        },
    };
    Ok(cx.linear(paths.output, &mixed, Activation::Identity)?)
}

/// Attention of x (N x D) to a source, whose scores are not scaled, and the output projection: N x D. With a past, keys and values
/// of the source are kept when they are first computed; it is not read again.
pub(crate) fn cross_attention(
    cx: &Scope<'_>,
    paths: &AttentionPaths<'_>,
    x: &Var,
    offsets: &Offsets,
    source: Option<Read<'_>>,
    heads: usize,
    kept: Kept<'_>,
) -> Result<Var, Error> {
    let query = cx.linear(paths.query, x, Activation::Identity)?;
    let fresh = match source {
        Some(Read { memory, .. }) => Some(cx.linears([paths.key, paths.value], memory)?),
        None => None,
    };
    let across = |[key, value]: [&Var; 2], rows: &[Range<usize>]| {
        op::attention_across([&query, key, value], offsets, rows, heads, 1.0)
    };
    let mixed = match (kept, fresh.as_ref().zip(source)) {
        (None, Some((own, source))) => across(own.each_ref(), source.rows),
        (Some((past, layer)), fresh) => {
            let fresh =
                fresh.map(|(own, source)| (own.each_ref().map(|one| one.value().clone()), source.rows));
            let (own, rows) = past.source(layer, fresh).ok_or(Error::NoSource { architecture: "t5" })?;
            across(own.each_ref(), rows)
        }
        (None, None) => return Err(Error::NoSource { architecture: "t5" }),
    };
    Ok(cx.linear(paths.output, &mixed, Activation::Identity)?)
}
