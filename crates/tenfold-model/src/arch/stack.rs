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
    /// Where tokens of a batch stand, which goes on from a past where there is one.
    ///
    /// # Errors
    /// [`Error::TooLong`].
    fn places(&self, cx: &Scope<'_>, batch: &Batch, past: Option<&Past>) -> Result<Places, Error>;
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
pub(crate) struct Places {
    /// Where sequences begin.
    pub(crate) offsets: Offsets,
    /// The position of every token.
    pub(crate) positions: Arc<[u32]>,
    /// The angles of rotary positions, where the architecture has them.
    pub(crate) angles: Option<Angles>,
}

impl Places {
    /// Places behind a past and behind the longest prefix in the sockets of layers, of `most` positions.
    pub(super) fn of(
        cx: &Scope<'_>,
        batch: &Batch,
        past: Option<&Past>,
        most: usize,
        sockets: impl Iterator<Item = String>,
    ) -> Result<Self, Error> {
        let positions = positions(batch, past, prefix_rows(cx, sockets), most)?.into();
        Ok(Self { offsets: batch.offsets.clone(), positions, angles: None })
    }
}

/// The last hidden states of a batch, through all layers. A scope that checkpoints keeps of a layer only what it reads.
pub(super) fn through<S: Stack + Clone + 'static>(
    stack: &S,
    cx: &Scope<'_>,
    batch: &Batch,
    mut past: Option<&mut Past>,
) -> Result<Var, Error> {
    let places = stack.places(cx, batch, past.as_deref())?;
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
