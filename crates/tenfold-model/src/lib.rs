//! Models: blocks and architectures, written only against a scope that applies weights in any form, and sentence
//! encoders with their tokenizer.
//!
//! ```no_run
//! use tenfold_model::{Batch, Model};
//! use tenfold_weight::Scope;
//!
//! let model = Model::load("models/minilm".as_ref())?;
//! let batch = Batch::from_sequences(&[model.tokenize("A cat sat on a mat.")?]);
//! let vector = model.network.embed(&Scope::evaluate(&model.tree), &batch)?;
//! assert_eq!(vector.shape(), [1, model.network.width()]);
//! # Ok::<(), tenfold_model::Error>(())
//! ```
//!
//! It knows no form, no method, no optimizer and no task; a task head is a pooler and a linear layer ([`Head`]), and heads of
//! pre-training guess hidden tokens and the order of segments ([`Pretraining`]). There is one forward pass per architecture, whatever its
//! weights are made of.
//!
//! Start reading at `arch.rs`, then [`Network`] and [`Model`].

mod adapter;
mod arch;
mod batch;
mod block;
mod depth;
mod error;
mod fresh;
mod generate;
mod gguf;
mod gptq;
mod head;
mod import;
mod model;
mod network;
mod past;
mod pretrain;
mod save;
mod sequence;
mod waiting;
mod walk;

pub use adapter::AdapterFault;
pub use arch::Places;
pub use batch::Batch;
pub use depth::Copies;
pub use error::Error;
pub use generate::{Choice, Ended, GenerateOptions, Written, likeliest};
pub use gguf::{GgufSaved, Stored};
pub use gptq::GptqSaved;
pub use head::Head;
pub use model::Model;
pub use network::Network;
pub use past::Past;
pub use pretrain::Pretraining;
pub use waiting::Waiting;
pub use walk::Walk;
