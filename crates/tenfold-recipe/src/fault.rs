//! What can be wrong with a recipe, each fault with its place. A recipe's faults are collected and shown together.

use crate::place::Place;
use crate::plan::Near;
use std::fmt;
use tenfold_format::source::SourceError;
use thiserror::Error as Derive;

/// One fault and where it stands.
#[derive(Debug)]
pub struct Fault {
    /// Line, from 1; 0 for steps that were made in code.
    pub line: usize,
    /// Column in characters, from 1; 0 for steps that were made in code.
    pub column: usize,
    /// What is wrong.
    pub problem: Problem,
}

impl Fault {
    pub(crate) fn at(place: Place, problem: Problem) -> Self {
        Self { line: place.line, column: place.column, problem }
    }

    /// What is wrong, in words.
    pub fn message(&self) -> String {
        self.problem.to_string()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.line, self.column, self.problem)
    }
}

/// What is wrong in one place of a recipe.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum Problem {
    // Found by reading the recipe alone.
    /// The text is no TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// A key that this table does not have.
    #[error("{table} has no key {key:?}{}; its keys are {}", hint(.nearest.as_deref()), .known.join(", "))]
    UnknownKey {
        /// The table, as its header is written.
        table: &'static str,
        /// The key found.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
        /// Every key of the table.
        known: Vec<&'static str>,
    },
    /// A key that must be given and is not.
    #[error("{table} needs the key {key:?}: {expected}")]
    MissingKey {
        /// The table, as its header is written.
        table: &'static str,
        /// The key.
        key: &'static str,
        /// What it says, in words.
        expected: String,
    },
    /// A value of another type.
    #[error("{key} is {got}; expected {expected}")]
    WrongType {
        /// The key.
        key: String,
        /// What is expected, in words.
        expected: String,
        /// The type found.
        got: &'static str,
    },
    /// A value outside its range.
    #[error("{key} is {got}; expected {expected}")]
    OutOfRange {
        /// The key.
        key: String,
        /// What is expected, in words.
        expected: String,
        /// The value found.
        got: String,
    },
    /// A word that is none of those known here.
    #[error("unknown {what} {word:?}{}; known are {}", hint(.nearest.as_deref()), .known.join(", "))]
    UnknownWord {
        /// What the word should name.
        what: &'static str,
        /// The word found.
        word: String,
        /// The known word that looks most like it.
        nearest: Option<String>,
        /// Every known word.
        known: Vec<&'static str>,
    },
    /// Two keys of one table that exclude each other.
    #[error("{first} and {second} exclude each other; a phase makes weights smaller or larger")]
    Exclusive {
        /// The key that may stay.
        first: &'static str,
        /// The other one.
        second: &'static str,
    },
    /// A selector that cannot be read.
    #[error(transparent)]
    Selector(Box<tenfold_weight::Error>),
    /// A role in a selector that selects weights.
    #[error("{selector:?} names a role; a step rewrites whole weights, roles belong to what a phase trains")]
    RoleInStep {
        /// The selector's text.
        selector: String,
    },
    /// A model source that cannot be read.
    #[error(transparent)]
    Source(Box<SourceError>),
    /// An unknown method, faulty options, or a weight that the method cannot rewrite.
    #[error(transparent)]
    Method(Box<tenfold_method::Error>),

    // Found by matching the recipe against a tree.
    /// A selector that matches no weight.
    #[error("{selector:?} matches nothing{near}")]
    Unmatched {
        /// The selector's text.
        selector: String,
        /// What there is nearby.
        near: Near,
    },
    /// A role that no selected weight has after the steps.
    #[error("{selector:?} matches weights, but none of them has a leaf of role {role}; they are {}", .forms.join(", "))]
    NoSuchRole {
        /// The selector's text.
        selector: String,
        /// The role's word.
        role: &'static str,
        /// The forms of the weights that match, in words.
        forms: Vec<String>,
    },
    /// `except` takes away everything that `select` matches.
    #[error("except leaves none of the {selected} weights that select matches; narrow it")]
    NothingLeft {
        /// Weights matched by `select`.
        selected: usize,
    },
    /// The budget cannot be met by the steps that have no size of their own.
    #[error(
        "a budget of {budget} stored parameters cannot be met: the steps leave at least {least}; raise \
         budget.parameters or select more weights"
    )]
    Budget {
        /// Parameters allowed.
        budget: usize,
        /// The least that the steps reach.
        least: usize,
    },
}

/// `; did you mean "x"?`, or nothing.
fn hint(nearest: Option<&str>) -> String {
    nearest.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default()
}
