//! Method `prefix`: trained keys and values stand before every sequence in every layer.

use crate::draw::normal;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::keep::Keep;
use crate::method::{Info, Method, Planned};
use crate::option::{Kind, OptionInfo, Options};
use std::sync::Arc;
use tenfold_weight::{Form, Module, ModuleWeight, Path, Place, Socket};

/// What the method is.
pub static INFO: Info = Info {
    name: "prefix",
    summary: "adds trainable keys and values that every token of every sequence attends to; all weights keep their bits",
    equation: "y = softmax(q [P_k; K]^T / sqrt d) [P_v; V] with P_k and P_v of n rows per layer",
    when: "many tasks over one model, in files that PEFT reads and writes",
    when_not: "few rows or few steps: a prefix starts from noise and disturbs the model until it is trained; long texts: it takes n of \
               the model's positions",
    trains: "the keys and values",
    sources: &[
        "Li and Liang 2021, Prefix-Tuning: Optimizing Continuous Prompts for Generation, section 4.2, without the network of 4.3",
        "PEFT, PREFIX_TUNING: keys are stored as they are after any rotation, and the sequence's positions go on after the prefix",
    ],
    options: &[
        OptionInfo {
            name: "rows",
            kind: Kind::Integer(1, 4096),
            default: "20",
            doc: "rows n of keys and of values per layer; PEFT's num_virtual_tokens",
        },
        OptionInfo {
            name: "deviation",
            kind: Kind::Number(0.0, 100.0),
            default: "1",
            doc: "standard deviation of the first values; PEFT draws them with 1",
        },
        OptionInfo {
            name: "seed",
            kind: Kind::Integer(0, i64::MAX),
            default: "0",
            doc: "seed of the first values",
        },
    ],
};

/// A prefix in every layer.
#[derive(Clone, Debug)]
pub struct Prefix {
    rows: usize,
    deviation: f64,
    seed: u64,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Prefix {
        rows: options.count("rows").unwrap_or(20),
        deviation: options.number("deviation").unwrap_or(1.0),
        seed: options.count("seed").unwrap_or(0) as u64,
    }))
}

impl Method for Prefix {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Keep.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        Keep.rewrite(path, form, evidence)
    }

    fn adds(&self) -> bool {
        true
    }

    fn module(&self, socket: &Socket) -> Option<Module> {
        (socket.place == Place::BeforeKeys).then_some(Module::Prefix { rows: self.rows })
    }

    fn start(&self, weight: &ModuleWeight) -> Form {
        Form::dense(normal(self.seed, &weight.path, &weight.shape, self.deviation))
    }
}
