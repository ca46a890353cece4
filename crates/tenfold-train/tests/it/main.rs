//! The public story: learning, what trains when, stopping and resuming, and every way of going wrong.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod fault;
mod freeze;
mod golden;
mod learn;
mod light;
mod objective;
mod parallel;
mod resume;
