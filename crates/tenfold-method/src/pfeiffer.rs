//! Method `pfeiffer`: one bottleneck per layer trains, everything else keeps its bits.

use crate::bottleneck::{Bottleneck, OPTIONS};
use crate::error::Error;
use crate::method::{Info, Method};
use crate::option::Options;
use std::sync::Arc;
use tenfold_weight::Place;

/// What the method is.
pub static INFO: Info = Info {
    name: "pfeiffer",
    summary: "adds a trainable bottleneck after the feed-forward part of every layer",
    equation: "h' = h + U f(D h + b) + c with D r x width, U width x r, on what the feed-forward part adds to the stream; U \
               starts at 0",
    when: "as houlsby, at half its parameters and cost",
    when_not: "the model must become a plain checkpoint or run at no cost: bottlenecks cannot be merged into weights",
    trains: "the bottlenecks; norms stay as they are",
    sources: &[
        "Pfeiffer et al. 2020, MAD-X: An Adapter-Based Framework for Multi-Task Cross-Lingual Transfer, section 2.1",
        "Pfeiffer et al. 2021, AdapterFusion: Non-Destructive Task Composition for Transfer Learning",
    ],
    options: OPTIONS,
};

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    Ok(Arc::new(Bottleneck::new(&INFO, &[Place::AfterFeedForward], options)?))
}
