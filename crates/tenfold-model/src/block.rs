//! Blocks that architectures are made of, written only against a scope.

mod attention;
mod feed_forward;

pub(crate) use attention::{AttentionPaths, attention};
pub(crate) use feed_forward::feed_forward;
