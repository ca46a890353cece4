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
    /// A model that comes from somewhere and begins from nothing.
    #[error("a model has sources (from) or begins from nothing (new), not both")]
    TwoModels,
    /// Weights that are read layer by layer, and evidence of all layers at once.
    #[error(
        "streamed reads layers one by one, and order = \"at-once\" asks for all of them; say order = \"layers\" or \"maps\""
    )]
    StreamedAtOnce,
    /// Weights that are read layer by layer, and something that needs the untouched model.
    #[error(
        "streamed leaves the untouched model in its file, and [[{key}]] works with it; give it a recipe of its own, on the result"
    )]
    Streamed {
        /// What needs the model, as its header is written.
        key: &'static str,
    },
    /// Two variants of one name.
    #[error("two variants are called {name:?}")]
    SameName {
        /// The name.
        name: String,
    },
    /// Two keys of one table that exclude each other.
    #[error("{first} and {second} exclude each other; give each a phase of its own")]
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
    /// Squeezing in a recipe whose weights learn in some of their entries.
    #[error(
        "{path} learns in some of its entries, which a phase that squeezes cannot keep to; train it in another phase"
    )]
    SqueezeAndMask {
        /// The weight.
        path: String,
    },
    /// A phase whose selectors and methods leave no leaf that trains.
    #[error("nothing trains in phase {phase}{}: {} select leaves that their method keeps as they are", if *.light { " after its switch" } else { "" }, .selectors.join(", "))]
    NothingTrains {
        /// The phase, from 1.
        phase: usize,
        /// Whether that is so after the switch alone.
        light: bool,
        /// The selectors.
        selectors: Vec<String>,
    },
    /// A phase that calibrates, and no step that says how.
    #[error(
        "phase {phase} calibrates, but no step has a method that does; add a step of method calisr after the light one"
    )]
    NothingCalibrated {
        /// The phase, from 1.
        phase: usize,
    },
    /// A calibrated weight that no earlier step has given a light method.
    #[error(
        "{path}: method {method} goes on by the method of an earlier step, and there is none for this weight"
    )]
    NoLightMethod {
        /// The method that calibrates.
        method: &'static str,
        /// The weight.
        path: String,
    },
    /// A calibrated weight of which the light method trains what full fine-tuning trains.
    #[error(
        "{path}: {light} trains this weight in full, so going light changes nothing; take it out of the step"
    )]
    NeverLight {
        /// The light method.
        light: &'static str,
        /// The weight.
        path: String,
    },
    /// Light entries that are others at every step.
    #[error("{path}: a mask drawn anew at every step cannot be probed; give {light} a fixed one")]
    NoFixedPart {
        /// The light method.
        light: &'static str,
        /// The weight.
        path: String,
    },
    /// Steps of one recipe that calibrate differently.
    #[error("steps that calibrate must agree in their options; the first one says otherwise")]
    Disagreement,
    /// A calibrated weight of no component.
    #[error("{path} belongs to no component of phase {phase}; name one for it, or take it out of the step")]
    NoComponent {
        /// The phase, from 1.
        phase: usize,
        /// The weight.
        path: String,
    },
    /// A component that holds no calibrated weight.
    #[error("component {name:?} holds no weight that is calibrated{}", if *.taken { "; those it selects belong to an earlier one" } else { "" })]
    EmptyComponent {
        /// The component.
        name: String,
        /// Whether earlier components took its weights.
        taken: bool,
    },
    /// A method that cannot work on one layer at a time.
    #[error("{method} {why}; it needs order = \"at-once\" in [calibration]")]
    NotInOrder {
        /// The method.
        method: &'static str,
        /// What it does.
        why: &'static str,
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
