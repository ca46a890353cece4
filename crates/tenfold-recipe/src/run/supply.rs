//! Where the batches of a phase come from that learns from plain text: from memory, or from files pile by pile.

use super::batch::Batches;
use super::begin::Begins;
use super::cut::Cut;
use super::light::Governed;
use super::phase::Place;
use super::stream::Stream;
use crate::error::Error;
use crate::recipe::Reading;
use crate::text::{CHUNK, Parts};
use std::sync::Arc;
use tenfold_model::Batch;
use tenfold_train::Share;

/// Chunks of a MiB.
const CHUNKS: usize = (1 << 20) / CHUNK as usize;

/// Text that is about to be learned from.
pub(super) enum Plain<'m> {
    /// All of it in memory.
    Held(Arc<[Vec<u32>]>),
    /// More than may be held.
    Large {
        /// The files.
        parts: Parts,
        /// Parts of a pile.
        per_pile: usize,
        /// How their texts become sequences.
        cut: Cut<'m>,
    },
}

impl<'m> Plain<'m> {
    /// Parts that are shuffled together.
    pub(super) fn per_pile(reading: Reading) -> usize {
        reading.shuffle.saturating_mul(CHUNKS)
    }

    /// The batches of a phase of so many steps, those that must be known beforehand included, and how many a pass over the text
    /// has; of a large text it is only counted where a method asks for a pass.
    ///
    /// # Errors
    /// Faults of the text and the tokenizer.
    pub(super) fn supply(
        self,
        seed: u64,
        tokens: usize,
        steps: u64,
        governed: &Governed<'_>,
        place: Option<&Place>,
    ) -> Result<(Supply<'m>, u64), Error> {
        Ok(match self {
            Self::Held(sequences) => {
                let pass = Batches::pass(&sequences, seed, tokens);
                let batches = Batches::new(sequences, seed, tokens, steps.max(governed.batches(pass)));
                (Supply::Held(batches), pass)
            }
            Self::Large { parts, per_pile, cut } => {
                let stream = Stream::new(parts, per_pile, cut, (seed, tokens), Begins::open(place)?);
                let asked = governed.batches(u64::MAX) == u64::MAX;
                let pass = if asked { stream.pass()? } else { 0 };
                (Supply::Large(stream), pass)
            }
        })
    }
}

/// Batches, by their steps.
pub(super) enum Supply<'m> {
    /// Of text in memory.
    Held(Batches),
    /// Of files.
    Large(Stream<'m>),
}

impl Supply<'_> {
    /// The batch of a step, from 0.
    ///
    /// # Errors
    /// Faults of the text and the tokenizer.
    pub(super) fn batch(&self, step: u64) -> Result<Batch, Error> {
        match self {
            Self::Held(batches) => Ok(batches.batch(step)),
            Self::Large(stream) => stream.batch(step),
        }
    }

    /// A share of the batch of a step; nothing where it is empty.
    ///
    /// # Errors
    /// Faults of the text and the tokenizer.
    pub(super) fn share(&self, step: u64, share: Share) -> Result<Option<Batch>, Error> {
        match self {
            Self::Held(batches) => Ok(batches.share(step, share)),
            Self::Large(stream) => {
                let whole = stream.batch(step)?;
                let range = share.range(whole.offsets.ranges().map(|range| range.len()));
                let sequences: Vec<&[u32]> = range.map(|at| &whole.ids[whole.offsets.range(at)]).collect();
                Ok((!sequences.is_empty()).then(|| Batch::from_sequences(&sequences)))
            }
        }
    }

    /// Some of the sequences.
    ///
    /// # Errors
    /// Faults of the text and the tokenizer.
    pub(super) fn some(&self) -> Result<Arc<[Vec<u32>]>, Error> {
        match self {
            Self::Held(batches) => Ok(batches.sequences()),
            Self::Large(stream) => stream.first(),
        }
    }
}
