//! Arrays, fused differentiable ops and optimizer kernels: the engine of tenfold. An [`Array`] is a contiguous
//! row-major block of `f32` whose buffer comes from and goes back to a pool; a [`Tape`] records what the coarse ops
//! of [`op`] did to tracked [`Var`]s and plays their hand-written backward functions in reverse.
//!
//! ```
//! use tenfold_tensor::{op, Activation, Array, Tape, Var};
//!
//! let tape = Tape::new();
//! let w = tape.leaf(Array::from_vec(vec![1.0, 2.0], &[1, 2])); // O x I
//! let x = Var::constant(Array::from_vec(vec![3.0, 4.0], &[1, 2])); // N x I
//! let y = op::linear(&x, &w, None, Activation::Identity);
//! assert_eq!(y.value().item(), 11.0);
//! let mut gradients = tape.backward(&op::sum(&y))?;
//! assert_eq!(gradients.take(&w).map(|g| g.data().to_vec()), Some(vec![3.0, 4.0]));
//! # Ok::<(), tenfold_tensor::Error>(())
//! ```
//!
//! It knows no models, weights, files or training loops: only arrays, ops and the arithmetic of one optimizer step.
//! It offers no general broadcasting, no views and no data types besides `f32`; batches are packed, with [`Offsets`]
//! saying where each sequence begins, so there are no padding masks.
//!
//! Start reading at [`Array`], then the tape module (how a gradient reaches a leaf), then any one file of [`op`];
//! the loops that do the work are in the `kernel` module, matrix products in [`product`], run-time choice of the
//! instruction set in [`cpu`], what a machine beside the processor computes in [`device`].
#![allow(unsafe_code)]

mod activation;
mod array;
mod codes;
pub mod cpu;
pub mod device;
mod error;
#[cfg(all(any(test, feature = "guard"), unix))]
mod guard;
mod half;
mod kernel;
mod offsets;
pub mod op;
pub mod optim;
mod par;
pub mod pool;
mod precision;
pub mod product;
pub mod random;
mod scheme;
mod tape;

pub use activation::Activation;
pub use array::Array;
pub use codes::{Codes, Inexact, Unfit};
pub use error::Error;
pub use half::Half;
pub use offsets::Offsets;
pub use op::attention::attention_numbers;
pub use par::{placed, set_threads, threads};
pub use precision::Precision;
pub use scheme::{Affine, AffineRow, Blocks, Scheme, Trellis, blocks};
pub use tape::{Gradients, Tape, Var};
