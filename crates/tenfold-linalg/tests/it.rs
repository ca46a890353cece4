//! The laws of MPO decomposition, published counts, and values from NumPy.

#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

#[path = "it/basis.rs"]
mod basis;
#[path = "it/block.rs"]
mod block;
#[path = "it/counts.rs"]
mod counts;
#[path = "it/fixtures.rs"]
mod fixtures;
#[path = "it/golden.rs"]
mod golden;
#[path = "it/grid.rs"]
mod grid;
#[path = "it/laws.rs"]
mod laws;
#[path = "it/manifold.rs"]
mod manifold;
#[path = "it/properties.rs"]
mod properties;
#[path = "it/quant.rs"]
mod quant;
#[path = "it/refine.rs"]
mod refine;
#[path = "it/sample.rs"]
mod sample;
#[path = "it/signround.rs"]
mod signround;
#[path = "it/top.rs"]
mod top;
#[path = "it/trellis.rs"]
mod trellis;
