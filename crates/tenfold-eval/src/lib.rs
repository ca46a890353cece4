//! What a changed model is still worth: metrics ([`metric`]), sentence vectors of many texts ([`embed`]), how
//! far they moved from the original's ([`fidelity`]), tasks with human judgments ([`task`]), time per
//! sentence ([`latency`]), and the texts that ship with the program ([`corpus`]).
//!
//! ```
//! use tenfold_eval::fidelity;
//! use tenfold_tensor::Array;
//!
//! let before = Array::from_vec(vec![1.0, 0.0, 0.6, 0.8, 0.0, 1.0], &[3, 2]); // B x D
//! let after = Array::from_vec(vec![2.0, 0.0, 0.8, 0.6, 0.0, 1.0], &[3, 2]);
//! let kept = fidelity(&before, &after)?;
//! assert!((kept.mean_cosine - 2.96 / 3.0).abs() < 1e-6 && (kept.least_cosine - 0.96).abs() < 1e-6);
//! # Ok::<(), tenfold_eval::Error>(())
//! ```
//!
//! It knows no form, no method, no recipe and no training: a model under evaluation is a tree and an encoder,
//! whatever happened to them. It writes no file and prints nothing.
//!
//! Start reading at [`fidelity`], then [`embed`], then [`task::stsb`], the shortest complete task.

pub mod corpus;
mod embed;
mod error;
mod fidelity;
pub mod lab;
mod language;
mod latency;
mod masked;
mod masking;
pub mod metric;
mod neighbor;
pub mod prompt;
pub mod task;

pub use embed::{EmbedOptions, embed};
pub use error::{Error, RowFault};
pub use fidelity::{Fidelity, fidelity};
pub use language::{Language, language};
pub use latency::{Latency, LatencyOptions, latency, median, passes, sentence};
pub use masked::{Masked, masked};
pub use masking::{Chosen, Masker, Masking};
