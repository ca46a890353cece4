//! The feed-forward blocks: one for all tokens, or those of experts among which a router chooses.

use crate::error::Error;
use tenfold_tensor::{Activation, Var, op};
use tenfold_weight::Scope;

/// Where the two weights of a block and the router before it are, without `.weight`.
pub(crate) struct FeedPaths<'a> {
    pub(crate) router: &'a str,
    pub(crate) up: &'a str,
    pub(crate) down: &'a str,
}

/// `down(act(up(x)))`: N x D to N x F to N x D.
pub(crate) fn feed_forward(
    cx: &Scope<'_>,
    paths: &FeedPaths<'_>,
    x: &Var,
    act: Activation,
) -> Result<Var, Error> {
    let &FeedPaths { router, up, down } = paths;
    let experts = cx.experts(router, x, |x, rows| {
        let hidden = cx.linear_each(up, x, rows, act)?;
        cx.linear_each(down, &hidden, rows, Activation::Identity)
    })?;
    if let Some(given) = experts {
        return Ok(given);
    }
    let hidden = cx.linear(up, x, act)?;
    Ok(cx.linear(down, &hidden, Activation::Identity)?)
}

/// Where the three weights of a gated block and the router before it are, without `.weight`.
pub(crate) struct GatedPaths<'a> {
    pub(crate) router: &'a str,
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
    let &GatedPaths { router, gate, up, down } = paths;
    let experts = cx.experts(router, x, |x, rows| {
        let [gate, up] = [gate, up].map(|path| cx.linear_each(path, x, rows, Activation::Identity));
        cx.linear_each(down, &op::gated(&gate?, &up?, act), rows, Activation::Identity)
    })?;
    if let Some(given) = experts {
        return Ok(given);
    }
    let [gate, up] = cx.linears([gate, up], x)?;
    Ok(cx.linear(down, &op::gated(&gate, &up, act), Activation::Identity)?)
}
