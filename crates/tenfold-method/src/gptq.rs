//! Method `gptq`: rounds column by column, and lets the columns to come make up for each error.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, Training};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, Feedback, Target};
use std::sync::Arc;
use tenfold_linalg::quant::{GptqOptions, Order};
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "gptq",
    summary: "rounds a matrix column by column; columns to come make up for each error in the metric of the inputs",
    equation: "for each column i: e = (w_i - q_i) / U_ii, W_j -= e U_ij for j > i, with U the upper Cholesky factor of H^-1 and H \
               the second moment of the inputs, damped",
    when: "4 bits and fewer; also inside the blocks of GGUF files, where it beats the search for scales alone",
    when_not: "no text like what the model will see; embedding tables, which have no inputs",
    trains: "nothing of the codes; what a later step adds beside them",
    sources: &[
        "Frantar et al. 2023, GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, algorithm 1",
        "Chee et al. 2023, QuIP, theorem 6",
    ],
    options: &[
        quantize::BITS,
        quantize::GROUP,
        quantize::RANGE,
        quantize::CLIP,
        quantize::BLOCKS,
        ORDER,
        DAMPING,
        REFITS,
        POLISH,
        OptionInfo {
            name: "guard",
            kind: Kind::Flag,
            default: "false",
            doc: "rounds plainly too, and keeps for each row what is better in the metric of the inputs",
        },
    ],
};

/// Options of feedback that other methods share.
pub(crate) const ORDER: OptionInfo = OptionInfo {
    name: "order",
    kind: Kind::Choice(&["stored", "falling", "grouped"]),
    default: "grouped",
    doc: "columns as they are stored; by falling second moment, with the groups fitted before; or by falling moment \
          within groups. None of them costs anything when the model runs",
};
pub(crate) const DAMPING: OptionInfo = OptionInfo {
    name: "damping",
    kind: Kind::Number(0.0, 10.0),
    default: "0.01",
    doc: "added to the diagonal of H, as a share of its mean; raised tenfold while H cannot be factored",
};
pub(crate) const REFITS: OptionInfo = OptionInfo {
    name: "refits",
    kind: Kind::Integer(0, 10),
    default: "0",
    doc: "how often scales are fitted again to the codes they led to; the better is kept",
};
pub(crate) const POLISH: OptionInfo = OptionInfo {
    name: "polish",
    kind: Kind::Integer(0, 10),
    default: "0",
    doc: "sweeps over single codes after all columns are rounded, each moved where that lowers the error; with refits also \
          over the small scales of blocks",
};

/// Rounding with feedback.
#[derive(Clone, Debug)]
pub struct Gptq {
    target: Target,
    options: GptqOptions,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let own = GptqOptions { guard: options.flag("guard"), ..feedback(options) };
    Ok(Arc::new(Gptq { target: Target::of(options, &INFO)?, options: own }))
}

/// How the options of a step say that errors are fed back.
pub(crate) fn feedback(options: &Options) -> GptqOptions {
    let order = match options.word("order") {
        Some("stored") => Order::Stored,
        Some("falling") => Order::Falling,
        _ => Order::Grouped,
    };
    let usual = GptqOptions::default();
    GptqOptions {
        order,
        // Groups of columns that are no neighbors would need an index in the file and a permutation at run time.
        fixed_groups: order == Order::Falling,
        damping: options.number("damping").unwrap_or(usual.damping),
        refits: options.count("refits").unwrap_or(usual.refits),
        polish: options.count("polish").unwrap_or(usual.polish),
        ..usual
    }
}

impl Method for Gptq {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        self.target.plan(path, form)
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.plan(path, form)?;
        let moment = evidence.moment(path)?;
        self.target.rewrite(path, form, &Feedback { moment, options: &self.options })
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}
