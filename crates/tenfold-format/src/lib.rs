//! Model files of every kind, as plain structs: where models come from ([`source`]), checkpoints ([`checkpoint`]),
//! architectures ([`config`]), text to tokens ([`tokenizer`]), how a sentence becomes one vector ([`pipeline`]), and
//! the saved form of a rewritten tree ([`manifest`]). GGUF files are read and written ([`gguf`]), so are
//! quantized weights in GPTQ's layout ([`gptq`]); files of llama2.c are read ([`llama2c`]).
//!
//! Every foreign file is hostile input: lengths are checked before anything is allocated, limits are named constants,
//! and each way of lying has its own [`Error`]. Whatever is written appears as a whole or not at all ([`atomic`]).
//!
//! ```
//! use std::collections::BTreeMap;
//! use tenfold_format::checkpoint::{self, Checkpoint};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! let query = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
//! checkpoint::write(&path, &[("query.weight".into(), vec![2, 3], &query)], &BTreeMap::new())?;
//!
//! let checkpoint = Checkpoint::open(folder.path())?;
//! assert_eq!(checkpoint.tensors().next().unwrap().shape, [2, 3]);
//! assert_eq!(checkpoint.read_f32("query.weight")?, query);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It deliberately does not know arrays, trees, forms as computation, methods or devices: it hands out numbers, shapes
//! and names, and the crates above give them meaning. Only [`source`] reaches outside the file system, and only when
//! the caller fetches a model.
//!
//! Start at [`checkpoint`] for the way every parser here is built (claims first, then bytes), and at [`manifest`] for
//! what a saved tree looks like on disk.

pub mod adapter;
pub mod atomic;
pub mod checkpoint;
pub mod config;
mod error;
pub mod gguf;
pub mod gptq;
pub mod llama2c;
pub mod manifest;
mod map;
pub mod pipeline;
pub mod sniff;
pub mod source;
pub mod tokenizer;

pub use error::{Error, Result};
