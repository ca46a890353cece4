//! SVD, MPO decomposition, spectra and quantization of a matrix.
//!
//! A weight matrix becomes a chain of cores (a matrix product operator, MPO) or a pair of low-rank factors,
//! with the singular values that say what truncation will cost. [`decompose`] cuts a matrix along the factor
//! lists of an
//! [`MpoShape`]; [`svd_in_metric`] gives low-rank factors that are best for weights, for layer outputs or for
//! frequent rows; [`refine`] improves the cores of a truncated chain in any of these metrics; [`basis`] finds the
//! coordinates in which a truncation keeps most; [`quant`] rounds to few bits; [`parallel::map`] spreads many matrices over threads.
//!
//! ```
//! use tenfold_linalg::{Bonds, Gauge, Matrix, MpoShape, decompose};
//!
//! let w = Matrix::from_fn(24, 12, |r, c| (r * 12 + c) as f64);
//! let shape = MpoShape::new(vec![2, 3, 4], vec![3, 2, 2])?;
//! let mpo = decompose(&w, &shape, &Bonds::Full, Gauge::Symmetric)?;
//! assert_eq!(mpo.bonds, [1, 6, 8, 1]);
//! assert!(mpo.rebuild().subtract(&w).max_abs() < 1e-10);
//!
//! // Truncation is slicing, and its error is bounded before it is made.
//! let small = mpo.sliced(&[1, 1, 1, 1]);
//! let error = small.rebuild().subtract(&w).frobenius();
//! assert!(error <= mpo.bound(&small.bonds) * (1.0 + 1e-12));
//! # Ok::<(), tenfold_linalg::Error>(())
//! ```
//!
//! It deliberately does not know models, weights by name, forms, files or f32 arrays of the tensor crate:
//! matrices of f64 in, factors of f64 out. It also does not choose: which bonds, which metric and which gauge
//! are the caller's decision.
//!
//! Start reading at `shape.rs` (how a matrix is cut), then `mpo.rs` and `mpo/symmetric.rs` (the decomposition
//! in one page of equations), then `mpo/basis.rs` (why it is fast); `metric.rs` stands alone. For rounding start
//! at `quant/grid.rs`, then `quant/sweep.rs`.

pub mod basis;
mod error;
mod kernel;
mod matrix;
mod metric;
mod mpo;
pub mod parallel;
pub mod quant;
mod shape;
pub mod spectrum;
pub mod top;

pub use error::{Error, Result};
pub use matrix::Matrix;
pub use metric::{Metric, SvdFactors, TruncatedSvd, output_error, svd_in_metric};
pub use mpo::{
    Core, Gauge, Mpo, RefineOptions, Refined, cost, decompose, decompose_many, moment_around, refine, spectra,
};
pub use shape::{Bonds, MpoShape};
pub use spectrum::{entropy, stable_rank};
