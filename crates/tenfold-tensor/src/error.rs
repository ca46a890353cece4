//! What can go wrong at run time; broken shape preconditions panic instead.

use crate::Scheme;

/// A fault of the data given to an op, of an [`Offsets`](crate::Offsets), or of the use of a tape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Backward needs one number to start from.
    #[error(
        "the loss has shape {shape:?}, expected one element: reduce it with sum or a mean before backward"
    )]
    LossNotScalar {
        /// Shape of the value given as loss.
        shape: Vec<usize>,
    },
    /// The loss does not depend on any leaf of a tape.
    #[error(
        "the loss depends on no leaf of a tape: make leaves with Tape::leaf and do not detach on the way"
    )]
    LossUntracked,
    /// The loss was recorded on another tape.
    #[error("the loss was recorded on another tape: call backward on the tape that made its leaves")]
    ForeignTape,
    /// The gradient reached an op whose saved arrays an earlier backward has freed.
    #[error("the gradient reached an op that an earlier backward consumed: repeat the forward pass first")]
    Consumed,
    /// The gradient reached a value whose ops were not recorded, and nobody was there to compute them again.
    #[error("the gradient reached a value that is to be computed again: use Tape::backward_from")]
    Deferred,
    /// An index points past the rows of a table.
    #[error("id {id} at position {position} is outside a table of {rows} rows: check the vocabulary size")]
    IdOutOfRange {
        /// The offending id.
        id: u32,
        /// Its place in the list of ids.
        position: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// The bytes are not those of such a quantized matrix.
    #[error("a {rows} x {cols} matrix in scheme {scheme} has {}, got {got}", bytes(*.expected, *.scheme))]
    Codes {
        /// The scheme.
        scheme: Scheme,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        cols: usize,
        /// Bytes that such a matrix has; nothing where the scheme has no rows of so many columns.
        expected: Option<usize>,
        /// Bytes given.
        got: usize,
    },
    /// A class label is not one of the columns of the logits.
    #[error("target {target} at row {row} is outside {classes} classes: check the labels")]
    TargetOutOfRange {
        /// The offending label.
        target: u32,
        /// Its row.
        row: usize,
        /// Columns of the logits.
        classes: usize,
    },
    /// One target per row is needed.
    #[error("got {got} targets for {expected} rows: give one target per row")]
    TargetCount {
        /// Rows of the logits.
        expected: usize,
        /// Targets given.
        got: usize,
    },
    /// The mean over no rows is undefined.
    #[error("the batch has no rows, so its mean is undefined: skip empty batches")]
    EmptyBatch,
    /// Offsets must start at zero.
    #[error(
        "offsets must begin with 0, got {got:?}: give the start of every sequence and the total at the end"
    )]
    OffsetsStart {
        /// First entry, `None` when the list is empty.
        got: Option<usize>,
    },
    /// Offsets must not decrease.
    #[error("offsets decrease from {before} to {after} at entry {at}: sort them")]
    OffsetsDecrease {
        /// Index of the smaller entry.
        at: usize,
        /// The entry before it.
        before: usize,
        /// The entry itself.
        after: usize,
    },
    /// A row that is cut into blocks must be a whole number of them.
    #[error("rows of {width} weights are no whole number of blocks of {block}: {scheme} cannot hold them")]
    SchemeWidth {
        /// Name of the scheme.
        scheme: &'static str,
        /// Weights in a block.
        block: usize,
        /// Weights in a row.
        width: usize,
    },
    /// Data given to a scheme must be whole rows.
    #[error("{got} bytes or weights are no whole number of rows of {row} under {scheme}: check the shape")]
    SchemeBytes {
        /// Name of the scheme.
        scheme: &'static str,
        /// Bytes or weights of a row.
        row: usize,
        /// Bytes or weights given.
        got: usize,
    },
    /// A weight that no scale in half precision reaches.
    #[error(
        "the block at weight {position} holds a number that {scheme} cannot store: NaN, infinite or too large"
    )]
    SchemeValue {
        /// Name of the scheme.
        scheme: &'static str,
        /// First weight of the block.
        position: usize,
    },
    /// A scheme without a quantizer that rounds to the nearest code.
    #[error("{scheme} has no plain rounding: its scales need a search")]
    SchemeSearch {
        /// Name of the scheme.
        scheme: &'static str,
    },
}

fn bytes(expected: Option<usize>, scheme: Scheme) -> String {
    match expected {
        Some(count) => format!("{count} bytes"),
        None => format!("no rows of so many columns, which must be a multiple of {}", scheme.block()),
    }
}
