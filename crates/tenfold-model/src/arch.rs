//! Architectures: dimensions, block order and checkpoint names; no mathematics.

pub mod bert;
