//! Method `signround`: offsets of the rounding and ends of the ranges move by the signs of their gradients.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::gptq;
use crate::method::{Info, Method, Planned, Training};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, Target};
use crate::size::dense_matrix;
use std::sync::Arc;
use tenfold_linalg::quant::{self, Clip, GptqOptions, SignOptions};
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "signround",
    summary: "tunes the rounding of each weight and the range of each group by signs of gradients, in the metric of the inputs",
    equation: "q = clamp(round(w / s + v) + z, 0, 2^b - 1), v in [-1/2, 1/2], ends of the range times a, b in (0, 1]; v, a, b -= rate sign(d/d. \
               tr((W - Q) H (W - Q)^T)), rate from 1 / iterations to 0; each row keeps its best",
    when: "4 bits and fewer; with from = \"gptq\" a little less error than feedback leaves, for some more time",
    when_not: "large matrices in a hurry: each iteration takes a product with the moment, and gptq alone about as much as one",
    trains: "nothing of the codes; what a later step adds beside them",
    sources: &[
        "Cheng et al. 2023, Optimize Weight Rounding via Signed Gradient Descent for the Quantization of LLMs (AutoRound), equations 3 to \
         5; with the output of each matrix in place of that of a block",
    ],
    options: &[
        OptionInfo {
            name: "iterations",
            kind: Kind::Integer(0, 100_000),
            default: "200",
            doc: "steps; the rate is 1 / iterations, falling to 0",
        },
        OptionInfo {
            name: "from",
            kind: Kind::Choice(&["rtn", "gptq"]),
            default: "rtn",
            doc: "where it starts: at rounding to the nearest in searched ranges, or at the codes of feedback in such ranges",
        },
        OptionInfo {
            name: "ends",
            kind: Kind::Flag,
            default: "true",
            doc: "the ends of the ranges move too",
        },
        quantize::BITS,
        quantize::GROUP,
        quantize::RANGE,
        gptq::ORDER,
        gptq::DAMPING,
        gptq::REFITS,
        gptq::POLISH,
    ],
};

/// Tuned rounding.
#[derive(Clone, Debug)]
pub struct Signround {
    grid: quant::Affine,
    scheme: tenfold_tensor::Affine,
    own: SignOptions,
    /// Nothing: plain rounding.
    feedback: Option<GptqOptions>,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let (grid, scheme) = quantize::groups(options, options.count("bits").unwrap_or(4), &INFO)?;
    let usual = SignOptions::default();
    Ok(Arc::new(Signround {
        grid: quant::Affine { clip: Some(Clip::default()), ..grid },
        scheme,
        own: SignOptions {
            iterations: options.count("iterations").unwrap_or(usual.iterations),
            ends: !options.0.contains_key("ends") || options.flag("ends"),
        },
        feedback: (options.word("from") == Some("gptq")).then(|| gptq::feedback(options)),
    }))
}

impl Method for Signround {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Target::Affine { grid: self.grid, scheme: self.scheme }.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.plan(path, form)?;
        let (w, moment) = (dense_matrix(path, form)?, evidence.moment(path)?);
        let start = match &self.feedback {
            Some(options) => quant::gptq(&w, moment, &self.grid, options),
            None => quant::rtn(&w, &self.grid, Some(&quantize::importance(path, evidence)?)),
        };
        let tuned = quant::signround(&w, moment, &self.grid, &start.at(path)?, &self.own);
        quantize::coded(self.scheme, &tuned.at(path)?)
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}
