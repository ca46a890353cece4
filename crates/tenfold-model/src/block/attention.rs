//! Multi-head self-attention over packed sequences.

use crate::error::Error;
use tenfold_tensor::{Activation, Offsets, Var, op};
use tenfold_weight::Scope;

/// Where the four weights are, without `.weight`.
pub(crate) struct AttentionPaths<'a> {
    pub(crate) query: &'a str,
    pub(crate) key: &'a str,
    pub(crate) value: &'a str,
    pub(crate) output: &'a str,
}

/// Self-attention of x (N x D) and the output projection: N x D.
pub(crate) fn attention(
    cx: &Scope<'_>,
    paths: &AttentionPaths<'_>,
    x: &Var,
    offsets: &Offsets,
    heads: usize,
) -> Result<Var, Error> {
    let query = cx.linear(paths.query, x, Activation::Identity)?;
    let key = cx.linear(paths.key, x, Activation::Identity)?;
    let value = cx.linear(paths.value, x, Activation::Identity)?;
    let mixed = op::attention(&query, &key, &value, offsets, heads, false);
    Ok(cx.linear(paths.output, &mixed, Activation::Identity)?)
}
