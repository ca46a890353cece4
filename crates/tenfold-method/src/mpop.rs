//! Method `mpop`: light fine-tuning and dimension squeezing of matrix product operators, as published.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, Training};
use crate::mpo::{self, Mpo};
use crate::option::{Kind, OptionInfo, Options};
use crate::squeeze::{Criterion, Reach, SqueezeOptions};
use std::sync::Arc;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "mpop",
    summary: "splits a matrix into cores at full rank, trains the small ones, and lets a phase lower bonds one by one",
    equation: "W = T1 A2 C A4 T5 exactly; train A only; then repeat: lower the bond d -> d - step whose bound \
               sqrt(sum_k eps_k^2) is least, train A, stop when the score has fallen by more than the gap",
    when: "fine-tuning with a tenth of the parameters; compression together with fine-tuning, where the score is \
           watched on the way",
    when_not: "compression without training: low rank in the metric of the inputs keeps more at equal size",
    trains: "auxiliary cores; the central core keeps its bits between cuts",
    sources: &[
        "Liu et al. 2021, Enabling Lightweight Fine-tuning for Pre-trained Language Model Compression based on \
         Matrix Product Operators, sections 4.1 and 4.2, algorithm 2",
    ],
    options: &[
        OptionInfo {
            name: "cores",
            kind: Kind::Integer(2, 15),
            default: "5",
            doc: "number of cores n (the paper uses 5)",
        },
        mpo::ROWS,
        mpo::COLS,
        OptionInfo {
            name: "core-rate",
            kind: Kind::Number(0.0, 1000.0),
            default: "1",
            doc: "learning rate of auxiliary cores as a multiple of the phase's; 0 keeps them as they are",
        },
        OptionInfo {
            name: "criterion",
            kind: Kind::Choice(&[
                "bound",
                "relative",
                "increment",
                "per-parameter",
                "relative-per-parameter",
            ]),
            default: "bound",
            doc: "what a cut is judged by: the bound after it as published, relative to the matrix's norm, what it \
                  adds to the squared bound, that per parameter saved, or that with the relative bound",
        },
        OptionInfo {
            name: "bonds",
            kind: Kind::Choice(&["central", "all", "common"]),
            default: "central",
            doc: "which bonds may be lowered: the two beside the central core, any, or all of a matrix by one cap",
        },
        OptionInfo {
            name: "rank-step",
            kind: Kind::Integer(1, 4096),
            default: "1",
            doc: "by how much one cut lowers a bond",
        },
    ],
};

/// A full-rank operator whose auxiliary cores train.
#[derive(Clone, Debug)]
pub struct Mpop {
    operator: Mpo,
    core_rate: f64,
    squeeze: SqueezeOptions,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let criterion = match options.word("criterion") {
        Some("relative") => Criterion::Relative,
        Some("increment") => Criterion::Increment,
        Some("per-parameter") => Criterion::PerParameter,
        Some("relative-per-parameter") => Criterion::RelativePerParameter,
        _ => Criterion::Bound,
    };
    let reach = match options.word("bonds") {
        Some("all") => Reach::All,
        Some("common") => Reach::Common,
        _ => Reach::Central,
    };
    let step = options.count("rank-step").unwrap_or(1);
    Ok(Arc::new(Mpop {
        operator: Mpo::symmetric(options, &INFO)?,
        core_rate: options.number("core-rate").unwrap_or(1.0),
        squeeze: SqueezeOptions { criterion, reach, step },
    }))
}

impl Method for Mpop {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        match form.as_mpo() {
            Some(_) => Ok(Planned::kept(path, form)),
            None => self.operator.plan(path, form),
        }
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        // An operator that was trained before goes on as it is.
        if form.as_mpo().is_some() { Ok(form.clone()) } else { self.operator.rewrite(path, form, evidence) }
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        match role {
            Role::Central => Training::Frozen,
            Role::Auxiliary if self.core_rate == 0.0 => Training::Frozen,
            Role::Auxiliary => Training::Trains(self.core_rate as f32),
            _ => Training::Trains(1.0),
        }
    }

    fn squeezes(&self) -> Option<SqueezeOptions> {
        Some(self.squeeze)
    }
}
