//! Method `moe`: a feed-forward block becomes several, each with matrices of its own.

use crate::draw::SEED;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::expert::{COUNT, Experts, JITTER, ROUTER};
use crate::keep::Keep;
use crate::method::{Info, Method, Planned};
use crate::option::Options;
use crate::size::multiplied;
use std::sync::Arc;
use tenfold_weight::{Form, Module, ModuleWeight, Path, Socket};

/// What the method is.
pub static INFO: Info = Info {
    name: "moe",
    summary: "copies every feed-forward block to several experts behind a router",
    equation: "y = sum_e G(x)_e FFN_e(x), FFN_e = FFN at first, G(x) the gates of the chosen experts",
    when: "more knowledge at the same time per token, where memory is not what is short; the baseline for mpoe",
    when_not: "small models in little memory: every expert stores its matrices anew",
    trains: "all experts that saw a token of the batch, and the router",
    sources: &[
        "Shazeer et al. 2017, Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer, section 2",
        "Fedus et al. 2022, Switch Transformers: Scaling to Trillion Parameter Models with Simple and Efficient Sparsity, section 2",
        "Komatsuzaki et al. 2023, Sparse Upcycling: Training Mixture-of-Experts from Dense Checkpoints, section 3",
    ],
    options: &[COUNT, ROUTER, JITTER, SEED],
};

/// Dense experts.
#[derive(Clone, Debug)]
pub struct Moe {
    experts: Experts,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Moe { experts: Experts::of(options, &INFO)? }))
}

impl Method for Moe {
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
        self.experts.module(socket)
    }

    fn start(&self, weight: &ModuleWeight) -> Form {
        self.experts.start(weight)
    }

    fn plan_changed(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let first = Planned::dense(form.shape().iter().product());
        self.experts.planned(path, form, first, |_| true)
    }

    fn changed(&self, path: &Path, form: &Form) -> Result<Form, Error> {
        self.plan_changed(path, form)?;
        let values = multiplied(path, form)?;
        let expert = |e| Form::dense(self.experts.own(&values, path, "", e));
        Ok(Form::stack((0..self.experts.count).map(expert).collect())?)
    }
}
