//! Rounding of a matrix to few bits.
//!
//! A [`Grid`] says which values a row may take: [`Affine`] grids, [`Nf4`], and [`Block`]s with scales on two levels. [`rtn`]
//! rounds every weight by itself; [`gptq`] rounds column by column and lets the columns to come make up for each error, in the
//! metric of the inputs; [`signround`] moves what they made by the signs of gradients. For two bits, [`Hadamard`] makes entries look alike and [`trellis_ldlq`] codes them in long sequences;
//! [`repair`] gives back in low rank what rounding missed. What they return are plain numbers: codes, scales, zeros. How these
//! lie in a file is not known here.
//!
//! ```
//! use tenfold_linalg::Matrix;
//! use tenfold_linalg::quant::{Affine, GptqOptions, gptq, rtn};
//!
//! let w = Matrix::from_fn(4, 32, |r, c| ((r * 13 + c * 7) % 17) as f64 - 8.0);
//! let x = Matrix::from_fn(64, 32, |t, c| ((t * 5 + c * t) % 11) as f64 - 4.0);
//! let moment = x.transpose().matmul(&x);
//! let cost = |q: &Matrix| w.subtract(q).matmul(&x.transpose()).frobenius();
//! let grid = Affine::new(2, 16);
//! let plain = rtn(&w, &grid, None)?;
//! let fed_back = gptq(&w, &moment, &grid, &GptqOptions::default())?;
//! assert!(cost(&fed_back.values) < cost(&plain.values));
//! # Ok::<(), tenfold_linalg::Error>(())
//! ```

mod affine;
mod block;
mod factor;
mod gptq;
mod grid;
mod hadamard;
mod nf4;
mod repair;
mod signround;
mod sweep;
mod trellis;
mod visit;
mod wide;

pub use affine::{Affine, AffineGroup, Clip, Range};
pub use block::{Block, BlockFormat, BlockScales};
pub use gptq::{GptqOptions, Quantized, gptq, rtn};
pub use grid::{Grid, Line, half};
pub use hadamard::Hadamard;
pub use nf4::{LEVELS, Nf4};
pub use repair::repair;
pub use signround::{SignOptions, signround};
pub use trellis::{Trellis, TrellisCoded, TrellisOptions, trellis_ldlq};
pub use visit::Order;
