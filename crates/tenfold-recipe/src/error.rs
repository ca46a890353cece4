//! What can go wrong between a recipe and its receipt.

use crate::fault::Fault;
use crate::run::Stage;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error as Derive;

/// A fault in a recipe, its files, or its run.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum Error {
    // Recipes.
    /// Faults of a recipe, found by reading it or by matching it against a tree.
    #[error("{}", lines(path, faults))]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// Everything that is wrong, in the order of the text.
        faults: Vec<Fault>,
    },

    /// A model that begins with random weights has none that could wait in a file.
    #[error("a new model has no file that its layers could be read from; take streamed out of [calibration]")]
    NothingWaits,

    // Files.
    /// A file cannot be read.
    #[error("cannot read {}; check that it exists and may be read", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}; check that its folder may be written and the disk is not full", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any of its kind should be.
    #[error("{} has {got} bytes, more than the {most} that are read; is it the right file?", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes that are read at most.
        most: u64,
        /// Bytes it has.
        got: u64,
    },
    /// A text file that is not UTF-8.
    #[error("{} is not UTF-8 at byte {offset}; convert the file", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The first byte that belongs to no character.
        offset: usize,
    },
    /// A text file without a single text.
    #[error("{} holds no text; write one text a line", .path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// A single text that is longer than any that is held in memory.
    #[error(
        "{} holds a text of more than {most} bytes; break it into lines, or put lines <|endoftext|> between texts", .path.display()
    )]
    LongText {
        /// The file.
        path: PathBuf,
        /// Bytes that a text may have.
        most: u64,
    },
    /// A file of a run cannot be understood.
    #[error("{} is not what a run writes there; remove it, or start anew without resuming", .path.display())]
    BadState {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<toml::de::Error>,
    },
    /// The record of a run cannot be written as TOML.
    #[error("{} cannot be written as TOML", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<toml::ser::Error>,
    },

    // Runs.
    /// Another process works in the folder.
    #[error("another run works in {}; wait for it, or choose another folder", .path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// No source of the model answered.
    #[error("no source of the model answered: {}", sources(tried))]
    NoSource {
        /// Every source with what went wrong, in order.
        tried: Vec<(String, tenfold_format::Error)>,
    },
    /// A task reads files from a data folder, and none was given.
    #[error("task {task} needs a data folder; give one with --data, or take it out of eval.tasks")]
    NeedsData {
        /// The task.
        task: &'static str,
    },
    /// Squeezing was asked to go below what its cuts can reach.
    #[error(
        "squeezing to {target} parameters cannot be reached: with every bond that may be lowered at 1, {least} are left; raise squeeze.to or let more bonds be lowered"
    )]
    Squeeze {
        /// Parameters asked for.
        target: usize,
        /// The least possible.
        least: usize,
    },
    /// A weight that a phase should rank is no plain matrix.
    #[error(
        "{path} is {form}; only plain matrices can be ranked and grow: take it out of the step with opf, or the step before it"
    )]
    Grow {
        /// The weight's path.
        path: tenfold_weight::Path,
        /// Its form, in words.
        form: String,
    },
    /// A repetition found something else than the first run.
    #[error(
        "{what} is not what the receipt's run read (sha-256 {expected}, now {got}); to run it anyway, remove the \
         receipt's table [receipt]"
    )]
    Changed {
        /// What was hashed.
        what: String,
        /// The hash in the receipt.
        expected: String,
        /// The hash now.
        got: String,
    },
    /// A rewritten weight holds a NaN or an infinity.
    #[error("{path} is not finite after its rewrite to {form}; this should not happen with finite weights")]
    NotFinite {
        /// The weight's path.
        path: tenfold_weight::Path,
        /// The form it was given.
        form: String,
    },
    /// The texts hold no token to work with.
    #[error("the {purpose} text gives no tokens; give longer texts")]
    NoTokens {
        /// What the text is for.
        purpose: &'static str,
    },
    /// Ranks that do not do the same.
    #[error(
        "rank {rank} differs from the first one in {}; give all of them the same program, recipe, data and model, on processors of one kind",
        what.join(", ")
    )]
    RanksDiffer {
        /// The first rank that differs.
        rank: usize,
        /// What is not the same, or on one side alone.
        what: Vec<String>,
    },
    /// Something that is not divided among ranks.
    #[error("{place} {what}, which one process does alone: run the recipe without mpirun")]
    OneProcess {
        /// Which part of the recipe.
        place: String,
        /// What it does.
        what: &'static str,
    },
    /// The run was stopped; what is finished is kept and the same command goes on from there.
    #[error("stopped during: {stage}")]
    Interrupted {
        /// Where it stopped.
        stage: Stage,
    },

    // The crates below.
    /// A file of a model.
    #[error(transparent)]
    Format(#[from] tenfold_format::Error),
    /// A tree or a form.
    #[error(transparent)]
    Weight(#[from] tenfold_weight::Error),
    /// An op or the backward pass.
    #[error(transparent)]
    Tensor(#[from] tenfold_tensor::Error),
    /// A decomposition while errors are measured.
    #[error(transparent)]
    Linalg(#[from] tenfold_linalg::Error),
    /// A model.
    #[error(transparent)]
    Model(Box<tenfold_model::Error>),
    /// A method.
    #[error(transparent)]
    Method(#[from] tenfold_method::Error),
    /// Training.
    #[error(transparent)]
    Train(Box<tenfold_train::Error>),
    /// Evaluation.
    #[error(transparent)]
    Eval(#[from] tenfold_eval::Error),
}

// Boxed: every result of this crate would be as large as they are.
impl From<tenfold_model::Error> for Error {
    fn from(error: tenfold_model::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

impl From<tenfold_train::CollectiveError> for Error {
    fn from(error: tenfold_train::CollectiveError) -> Self {
        tenfold_train::Error::from(error).into()
    }
}

impl Error {
    /// Whether every rank of a run has this error, or one that says the same: it is enough that one of them tells.
    pub fn is_common(&self) -> bool {
        match self {
            Self::RanksDiffer { .. } | Self::OneProcess { .. } | Self::Interrupted { .. } => true,
            Self::Train(error) => error.is_common(),
            _ => false,
        }
    }

    /// Whether another rank has the fault, and tells of it.
    pub fn is_of_another_rank(&self) -> bool {
        matches!(self, Self::Train(error) if matches!(**error, tenfold_train::Error::OtherRank { .. }))
    }
}

impl From<tenfold_train::Error> for Error {
    fn from(error: tenfold_train::Error) -> Self {
        Self::Train(Box::new(error))
    }
}

/// One line per fault, as compilers write them.
fn lines(path: &Path, faults: &[Fault]) -> String {
    let line = |fault: &Fault| match fault.line {
        0 => format!("{}: {}", path.display(), fault.problem),
        _ => format!("{}:{fault}", path.display()),
    };
    faults.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn sources(tried: &[(String, tenfold_format::Error)]) -> String {
    tried.iter().map(|(source, error)| format!("{source} ({error})")).collect::<Vec<_>>().join("; ")
}
