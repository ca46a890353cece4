//! Architectures whose layers stand one on the other: what comes before them, each by itself, and what comes after.

use super::{positions, prefix_rows};
use crate::batch::Batch;
use crate::error::Error;
use crate::past::Past;
use std::sync::Arc;
use tenfold_tensor::op::Angles;
use tenfold_tensor::{Offsets, Var};
use tenfold_weight::Scope;

/// Layers of one kind, each of which reads nothing but what the one before it gives and where tokens stand.
pub(crate) trait Stack: Send + Sync {
    /// How many layers there are.
    fn layers(&self) -> usize;
    /// What the paths of a layer's weights begin with, without the dot after it.
    fn stem(&self, layer: usize) -> String;
    /// The socket of a layer's prefix, behind the stem and a dot.
    fn before_keys(&self) -> &'static str;
    /// The most tokens of a sequence.
    fn positions(&self) -> usize;
    /// The angles of positions, where the architecture turns queries and keys.
    fn angles(&self, _positions: &[u32]) -> Option<Angles> {
        None
    }
    /// What the first layer reads, N x D.
    fn enter(&self, cx: &Scope<'_>, batch: &Batch, places: &Places) -> Result<Var, Error>;
    /// What a layer makes of what it reads, N x D to N x D.
    fn layer(
        &self,
        cx: &Scope<'_>,
        layer: usize,
        x: &Var,
        places: &Places,
        past: Option<&mut Past>,
    ) -> Result<Var, Error>;
    /// The last hidden states from what the last layer gives, N x D.
    fn leave(&self, cx: &Scope<'_>, x: Var) -> Result<Var, Error>;
    /// Columns of the inputs that a layer's linear maps read, one number for maps that read the same.
    fn inputs(&self) -> Vec<usize>;
}

/// Where the tokens of a batch stand. Cloning is cheap.
#[derive(Clone)]
pub struct Places {
    /// Where sequences begin.
    pub(crate) offsets: Offsets,
    /// The position of every token.
    pub(crate) positions: Arc<[u32]>,
    /// The angles of rotary positions, where the architecture has them.
    pub(crate) angles: Option<Angles>,
}

impl Places {
    /// Those of a batch behind a past, where there is one, and behind the longest prefix in the sockets of layers.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    pub(crate) fn of(
        stack: &dyn Stack,
        cx: &Scope<'_>,
        batch: &Batch,
        past: Option<&Past>,
    ) -> Result<Self, Error> {
        let sockets =
            (0..stack.layers()).map(|layer| format!("{}.{}", stack.stem(layer), stack.before_keys()));
        let positions = positions(batch, past, prefix_rows(cx, sockets), stack.positions())?;
        let angles = stack.angles(&positions);
        Ok(Self { offsets: batch.offsets.clone(), positions: positions.into(), angles })
    }
}

/// The last hidden states of a batch, through all layers. A scope that checkpoints keeps of a layer only what it reads.
pub(super) fn through<S: Stack + Clone + 'static>(
    stack: &S,
    cx: &Scope<'_>,
    batch: &Batch,
    mut past: Option<&mut Past>,
) -> Result<Var, Error> {
    let places = Places::of(stack, cx, batch, past.as_deref())?;
    let mut x = stack.enter(cx, batch, &places)?;
    for layer in 0..stack.layers() {
        x = match past.as_deref_mut() {
            Some(past) => stack.layer(cx, layer, &x, &places, Some(past))?,
            None => {
                let (stack, places) = (stack.clone(), places.clone());
                cx.part([&x], move |cx, [x]| stack.layer(cx, layer, x, &places, None))?
            }
        };
    }
    stack.leave(cx, x)
}
