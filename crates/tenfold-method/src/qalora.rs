//! Method `qalora`: a low-rank product in the shifts of quantized groups trains, and merges into them exactly.

use crate::draw::uniform;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::gptq;
use crate::method::{Info, Method, Planned, Training};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, FIRST, Tables};
use crate::size::multiplied;
use std::sync::Arc;
use tenfold_tensor::Array;
use tenfold_weight::form::Grouped;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "qalora",
    summary: "adds a trainable low-rank product that is constant within groups, and so becomes part of their zero points",
    equation: "w' = s (q - z) + (c B A)_g with c = alpha / r, B O x r, A r x G: an adapter that sees the sums of inputs over groups; \
               stored with up = c B, whose rate is c times the phase's. After training t = c B A: zero points z - t / s, no whole numbers",
    when: "fine-tuning beside codes where the result must stay in few bits: nothing is rounded again",
    when_not: "few groups a row: the product has at most as many ranks; lora beside the codes where its factors may stay",
    trains: "both factors; codes and scales keep their bits",
    sources: &[
        "Xu et al. 2024, QA-LoRA: Quantization-Aware Low-Rank Adaptation of Large Language Models, section 3.3 and algorithm 1",
    ],
    options: &[
        OptionInfo {
            name: "rank",
            kind: Kind::Integer(1, 65_536),
            default: "8",
            doc: "rank r of the product; at most the rows of the weight, and its groups",
        },
        OptionInfo {
            name: "alpha",
            kind: Kind::Number(1e-3, 1e6),
            default: "twice the rank",
            doc: "numerator of the scaling",
        },
        OptionInfo {
            name: "merge",
            kind: Kind::Flag,
            default: "true",
            doc: "after the last phase the product becomes the table of shifts; otherwise both factors stay",
        },
        OptionInfo { name: "seed", kind: Kind::Integer(0, i64::MAX), default: "0", doc: "seed of A" },
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

/// Codes with a product in their shifts. Weights that are codes in groups stay what they are; dense ones are rounded first.
#[derive(Clone, Debug)]
pub struct Qalora {
    rank: usize,
    /// Nothing: twice the rank.
    alpha: Option<f64>,
    merge: bool,
    seed: u64,
    from: Tables,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Qalora {
        rank: options.count("rank").unwrap_or(8),
        alpha: options.number("alpha"),
        merge: !options.0.contains_key("merge") || options.flag("merge"),
        seed: options.count("seed").unwrap_or(0) as u64,
        from: Tables::of(options, &INFO)?,
    }))
}

impl Qalora {
    /// c.
    fn scale(&self) -> f64 {
        self.alpha.unwrap_or(2.0 * self.rank as f64) / self.rank as f64
    }

    fn adapted(&self, path: &Path, tables: &Grouped) -> Result<Form, Error> {
        let &[rows, groups] = tables.scale().shape().as_slice() else {
            return Err(Error::NotAMatrix { path: path.clone(), got: tables.scale().shape() });
        };
        let most = rows.min(groups);
        if self.rank > most {
            return Err(Error::Rank { path: path.clone(), rank: self.rank, most });
        }
        let up = Array::zeros(&[rows, self.rank]);
        let product = Form::lowrank(uniform(self.seed, path, &[self.rank, groups]), up)?;
        let shift = match tables.shift() {
            Some(before) => Form::sum(before.clone(), product)?,
            None => product,
        };
        Ok(Form::Grouped(tables.with_shift(Some(shift))?))
    }
}

impl Method for Qalora {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.from.needs_inputs()
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, &self.adapted(path, &self.from.planned(path, form)?)?))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.adapted(path, &self.from.read(path, form, evidence)?)
    }

    fn contracts(&self) -> bool {
        self.merge
    }

    fn contracted(&self, path: &Path, form: &Form) -> Result<Option<Form>, Error> {
        let Some(tables) = form.as_grouped() else { return Ok(None) };
        let shift = tables.shift().map(|shift| multiplied(path, shift)).transpose()?;
        Ok(Some(Form::Grouped(tables.with_shift(shift.map(Form::dense))?)))
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        match role {
            Role::Down => Training::Trains(1.0),
            Role::Up => Training::Trains(self.scale() as f32),
            _ => Training::Frozen,
        }
    }
}
