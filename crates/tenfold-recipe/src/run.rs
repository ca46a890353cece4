//! Carrying out a plan: evidence, rewrites, evaluation, training, evaluation, saving.
//!
//! A [`Session`] holds what several variants of one model share: the untouched model, its evidence, its answers. A
//! [`Runner`] carries one recipe through to its receipt, in a folder that survives being stopped at any moment.

mod assist;
mod batch;
mod begin;
mod calibrated;
mod company;
mod contract;
mod cut;
mod distill;
mod event;
mod evidence;
mod fetch;
mod folder;
mod gauge;
mod grow;
mod labeled;
mod language;
mod layers;
mod light;
mod masked;
mod phase;
mod prompted;
mod ranking;
mod rewrite;
mod rounds;
mod runner;
mod score;
mod segment;
mod session;
mod squeeze;
mod state;
mod stream;
mod study;
mod summary;
mod supply;
mod teacher;
mod watch;

pub use batch::Batches;
pub use distill::Distill;
pub use event::{Event, Flow, Stage};
pub use fetch::{Found, Opened, fetch_model, load_model};
pub use runner::{Finished, Outcome, RunOptions, Runner};
pub use session::{Session, SessionOptions, Variant};
pub use summary::{Shown, report};
pub use teacher::{Target, Teacher};
