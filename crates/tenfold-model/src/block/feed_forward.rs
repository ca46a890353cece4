//! The two-layer feed-forward block.

use crate::error::Error;
use tenfold_tensor::{Activation, Var};
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
