//! What training says while it runs, and what it hands back.

use std::path::PathBuf;
use tenfold_weight::LeafId;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Before the first step of this call.
    Started {
        /// Steps already done, above 0 when a checkpoint was resumed.
        done: u64,
        /// Steps of the phase.
        steps: u64,
        /// Leaves that train at the next step.
        leaves: usize,
        /// Numbers in those leaves.
        parameters: usize,
    },
    /// A step was taken.
    Step {
        /// The step, from 0.
        step: u64,
        /// The loss before the update.
        loss: f64,
        /// The schedule's learning rate.
        rate: f64,
        /// Global norm of the gradient before clipping; 0 when nothing trained.
        norm: f64,
        /// Tokens that the model read for the loss, those of all ranks; 0 where the objective does not say.
        tokens: u64,
        /// Wall time of the step.
        seconds: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done.
        done: u64,
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// Whether to go on; the answer to every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Write a checkpoint, where there is a folder for it, and return.
    Stop,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Steps done in all, those of resumed runs included.
    pub steps_done: u64,
    /// Whether a [`Flow::Stop`] ended it before the last step.
    pub stopped: bool,
    /// The loss of every step, those of resumed runs included.
    pub losses: Vec<f64>,
    /// Leaves that were to train and never got a gradient, because the loss does not use them. They kept their bits.
    pub idle: Vec<LeafId>,
}
