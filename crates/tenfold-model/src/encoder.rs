//! A sentence encoder: an architecture, a pooling and perhaps a normalization.

use crate::arch::bert::Bert;
use crate::batch::Batch;
use crate::error::Error;
use tenfold_format::pipeline::{Pipeline, Pooling};
use tenfold_tensor::{Var, op};
use tenfold_weight::Scope;

/// The smallest length that a vector is divided by.
const NORM_FLOOR: f32 = 1e-12;

/// Turns packed token sequences into one vector each.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The architecture.
    pub bert: Bert,
    /// Pooling and normalization.
    pub pipeline: Pipeline,
}

impl Encoder {
    /// One vector per sequence, B x D.
    ///
    /// # Errors
    /// As [`Bert::hidden`].
    pub fn embed(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        Ok(self.pool(&self.hidden(cx, batch)?, batch))
    }

    /// The last hidden states, N x D.
    ///
    /// # Errors
    /// As [`Bert::hidden`].
    pub fn hidden(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        self.bert.hidden(cx, batch)
    }

    /// One vector per sequence from the last hidden states, B x D.
    pub fn pool(&self, hidden: &Var, batch: &Batch) -> Var {
        let pooled = match self.pipeline.pooling {
            Pooling::First => op::segment_first(hidden, &batch.offsets),
            _ => op::segment_mean(hidden, &batch.offsets),
        };
        if self.pipeline.normalize { op::l2_normalize(&pooled, NORM_FLOOR) } else { pooled }
    }

    /// The longest text in tokens, special ones included.
    pub fn max_tokens(&self) -> usize {
        let positions = self.bert.config.positions;
        self.pipeline.max_tokens.map_or(positions, |most| most.min(positions))
    }

    /// The length of a vector.
    pub fn width(&self) -> usize {
        self.bert.config.width
    }
}
