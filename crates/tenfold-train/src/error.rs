//! What can go wrong in training.

use std::path::PathBuf;
use tenfold_weight::LeafId;
use thiserror::Error as Derive;

/// A fault in the options of a phase, in its numbers, or in a checkpoint.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum Error {
    /// An option outside its range.
    #[error("{option} is {got}; expected {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is allowed, in words.
        expected: String,
        /// What was given.
        got: f64,
    },
    /// A run without a name could resume any checkpoint.
    #[error("checkpoints need a run id: give the hash of everything that determines the run")]
    NoRunId,
    /// The device on which ops are computed failed; the tree is that of an earlier step, or worthless.
    #[error("step {step}: {fault}; take up the last checkpoint")]
    Device {
        /// The step, from 0.
        step: u64,
        /// What happened.
        fault: tenfold_tensor::device::Fault,
    },
    /// A selector of an optimizer group that matches no leaf.
    #[error("selector {selector:?} of an optimizer group matches no leaf; correct it or drop the group")]
    NothingSelected {
        /// The selector's text.
        selector: String,
    },
    /// No leaf trains at any step.
    #[error("no leaf trains at any of the {steps} steps; select at least one")]
    NothingTrains {
        /// Steps of the phase.
        steps: u64,
    },
    /// The loss does not depend on what trains.
    #[error(
        "step {step}: the loss depends on none of the {leaves} leaves that train; select leaves that the model uses"
    )]
    Detached {
        /// The step, from 0.
        step: u64,
        /// How many leaves train.
        leaves: usize,
    },
    /// The loss is infinite or not a number.
    #[error(
        "step {step}: the loss is {loss}; lower the learning rate, lengthen the warm-up or clip the gradient"
    )]
    NonFiniteLoss {
        /// The step, from 0.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// A gradient holds an infinity or something that is not a number, although the loss is finite.
    #[error("step {step}: the gradient of {leaf} is not finite; lower the learning rate or freeze that leaf")]
    NonFiniteGradient {
        /// The step, from 0.
        step: u64,
        /// The first such leaf in path order.
        leaf: LeafId,
    },
    /// A step whose batch holds nothing.
    #[error("step {step}: the batch is empty; give more data or fewer steps")]
    EmptyBatch {
        /// The step, from 0.
        step: u64,
    },
    /// Another rank failed.
    #[error("rank {rank} failed: {reason}")]
    OtherRank {
        /// The first that did.
        rank: usize,
        /// Its error, in words.
        reason: String,
    },
    /// Ranks stand at different steps.
    #[error(
        "rank {rank} stands after step {got}, the first one after step {expected}; give all of them the same checkpoint"
    )]
    OutOfStep {
        /// The first that differs.
        rank: usize,
        /// Steps that the first rank has done.
        expected: u64,
        /// Steps that it has done.
        got: u64,
    },
    /// Ranks hold different numbers.
    #[error(
        "after step {step} the weights of rank {rank} are not those of the first one; use processors of one kind, and go on from the last checkpoint"
    )]
    Diverged {
        /// Steps done.
        step: u64,
        /// The first that differs.
        rank: usize,
    },
    /// Ranks could not be heard.
    #[error(transparent)]
    Collective(#[from] crate::collective::CollectiveError),
    /// The objective failed.
    #[error("step {step}: the loss could not be computed: {source}")]
    Objective {
        /// The step, from 0.
        step: u64,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The monitor failed.
    #[error("step {step}: {source}")]
    Monitor {
        /// The step, from 0.
        step: u64,
        /// What failed.
        source: crate::monitor::MonitorFault,
    },
    /// Entries that a leaf does not have.
    #[error("{leaf} has {len} entries, so there is no entry {entry}")]
    NoSuchEntry {
        /// The leaf.
        leaf: LeafId,
        /// How many it has.
        len: usize,
        /// The entry asked for.
        entry: u32,
    },
    /// A checkpoint that does not fit.
    #[error("{}: {fault}", path.display())]
    Checkpoint {
        /// The checkpoint's file.
        path: PathBuf,
        /// What does not fit.
        fault: Box<CheckpointFault>,
    },
    /// The checkpoint's folder could not be made, cleared or synced.
    #[error("cannot write {}: check that the folder exists and may be written", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A leaf could not be found or a backward pass failed.
    #[error(transparent)]
    Weight(#[from] tenfold_weight::Error),
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Format(#[from] tenfold_format::Error),
}

impl Error {
    /// Whether every rank that trains has this error, or one that says the same.
    pub fn is_common(&self) -> bool {
        matches!(
            self,
            Self::EmptyBatch { .. }
                | Self::Detached { .. }
                | Self::NonFiniteLoss { .. }
                | Self::NonFiniteGradient { .. }
                | Self::OtherRank { .. }
                | Self::OutOfStep { .. }
                | Self::Diverged { .. }
        )
    }
}

/// Why a checkpoint cannot be resumed.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// The file holds no training state: a model, perhaps.
    #[error("not a training checkpoint; point to the folder that training wrote")]
    NoState,
    /// The state does not parse.
    #[error("the training state cannot be read ({0}); delete the checkpoint to start again")]
    State(serde_json::Error),
    /// Written by another version.
    #[error("version {got} of a training checkpoint, this program reads {known}; use a matching release")]
    Version {
        /// The version in the file.
        got: u64,
        /// The version that can be read.
        known: u64,
    },
    /// Written by another run.
    #[error("belongs to run {got}, this is run {expected}; delete it or use another folder")]
    OtherRun {
        /// This run.
        expected: String,
        /// The run that wrote it.
        got: String,
    },
    /// Further along than this run goes.
    #[error("stands after step {got}, this run has {steps}; use another folder")]
    Beyond {
        /// Steps of this run.
        steps: u64,
        /// Steps done when it was written.
        got: u64,
    },
    /// The number of losses differs from the number of steps.
    #[error("holds {got} losses of {expected} steps; delete it to start again")]
    Losses {
        /// Steps done when it was written.
        expected: u64,
        /// Losses in the file.
        got: usize,
    },
    /// A leaf that the tree does not have.
    #[error("holds {leaf}, which the tree does not have; delete the checkpoint to start again")]
    UnknownLeaf {
        /// The leaf.
        leaf: LeafId,
    },
    /// An array that the state promises.
    #[error("lacks {array} of {leaf}; delete the checkpoint to start again")]
    MissingArray {
        /// The leaf.
        leaf: LeafId,
        /// Which of its arrays: value, first or second moment.
        array: &'static str,
    },
    /// An array whose numbers are none that training writes there.
    #[error("holds {array} with numbers that mean nothing; delete it to start again")]
    Numbers {
        /// The array's name.
        array: String,
    },
    /// What the monitor knew is not what this run's monitor knows.
    #[error("was written under another monitor; delete it to start again")]
    Monitor,
    /// An array of another shape than the leaf.
    #[error(
        "holds {array} of {leaf} with shape {got:?}, expected {expected:?}; delete the checkpoint to start again"
    )]
    Shape {
        /// The leaf.
        leaf: LeafId,
        /// Which of its arrays.
        array: &'static str,
        /// The leaf's shape.
        expected: Vec<usize>,
        /// The array's shape.
        got: Vec<usize>,
    },
}
