//! Method `affine`: tuned scales and shifts go back into the scheme that files of few bits have.

use crate::error::Error;
use crate::evidence::Evidence;
use crate::method::{Coded, Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::size::multiplied;
use std::sync::Arc;
use tenfold_tensor::Scheme;
use tenfold_weight::form::Grouped;
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "affine",
    summary: "rounds tuned scales to half precision and shifts to whole zero points, so that the codes have a file format again",
    equation: "z' = round(z - t / s), w' = s (q - z'): no weight moves by more than half a scale; refused, or clamped, where z' is no code",
    when: "after peqa, qalora or what else tunes tables, before the model is written as a GPTQ or GGUF file",
    when_not: "shifts of half a scale matter, at 2 bits above all: the saved model holds tables as they are",
    trains: "nothing",
    sources: &[
        "Xu et al. 2024, QA-LoRA: Quantization-Aware Low-Rank Adaptation of Large Language Models, section 3.3 (zero points that are no \
         whole numbers)",
    ],
    options: &[OptionInfo {
        name: "clamp",
        kind: Kind::Flag,
        default: "false",
        doc: "a zero point beyond the codes becomes the last code in place of a refusal; what that costs is part of the error reported",
    }],
};

/// Tables back into groups; weights without tables stay as they are.
#[derive(Clone, Copy, Debug)]
pub struct Affine {
    clamp: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Affine { clamp: options.flag("clamp") }))
}

/// The scheme with scales, and whether shifts may yet make it another.
fn scheme(tables: &Grouped) -> Option<(tenfold_tensor::Affine, bool)> {
    match tables.codes().scheme() {
        Scheme::Affine(affine) => Some((affine.scaled(), affine.is_symmetric() && tables.shift().is_some())),
        _ => None,
    }
}

impl Method for Affine {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let Some((affine, open)) = form.as_grouped().and_then(scheme) else {
            return Ok(Planned::kept(path, form));
        };
        let words = format!("quant {}", Scheme::Affine(affine));
        if open {
            return Ok(Planned::at_most(words, rows * cols));
        }
        let codes = Coded { numbers: rows * cols, bytes: rows * affine.row_bytes(cols) };
        Ok(Planned::certain(words, Vec::new()).with_codes(codes))
    }

    fn rewrite(&self, path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        matrix_shape(path, form)?;
        let Some(tables) = form.as_grouped() else { return Ok(form.clone()) };
        let scales = multiplied(path, tables.scale())?;
        let shifts = tables.shift().map(|shift| multiplied(path, shift)).transpose()?;
        let codes = tables.codes().joined(&scales, shifts.as_ref(), self.clamp);
        Ok(Form::quant(codes.map_err(|source| Error::Unfit { path: path.clone(), source })?))
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}
