//! What can go wrong in choosing and applying a method.

use tenfold_tensor::{Inexact, Unfit};
use tenfold_weight::Path;
use thiserror::Error as Derive;

/// A fault in a method's options, its evidence or its arithmetic.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum Error {
    /// No method has this name.
    #[error("unknown method {name:?}{}; known methods: {}", nearest.as_ref().map(|n| format!(", did you mean {n:?}?")).unwrap_or_default(), known.join(", "))]
    UnknownMethod {
        /// The name asked for.
        name: String,
        /// The known name that looks most like it.
        nearest: Option<String>,
        /// Every known name.
        known: Vec<String>,
    },
    /// The method has no such option.
    #[error("method {method} has no option {option:?}{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    UnknownOption {
        /// The method's name.
        method: &'static str,
        /// The option given.
        option: String,
        /// The known option that looks most like it.
        nearest: Option<String>,
    },
    /// An option's value has the wrong type or lies outside its range.
    #[error("option {option} of method {method} is {got}; expected {expected}")]
    OptionValue {
        /// The method's name.
        method: &'static str,
        /// The option.
        option: &'static str,
        /// What is allowed, in words.
        expected: String,
        /// What was given.
        got: String,
    },
    /// Two options that exclude each other.
    #[error("method {method} takes {first} or {second}, not both")]
    Exclusive {
        /// The method's name.
        method: &'static str,
        /// One option.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A selected weight is no matrix.
    #[error("{path} has shape {got:?}; only matrices can be rewritten, narrow the selector")]
    NotAMatrix {
        /// The weight's path.
        path: Path,
        /// Its shape.
        got: Vec<usize>,
    },
    /// A bias that goes with a matrix was selected without it.
    #[error("{path} is stretched with the outputs of {weight}, which is not selected; select both")]
    BiasAlone {
        /// The bias.
        path: Path,
        /// Its matrix.
        weight: Path,
    },
    /// A row that is no whole number of blocks.
    #[error(
        "{path} has rows of {width}, no multiple of the {block} of {scheme}; leave it out, or round it in groups (bits, group)"
    )]
    BlockWidth {
        /// The weight's path.
        path: Path,
        /// Columns of the weight.
        width: usize,
        /// Weights of a block.
        block: usize,
        /// The scheme.
        scheme: String,
    },
    /// A product of a rank that the matrix does not have.
    #[error(
        "{path} has rank {most} at most; a product of rank {rank} beside it cannot be of use, lower the rank"
    )]
    Rank {
        /// The weight's path.
        path: Path,
        /// The rank asked for.
        rank: usize,
        /// The smaller side of the matrix.
        most: usize,
    },
    /// A weight that is to be squeezed is no matrix product operator with cores of its own.
    #[error("{path} is {got}; only matrix product operators can be squeezed, leave it out of the step")]
    NotAnOperator {
        /// The weight's path.
        path: Path,
        /// Its form.
        got: String,
    },
    /// A selected weight is already in a form this method does not read.
    #[error("{path} is {got}; this method rewrites dense weights, put its step first")]
    NotDense {
        /// The weight's path.
        path: Path,
        /// The form found.
        got: String,
    },
    /// Codes that have no groups with a scale of their own.
    #[error(
        "{path}: {source}; only codes in groups have tables of scales and shifts, round it with bits and group"
    )]
    NoGroups {
        /// The weight's path.
        path: Path,
        /// Why there are none.
        source: Inexact,
    },
    /// Scales or shifts that no codes in groups hold.
    #[error("{path} cannot go back into the affine scheme: {source}; keep its tables")]
    Unfit {
        /// The weight's path.
        path: Path,
        /// The first number without a place.
        source: Unfit,
    },
    /// The factor lists of an MPO do not cover the weight.
    #[error("{path} is {rows} x {cols}, but the factors make {padded_rows} x {padded_cols}")]
    Factors {
        /// The weight's path.
        path: Path,
        /// Rows of the weight.
        rows: usize,
        /// Columns of the weight.
        cols: usize,
        /// Product of the row factors.
        padded_rows: usize,
        /// Product of the column factors.
        padded_cols: usize,
    },
    /// Activation statistics that a method needs were not collected for a weight.
    #[error(
        "{path}: no activation statistics were collected; the model never used this weight on the calibration text"
    )]
    NoEvidence {
        /// The weight's path.
        path: Path,
    },
    /// A socket that holds a module already.
    #[error("{socket} holds a module already; leave it out of the step, or start from a model without one")]
    Taken {
        /// The socket.
        socket: Path,
    },
    /// More groups of layers than layers.
    #[error(
        "{kind} has {layers} layers, which do not make {groups} groups; ask for {layers} at most, or select more layers"
    )]
    Groups {
        /// The paths of the layers' weights.
        kind: String,
        /// How many there are.
        layers: usize,
        /// How many groups were asked for.
        groups: usize,
    },
    /// Weights that can only change together are not all selected.
    #[error(
        "{space} can only change as a whole: {selected} is selected and {path} is not; select both, or switch the \
         option off"
    )]
    CoMoving {
        /// The weight that is not selected.
        path: Path,
        /// One that is.
        selected: Path,
        /// The space that both belong to.
        space: String,
    },
    /// The tree does not say how its weights meet.
    #[error(
        "the model does not say how its weights meet, so no change of basis is known to keep its function"
    )]
    NoWiring,
    /// A rotation was asked for where only the order of coordinates is free.
    #[error(
        "{space} cannot be rotated: gains of norms lie on it or it has no norms; residual = \"order\" is what this \
         architecture allows"
    )]
    NoRotation {
        /// The space.
        space: String,
    },
    /// A norm switches a coordinate off and adds a constant in its place, which no other basis can express.
    #[error(
        "{path} is 0 at {index} where the bias beside it is not, so the norm cannot be folded into its readers"
    )]
    ZeroGain {
        /// The norm's gain.
        path: Path,
        /// The coordinate.
        index: usize,
    },
    /// The budget is below the smallest size that the candidates reach.
    #[error("a budget of {budget} {unit} cannot be met; the least possible is {least}")]
    Budget {
        /// What is allowed.
        budget: usize,
        /// The smallest choice of every weight.
        least: usize,
        /// What both count: parameters or bytes.
        unit: &'static str,
    },
    /// A decomposition failed.
    #[error("{path}: {source}")]
    Linalg {
        /// The weight's path.
        path: Path,
        /// What failed.
        source: tenfold_linalg::Error,
    },
    /// A form could not be built.
    #[error(transparent)]
    Weight(#[from] tenfold_weight::Error),
}

/// Names the path of a failed decomposition.
pub(crate) trait At<T> {
    /// Adds the path to the error.
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> At<T> for Result<T, tenfold_linalg::Error> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Linalg { path: path.clone(), source })
    }
}
