//! What computes with a tree: an architecture, and how its hidden states become sentence vectors.

use crate::arch::{Architecture, Kept, Output, Sizes};
use crate::batch::Batch;
use crate::error::Error;
use crate::past::Past;
use std::sync::Arc;
use tenfold_format::config::ModelConfig;
use tenfold_format::pipeline::{Pipeline, Pooling};
use tenfold_tensor::{Activation, Var, attention_numbers, op};
use tenfold_weight::{Part, Path, Scope, Tree};

/// The smallest length that a vector is divided by.
const NORM_FLOOR: f32 = 1e-12;

/// Turns packed token sequences into hidden states, and those into vectors or logits.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) arch: Arc<dyn Architecture>,
    /// Pooling and normalization.
    pub pipeline: Pipeline,
    /// Positions that the rows of a prefix take.
    pub(crate) reserved: usize,
}

impl Network {
    /// The sizes and settings of the architecture.
    pub fn config(&self) -> ModelConfig {
        self.arch.config()
    }

    /// One vector per sequence, B x D.
    ///
    /// # Errors
    /// As [`Network::hidden`].
    pub fn embed(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        Ok(self.pool(&self.hidden(cx, batch)?, batch))
    }

    /// The last hidden states, N x D; those of decoders have passed the final norm. Of an encoder-decoder they are those of
    /// the decoder, whose tokens the batch has, while its source is for the encoder.
    ///
    /// # Errors
    /// [`Error::TooLong`], ids outside the vocabulary, and faults of the tree.
    pub fn hidden(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        self.arch.hidden(cx, batch, None)
    }

    /// The last hidden states of the next tokens of every sequence of a past (N x D), which then has seen them. An
    /// encoder-decoder reads the source of the first batch, and of no other.
    ///
    /// # Errors
    /// [`Error::NoSource`] where an encoder-decoder has none to begin with;
    /// [`Error::NoOutput`] where the architecture is an encoder, which reads in both directions; as [`Network::hidden`].
    ///
    /// # Panics
    /// When the batch does not have the past's number of sequences.
    #[track_caller]
    pub fn go_on(&self, cx: &Scope<'_>, batch: &Batch, past: &mut Past) -> Result<Var, Error> {
        assert_eq!(batch.offsets.sequences(), past.lengths().len(), "sequences of a batch and of its past");
        self.decodes()?;
        let hidden = self.arch.hidden(cx, batch, Some(&mut *past))?;
        past.advance(&batch.offsets);
        Ok(hidden)
    }

    /// One vector per sequence from the last hidden states, B x D.
    pub fn pool(&self, hidden: &Var, batch: &Batch) -> Var {
        let pooled = match self.pipeline.pooling {
            Pooling::First => op::segment_first(hidden, &batch.offsets),
            _ => op::segment_mean(hidden, &batch.offsets),
        };
        if self.pipeline.normalize { op::l2_normalize(&pooled, NORM_FLOOR) } else { pooled }
    }

    /// Numbers of arrays, beside leaves and gradients of leaves, that a training step over N tokens in sequences of at most
    /// `longest` holds at most: what layers keep, and what passes through while gradients are computed. With `again` layers
    /// are computed again and only their inputs are kept. `weights` are those that may belong to modules in sockets, with their
    /// shapes. An estimate: dropout, heads and padding of arrays are left out.
    pub fn step_numbers<'w>(
        &self,
        tokens: usize,
        longest: usize,
        again: bool,
        weights: impl IntoIterator<Item = (Path, &'w [usize])>,
    ) -> usize {
        let Kept { layers, layer, heads, outside, passing, .. } = self.arch.kept();
        let (mut rows, mut modules) = (0, 0);
        let sockets = self.arch.wiring().sockets;
        for (path, shape) in weights {
            let part = sockets.iter().find_map(|socket| socket.part_of(&path));
            let &[units, width] = shape else { continue };
            match part {
                // The bottleneck's input, its units and their slopes.
                Some(Part::Down) => modules += tokens * (width + 2 * units),
                // Keys and values with those rows before every sequence.
                Some(Part::Keys | Part::Values) => {
                    rows = rows.max(units);
                    modules += tokens.div_ceil(longest.max(1)) * units * width;
                }
                _ => {}
            }
        }
        let layer =
            tokens * layer + attention_numbers(heads, tokens, longest, rows) + modules / layers.max(1);
        let inner = if again { layers * tokens * self.width() + layer } else { layers * layer };
        inner + tokens * (outside + passing)
    }

    /// Numbers of arrays that a training step holds at most for the guesses of M chosen tokens: logits with their gradient, and what
    /// stands before them. An estimate.
    pub fn guess_numbers(&self, chosen: usize) -> usize {
        chosen.saturating_mul(2 * self.sizes().vocabulary + 4 * self.width())
    }

    /// Numbers of arrays that a layer holds at most while N tokens pass through it and nothing is recorded. An estimate.
    pub fn pass_numbers(&self, tokens: usize) -> usize {
        tokens * self.arch.kept().layer
    }

    /// Numbers of what the model says of N tokens: hidden states of encoders, logits of decoders.
    pub fn answer_numbers(&self, tokens: usize) -> usize {
        tokens * if self.is_decoder() { self.sizes().vocabulary } else { self.width() }
    }

    /// Whether the architecture says which token comes next.
    pub fn is_decoder(&self) -> bool {
        self.arch.output().is_some()
    }

    /// Logits of the next token from last hidden states (N x D): N x V.
    ///
    /// # Errors
    /// [`Error::NoOutput`] where the architecture is an encoder, and faults of the tree.
    pub fn next_token(&self, cx: &Scope<'_>, hidden: &Var) -> Result<Var, Error> {
        let Output { path, scale, .. } = self.decodes()?;
        let scaled = (scale != 1.0).then(|| op::scale(hidden, scale));
        Ok(cx.linear(path, scaled.as_ref().unwrap_or(hidden), Activation::Identity)?)
    }

    /// Whether an encoder reads a source, to which a decoder writes the answer.
    pub fn reads_source(&self) -> bool {
        self.arch.start().is_some()
    }

    /// Logits of the next token after every token of a batch, N x V.
    ///
    /// # Errors
    /// As [`Network::hidden`] and [`Network::next_token`].
    pub fn logits(&self, cx: &Scope<'_>, batch: &Batch) -> Result<Var, Error> {
        self.next_token(cx, &self.hidden(cx, batch)?)
    }

    /// The longest text in tokens, special ones included.
    pub fn max_tokens(&self) -> usize {
        let positions = self.positions();
        self.pipeline.max_tokens.map_or(positions, |most| most.min(positions))
    }

    /// The most tokens that can be placed: the architecture's positions without those that a prefix takes.
    pub fn positions(&self) -> usize {
        self.sizes().positions.saturating_sub(self.reserved)
    }

    /// The same network, leaving the first `rows` positions to a prefix.
    pub fn reserving(&self, rows: usize) -> Self {
        Self { reserved: rows, ..self.clone() }
    }

    /// The length of a vector.
    pub fn width(&self) -> usize {
        self.sizes().width
    }

    fn decodes(&self) -> Result<Output, Error> {
        self.arch.output().ok_or_else(|| Error::NoOutput { architecture: self.config().architecture() })
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.arch.sizes()
    }
}

/// Rows of the longest prefix that a tree has in its sockets.
pub(crate) fn prefix_rows(tree: &Tree) -> usize {
    let cx = Scope::evaluate(tree);
    tree.wiring().sockets.iter().map(|socket| cx.prefix_rows(socket.path.as_str())).max().unwrap_or(0)
}
