//! The feed-forward blocks.

use crate::error::Error;
use tenfold_tensor::{Activation, Var, op};
use tenfold_weight::Scope;

/// `down(act(up(x)))`: N x D to N x F to N x D.
pub(crate) fn feed_forward(
    cx: &Scope<'_>,
    up: &str,
    down: &str,
    x: &Var,
    act: Activation,
) -> Result<Var, Error> {
    let hidden = cx.linear(up, x, act)?;
    Ok(cx.linear(down, &hidden, Activation::Identity)?)
}

/// Where the three weights of a gated block are, without `.weight`.
pub(crate) struct GatedPaths<'a> {
    pub(crate) gate: &'a str,
    pub(crate) up: &'a str,
    pub(crate) down: &'a str,
}

/// `down(act(gate(x)) up(x))`: N x D to N x F to N x D (Shazeer 2020, eq. 6).
pub(crate) fn gated_feed_forward(
    cx: &Scope<'_>,
    paths: &GatedPaths<'_>,
    x: &Var,
    act: Activation,
) -> Result<Var, Error> {
    let [gate, up] = cx.linears([paths.gate, paths.up], x)?;
    Ok(cx.linear(paths.down, &op::gated(&gate, &up, act), Activation::Identity)?)
}
