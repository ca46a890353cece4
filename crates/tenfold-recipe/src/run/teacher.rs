//! The untouched model's answers, computed once per batch and kept in memory within a limit, so that several variants
//! can learn from one teacher.

use super::batch::Batches;
use crate::error::Error;
use std::cell::RefCell;
use std::collections::BTreeMap;
use tenfold_model::{Batch, Model};
use tenfold_tensor::Array;
use tenfold_train::Share;
use tenfold_weight::Scope;

/// What the untouched model makes of one batch.
#[derive(Clone, Debug)]
pub enum Target {
    /// Of an encoder.
    Vectors {
        /// Sentence vectors, B x D.
        vectors: Array,
        /// Last hidden states, N x D.
        hidden: Array,
        /// Mean of the squared hidden states.
        hidden_square: f64,
    },
    /// Of a decoder.
    NextToken {
        /// Logits of the next token, N x V.
        logits: Array,
    },
}

impl Target {
    fn of(model: &Model, batch: &Batch) -> Result<Self, Error> {
        let scope = Scope::evaluate(&model.tree);
        if model.network.is_decoder() {
            return Ok(Self::NextToken { logits: model.network.logits(&scope, batch)?.value().clone() });
        }
        let hidden = model.network.hidden(&scope, batch)?;
        let vectors = model.network.pool(&hidden, batch).value().clone();
        let hidden = hidden.value().clone();
        let square: f64 = hidden.data().iter().map(|value| f64::from(*value).powi(2)).sum();
        let hidden_square = square / hidden.len().max(1) as f64;
        Ok(Self::Vectors { vectors, hidden, hidden_square })
    }

    fn bytes(&self) -> usize {
        let numbers = match self {
            Self::Vectors { vectors, hidden, .. } => vectors.len() + hidden.len(),
            Self::NextToken { logits } => logits.len(),
        };
        size_of::<f32>() * numbers
    }
}

/// Answers by batch.
pub struct Teacher {
    limit: usize,
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    targets: BTreeMap<([u8; 32], u64, Share), Target>,
    bytes: usize,
}

impl Teacher {
    /// A teacher that keeps at most `limit` bytes of answers; what comes later is computed whenever it is asked for.
    pub fn new(limit: usize) -> Self {
        Self { limit, kept: RefCell::default() }
    }

    /// The answer of `model` to a share of the batch of a step, which is `batch`.
    ///
    /// # Errors
    /// Faults of the model.
    pub fn target(
        &self,
        model: &Model,
        batches: &Batches,
        (step, share): (u64, Share),
        batch: &Batch,
    ) -> Result<Target, Error> {
        let key = (batches.id(), step, share);
        if let Some(known) = self.kept.borrow().targets.get(&key) {
            return Ok(known.clone());
        }
        let target = Target::of(model, batch)?;
        let bytes = target.bytes();
        let mut kept = self.kept.borrow_mut();
        if kept.bytes + bytes <= self.limit {
            kept.bytes += bytes;
            kept.targets.insert(key, target.clone());
        }
        Ok(target)
    }

    /// Bytes of the answers that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.kept.borrow().bytes
    }
}
