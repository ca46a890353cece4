//! Method `peqa`: the scales of groups train, on demand their shifts too, and the codes keep their bits.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::gptq;
use crate::method::{Info, Method, Planned, Training};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, FIRST, Tables};
use std::sync::Arc;
use tenfold_tensor::Array;
use tenfold_weight::form::Grouped;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "peqa",
    summary: "lets the scales of quantized groups train, and nothing of the codes",
    equation: "w' = s (q - z) + t with codes q and zero points z as they are; s, and with shifts t from 0 on, train, one per row and group",
    when: "after gptq or rtn to 4 bits and fewer, where text is at hand: two numbers a group bring back much of what rounding lost",
    when_not: "8 bits; large groups of few rows, which leave little to tune: lora beside the codes moves further",
    trains: "scales, and with shifts = true shifts; the codes keep their bits",
    sources: &[
        "Kim et al. 2023, Memory-Efficient Fine-Tuning of Compressed Large Language Models via sub-4-bit Integer Quantization (PEQA), \
         equation 2",
        "Chen et al. 2024, EfficientQAT, section 3.3 (E2E-QP: scales alone, end to end)",
    ],
    options: &[
        OptionInfo {
            name: "shifts",
            kind: Kind::Flag,
            default: "false",
            doc: "shifts train too: zero points that are no whole numbers",
        },
        quantize::BITS,
        quantize::GROUP,
        quantize::RANGE,
        quantize::CLIP,
        FIRST,
        gptq::ORDER,
        gptq::DAMPING,
        gptq::REFITS,
        gptq::POLISH,
    ],
};

/// Codes whose tables train. Weights that are codes in groups stay what they are; dense ones are rounded first.
#[derive(Clone, Debug)]
pub struct Peqa {
    shifts: bool,
    from: Tables,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Peqa { shifts: options.flag("shifts"), from: Tables::of(options, &INFO)? }))
}

impl Peqa {
    fn tuned(&self, tables: Grouped) -> Result<Form, Error> {
        if !self.shifts || tables.shift().is_some() {
            return Ok(Form::Grouped(tables));
        }
        let zeros = Form::dense(Array::zeros(&tables.scale().shape()));
        Ok(Form::Grouped(tables.with_shift(Some(zeros))?))
    }
}

impl Method for Peqa {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.from.needs_inputs()
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, &self.tuned(self.from.planned(path, form)?)?))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.tuned(self.from.read(path, form, evidence)?)
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        match role {
            Role::Scale => Training::Trains(1.0),
            Role::Shift if self.shifts => Training::Trains(1.0),
            _ => Training::Frozen,
        }
    }
}
