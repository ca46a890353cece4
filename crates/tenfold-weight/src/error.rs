//! What can go wrong with weights and trees.

use crate::path::{Address, Path};
use thiserror::Error as Derive;

/// A fault in a tree, a form or a selector. Every variant names the weight or the selector.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum Error {
    /// The tree has no weight at a path.
    #[error("no weight at {path}{}", nearest.as_ref().map(|near| format!("; did you mean {near}?")).unwrap_or_default())]
    Missing {
        /// The path asked for.
        path: Path,
        /// The path in the tree that looks most like it.
        nearest: Option<Path>,
    },
    /// An address leads to no part of its weight's form.
    #[error("{address} leads to no part of that weight's form ({kind})")]
    NoSuchPart {
        /// The address asked for.
        address: Address,
        /// The form that is there.
        kind: String,
    },
    /// A weight's shape is not what its use requires.
    #[error("{path} has shape {got:?}, expected {expected}")]
    Shape {
        /// The weight's path.
        path: Path,
        /// What the use requires, in words.
        expected: String,
        /// The shape found.
        got: Vec<usize>,
    },
    /// A weight where an architecture has a place for modules, which is none of any module.
    #[error("{path} is no weight of a module that {socket} can hold")]
    NoModule {
        /// The weight's path.
        path: Path,
        /// The socket's.
        socket: Path,
    },
    /// Several experts where one matrix is needed.
    #[error("{path} holds several experts, and nothing says which of them sees what")]
    NotRouted {
        /// The weight's path.
        path: Path,
    },
    /// One matrix where several experts are needed.
    #[error("{path} is one matrix, and a router chooses among experts")]
    NoExperts {
        /// The weight's path.
        path: Path,
    },
    /// The leaves of a form do not fit together.
    #[error("the {form} form cannot hold {expected}; got {got:?}")]
    Parts {
        /// The form's word.
        form: &'static str,
        /// What was expected.
        expected: String,
        /// The shape found.
        got: Vec<usize>,
    },
    /// A shared form's owner is missing, shares in turn without end, or has another shape.
    #[error("{path} shares {owner}, {fault}")]
    Owner {
        /// The path of the weight that shares.
        path: Path,
        /// The owner it names.
        owner: Address,
        /// What is wrong with the owner.
        fault: OwnerFault,
    },
    /// A selector cannot be read.
    #[error("selector {selector:?}: {fault}")]
    Selector {
        /// The selector's text.
        selector: String,
        /// What is wrong with it.
        fault: SelectorFault,
    },
    /// A record names a form that this version cannot build.
    #[error("cannot build a form from the record {record}")]
    UnknownRecord {
        /// The record as it was read.
        record: String,
    },
    /// Codes of a scheme that this version does not know.
    #[error("unknown quantization scheme {scheme}")]
    UnknownScheme {
        /// The scheme as it was read.
        scheme: String,
    },
    /// A part of a step failed when it was computed again.
    #[error("computing a part of the step again")]
    Part(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A factor list is not usable.
    #[error(transparent)]
    Linalg(#[from] tenfold_linalg::Error),
    /// An op or the backward pass failed.
    #[error(transparent)]
    Tensor(#[from] tenfold_tensor::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Format(#[from] tenfold_format::Error),
}

/// What is wrong with a shared form's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Derive)]
pub enum OwnerFault {
    /// There is no such weight or part.
    #[error("which does not exist")]
    Missing,
    /// Following owners leads back to the start.
    #[error("which leads back to itself")]
    Cycle,
    /// The owner's shape differs.
    #[error("which has another shape")]
    Shape,
}

/// What is wrong with a selector.
#[derive(Clone, Debug, PartialEq, Eq, Derive)]
pub enum SelectorFault {
    /// A bracket without its partner.
    #[error("unbalanced {0}")]
    Unbalanced(char),
    /// Two dots in a row, a dot at an end, or no text.
    #[error("empty segment (a dot at an end, two dots in a row, or no text)")]
    EmptySegment,
    /// The word after `#` is no role.
    #[error(
        "unknown role {0:?}; roles are value, central, auxiliary, down, up, scale, shift, magnitude, router"
    )]
    UnknownRole(String),
    /// The text between square brackets is no list of numbers and ranges.
    #[error("bad range [{0}]; write [0-5] or [0-5,8]")]
    BadRange(String),
    /// Braces expand to too many patterns.
    #[error("more than {0} alternatives")]
    TooManyAlternatives(usize),
}
