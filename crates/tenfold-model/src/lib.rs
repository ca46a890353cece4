//! Blocks and architectures, written only against apply.
