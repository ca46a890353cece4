//! Method `houlsby`: two bottlenecks per layer train, everything else keeps its bits.

use crate::bottleneck::{Bottleneck, OPTIONS};
use crate::error::Error;
use crate::method::{Info, Method};
use crate::option::Options;
use std::sync::Arc;
use tenfold_weight::Place;

/// What the method is.
pub static INFO: Info = Info {
    name: "houlsby",
    summary: "adds a trainable bottleneck after the attention and after the feed-forward part of every layer",
    equation: "h' = h + U f(D h + b) + c with D r x width, U width x r, on what each part adds to the stream; U starts at 0",
    when: "many tasks over one model, where one or two hundredths of the parameters per task may go a little further than \
           a product beside a weight",
    when_not: "the model must become a plain checkpoint or run at no cost: bottlenecks cannot be merged into weights",
    trains: "the bottlenecks; the paper also trains the norms of the layers and the head, which the phase names in train",
    sources: &[
        "Houlsby et al. 2019, Parameter-Efficient Transfer Learning for NLP, section 2.1 and figure 2",
    ],
    options: OPTIONS,
};

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    Ok(Arc::new(Bottleneck::new(&INFO, &[Place::AfterAttention, Place::AfterFeedForward], options)?))
}
