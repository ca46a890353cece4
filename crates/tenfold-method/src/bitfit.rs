//! Method `bitfit`: biases train, everything keeps its form.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::keep::Keep;
use crate::method::{Info, Method, Planned, Training};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "bitfit",
    summary: "trains the selected vectors and leaves every matrix as it is",
    equation: "y = W x + b with W fixed and b trained",
    when: "the smallest adaptation there is: a thousandth of the parameters, nothing added to the model",
    when_not: "the task asks for other features than the model has; a low-rank update then goes further",
    trains: "what the step selects, at its own multiple of the phase's rate",
    sources: &[
        "Ben Zaken et al. 2022, BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked \
                Language-models",
    ],
    options: &[OptionInfo {
        name: "rate",
        kind: Kind::Number(0.0, 1000.0),
        default: "1",
        doc: "learning rate of these vectors as a multiple of the phase's",
    }],
};

/// Vectors that train as they are.
#[derive(Clone, Debug)]
pub struct Bitfit {
    rate: f64,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Bitfit { rate: options.number("rate").unwrap_or(1.0) }))
}

impl Method for Bitfit {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Keep.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        Keep.rewrite(path, form, evidence)
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        if self.rate == 0.0 { Training::Frozen } else { Training::Trains(self.rate as f32) }
    }
}
