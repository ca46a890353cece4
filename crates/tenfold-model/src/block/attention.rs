//! Multi-head self-attention over packed sequences.

use crate::error::Error;
use crate::past::Past;
use tenfold_tensor::op::{Angles, Pairing};
use tenfold_tensor::{Activation, Offsets, Var, op};
use tenfold_weight::Scope;

/// Where the four weights are, without `.weight`, and the socket of a prefix.
pub(crate) struct AttentionPaths<'a> {
    pub(crate) query: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    pub(crate) output: &'a str,
    pub(crate) prefix: &'a str,
}

/// How heads attend; keys and values may have fewer of them than queries.
pub(crate) struct Heads<'a> {
    /// Heads of queries.
    count: usize,
    /// Whether a token sees only what is before it.
    causal: bool,
    /// The angles by which queries and keys are turned, in the layout of Hugging Face's checkpoints.
    angles: Option<&'a Angles>,
}

/// Where keys and values of earlier tokens are kept: the past, and the layer's number.
pub(crate) type Kept<'p> = Option<(&'p mut Past, usize)>;

impl<'a> Heads<'a> {
    /// Heads that see the whole sequence.
    pub(crate) fn bidirectional(count: usize) -> Self {
        Self { count, causal: false, angles: None }
    }

    /// Heads that see their own token and those before it.
    pub(crate) fn causal(count: usize) -> Self {
        Self { causal: true, ..Self::bidirectional(count) }
    }

    /// The same heads with rotary positions.
    pub(crate) fn turned(self, angles: &'a Angles) -> Self {
        Self { angles: Some(angles), ..self }
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
    let turned = |path| {
        let flat = cx.linear(path, x, Activation::Identity)?;
        Ok::<_, Error>(heads.angles.map(|angles| op::rotary(&flat, angles, Pairing::Halves)).unwrap_or(flat))
    };
    let (query, key) = (turned(paths.query)?, turned(paths.key)?);
    let value = cx.linear(paths.value, x, Activation::Identity)?;
    let before = cx.prefix(paths.prefix, key.value().width())?;
    let mixed = match (kept, &before) {
        (Some((past, layer)), _) => {
            past.attend(layer, [&query, &key, &value], before.as_ref(), offsets, heads.count)
        }
        (None, Some([keys, values])) => op::attention_with_prefix(
            [&query, &key, &value],
            [keys, values],
            offsets,
            heads.count,
            heads.causal,
        ),
        (None, None) => op::attention(&query, &key, &value, offsets, heads.count, heads.causal),
    };
    Ok(cx.linear(paths.output, &mixed, Activation::Identity)?)
}
