//! Every method by name: one line each.

use crate::error::Error;
use crate::method::{Info, Method};
use crate::option::{Options, nearest};
use std::sync::Arc;

/// A method's description and how it is built from options.
pub struct Entry {
    /// Name, options, equation, sources.
    pub info: &'static Info,
    /// Builds the method from a step's options.
    pub build: fn(&Options) -> Result<Arc<dyn Method>, Error>,
}

/// Every method.
pub static REGISTRY: &[Entry] = &[
    Entry { info: &crate::affine::INFO, build: crate::affine::build },
    Entry { info: &crate::auto::INFO, build: crate::auto::build },
    Entry { info: &crate::awq::INFO, build: crate::awq::build },
    Entry { info: &crate::basis::INFO, build: crate::basis::build },
    Entry { info: &crate::bitfit::INFO, build: crate::bitfit::build },
    Entry { info: &crate::calisr::INFO, build: crate::calisr::build },
    Entry { info: &crate::childtuning::INFO, build: crate::childtuning::build },
    Entry { info: &crate::cores::INFO, build: crate::cores::build },
    Entry { info: &crate::gptq::INFO, build: crate::gptq::build },
    Entry { info: &crate::houlsby::INFO, build: crate::houlsby::build },
    Entry { info: &crate::ia3::INFO, build: crate::ia3::build },
    Entry { info: &crate::llm_int8::INFO, build: crate::llm_int8::build },
    Entry { info: &crate::lora::INFO, build: crate::lora::build },
    Entry { info: &crate::mixed::INFO, build: crate::mixed::build },
    Entry { info: &crate::moe::INFO, build: crate::moe::build },
    Entry { info: &crate::mpo::INFO, build: crate::mpo::build },
    Entry { info: &crate::mpobert::INFO, build: crate::mpobert::build },
    Entry { info: &crate::mpoe::INFO, build: crate::mpoe::build },
    Entry { info: &crate::mpop::INFO, build: crate::mpop::build },
    Entry { info: &crate::opf::INFO, build: crate::opf::build },
    Entry { info: &crate::peqa::INFO, build: crate::peqa::build },
    Entry { info: &crate::pfeiffer::INFO, build: crate::pfeiffer::build },
    Entry { info: &crate::prefix::INFO, build: crate::prefix::build },
    Entry { info: &crate::qalora::INFO, build: crate::qalora::build },
    Entry { info: &crate::repair::INFO, build: crate::repair::build },
    Entry { info: &crate::rtn::INFO, build: crate::rtn::build },
    Entry { info: &crate::share::INFO, build: crate::share::build },
    Entry { info: &crate::signround::INFO, build: crate::signround::build },
    Entry { info: &crate::svd::INFO, build: crate::svd::build },
    Entry { info: &crate::trellis::INFO, build: crate::trellis::build },
];

/// Finds a method by name.
///
/// # Errors
/// [`Error::UnknownMethod`] with a suggestion.
pub fn find(name: &str) -> Result<&'static Entry, Error> {
    let names = || REGISTRY.iter().map(|entry| entry.info.name);
    REGISTRY.iter().find(|entry| entry.info.name == name).ok_or_else(|| Error::UnknownMethod {
        name: name.to_owned(),
        nearest: nearest(name, names()),
        known: names().map(str::to_owned).collect(),
    })
}
