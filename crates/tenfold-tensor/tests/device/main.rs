//! Kernels of devices, run by a device that is emulated.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it did not find"
)]

mod emulated;
mod itself;
mod often;
