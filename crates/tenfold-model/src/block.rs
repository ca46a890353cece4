//! Blocks that architectures are made of, written only against a scope.

mod attention;
mod feed_forward;

pub(crate) use attention::{AttentionPaths, Heads, Read, attention, cross_attention};
pub(crate) use feed_forward::{FeedPaths, GatedPaths, feed_forward, gated_feed_forward};
