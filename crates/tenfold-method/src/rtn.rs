//! Method `rtn`: every weight goes to the nearest level of its group.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, Training};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, Plain, Target};
use std::sync::Arc;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "rtn",
    summary: "rounds every weight to the nearest level of its group",
    equation: "q = clamp(round(w / s) + z, 0, 2^b - 1), w' = s (q - z); s and z per row and group",
    when: "8 bits, or 4 with small groups; where there is no text to calibrate on",
    when_not: "4 bits and fewer: gptq loses a fraction of it at equal size",
    trains: "nothing of the codes; what a later step adds beside them",
    sources: &[
        "Liu et al. 2024, Do Emergent Abilities Exist in Quantized Large Language Models, section 2",
        "k-quants: the block formats of ggml, with searched scales",
    ],
    options: &[
        quantize::BITS,
        quantize::GROUP,
        quantize::RANGE,
        quantize::CLIP,
        quantize::BLOCKS,
        OptionInfo {
            name: "metric",
            kind: Kind::Choice(&["weights", "inputs"]),
            default: "weights",
            doc: "what searches for ranges and scales weigh errors by; inputs needs calibration text",
        },
    ],
};

/// Plain rounding.
#[derive(Clone, Debug)]
pub struct Rtn {
    target: Target,
    inputs: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let inputs = options.word("metric") == Some("inputs");
    Ok(Arc::new(Rtn { target: Target::of(options, &INFO)?, inputs }))
}

impl Method for Rtn {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.inputs
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        self.target.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.plan(path, form)?;
        let importance = self.inputs.then(|| quantize::importance(path, evidence)).transpose()?;
        self.target.rewrite(path, form, &Plain { importance })
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}
