//! Rounding of a matrix to few bits.
//!
//! A [`Scheme`] says which values a row may take: [`Affine`] grids, [`Nf4`], and [`Block`]s with scales on two levels. [`rtn`] rounds every weight by itself;
//! [`gptq`] rounds column by column and lets the columns to come make up for each error, in the metric of the inputs. What they
//! return are plain numbers: codes, steps, zeros. How these lie in a file is not known here.

mod affine;
mod block;
mod factor;
mod gptq;
mod hadamard;
mod nf4;
mod repair;
mod scheme;
mod sweep;
mod trellis;
mod visit;
mod wide;

pub use affine::{Affine, AffineGroup, Clip, Range};
pub use block::{Block, BlockFormat, BlockScales};
pub use gptq::{GptqOptions, Quantized, gptq, rtn};
pub use hadamard::Hadamard;
pub use nf4::{LEVELS, Nf4};
pub use repair::repair;
pub use scheme::{Line, Scheme, half};
pub use trellis::{Trellis, TrellisCoded, TrellisOptions, trellis_ldlq};
pub use visit::Order;
