//! Recipes: what is to become of a model, as text ([`Recipe`]), matched against its weights ([`Plan`]), carried out
//! ([`Runner`], [`Session`]), recorded ([`Receipt`]) and shown ([`mod@report`]).
//!
//! ```
//! use tenfold_recipe::{Plan, Recipe};
//! use tenfold_tensor::Array;
//! use tenfold_weight::{Form, Path, Tree};
//!
//! let text = r#"
//!     name = "halved"
//!     [model]
//!     from = "path:models/toy"
//!     [[step]]
//!     method = "svd"
//!     select = "encoder.**.weight"
//!     [budget]
//!     parameters = 0.5
//! "#;
//! let recipe = Recipe::parse("halved.toml".as_ref(), text)?;
//! let mut tree = Tree::new();
//! tree.insert(Path::new("encoder.dense.weight"), Form::dense(Array::zeros(&[96, 96])));
//! let plan = Plan::of(&recipe, &tree)?;
//! assert_eq!(plan.rows[0].to, "low rank 24");
//! assert_eq!(plan.totals.parameters_after, 24 * (96 + 96));
//!
//! let faulty = text.replace("encoder", "encodr");
//! let fault = Plan::of(&Recipe::parse("halved.toml".as_ref(), &faulty)?, &tree).unwrap_err();
//! let expected = r#"halved.toml:7:14: "encodr.**.weight" matches nothing; did you mean "encoder"?"#;
//! assert!(fault.to_string().starts_with(expected), "{fault}");
//! # Ok::<(), tenfold_recipe::Error>(())
//! ```
//!
//! It knows no form, no method's arithmetic and no architecture: those it finds by name and leaves to the crates below.
//! It does not print, and asks nothing: a run tells what it does through events, and stops when a listener says so.
//!
//! Start reading at [`Recipe`] (the language; `recipes/reference.toml` shows every key), then `plan.rs`, then
//! `run/session.rs` and `run/runner.rs`.

pub mod bench;
pub mod default;
mod error;
mod fault;
mod file;
pub mod memory;
mod parse;
mod place;
mod plan;
pub mod receipt;
mod recipe;
pub mod report;
mod result;
pub mod run;
mod text;
pub mod tiny;

pub use error::Error;
pub use fault::{Fault, Problem};
pub use place::{Located, Place};
pub use plan::{Near, Plan, Row, Totals};
pub use receipt::Receipt;
pub use recipe::{
    Calibration, Eval, Group, Learned, NewArchitecture, NewModel, Objective, Optimizer, OptimizerKind, Order,
    Phase, Reading, Recipe, Schedule, Step, Task, VariantSteps, Vocabulary, Watch,
};
pub use result::{
    GaugeResult, PhaseResult, RouterResult, Scores, UpdateResult, VariantResult, Watched, WeightResult,
};
pub use run::{Event, Finished, Flow, Outcome, RunOptions, Runner, Session, SessionOptions, Stage, Variant};
pub use text::{Broken, TextSource, Use};
