//! Method `trellis`: few bits behind a Hadamard transform, in a trellis code with feedback.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::gptq;
use crate::method::{Coded, Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::size::dense_matrix;
use std::sync::Arc;
use tenfold_linalg::quant::{self, Hadamard, TrellisOptions, trellis_ldlq};
use tenfold_tensor::{Codes, Scheme, Trellis};
use tenfold_weight::{Form, Path, Role, form};

/// What the method is.
pub static INFO: Info = Info {
    name: "trellis",
    summary: "turns the inputs so that weights look normal, and codes columns of outputs in a trellis, with feedback of errors",
    equation: "W' = diag(s) C H S: signs S from a seed, H orthonormal, C the values of a trellis code along the outputs; columns of W S H^T \
               go one by one, and those to come make up for each error in the metric of the turned inputs",
    when: "2 bits: a fraction of the error of scalar codes at fewer bytes, as no groups need scales",
    when_not: "4 bits and more, where scalar codes lose little and multiply faster; runtimes that read GGUF or GPTQ files",
    trains: "nothing of the codes; what a later step adds beside them",
    sources: &[
        "Tseng et al. 2024, QTIP: Quantization with Trellises and Incoherence Processing, sections 3 and 4",
        "Tseng et al. 2024, QuIP#: Even Better LLM Quantization with Hadamard Incoherence and Lattice Codebooks, section 3",
    ],
    options: &[
        OptionInfo {
            name: "bits",
            kind: Kind::Integer(1, 4),
            default: "2",
            doc: "bits of a symbol, one symbol a weight",
        },
        OptionInfo {
            name: "window",
            kind: Kind::Integer(5, 16),
            default: "12",
            doc: "bits that give a value; each one more doubles the time of coding, and lowers the error",
        },
        OptionInfo {
            name: "refit",
            kind: Kind::Flag,
            default: "true",
            doc: "fits the factor of each row again to the values it got; the better is kept",
        },
        OptionInfo { name: "seed", kind: Kind::Integer(0, i64::MAX), default: "1", doc: "seed of the signs" },
        gptq::DAMPING,
    ],
};

/// Trellis codes of turned weights.
#[derive(Clone, Copy, Debug)]
pub struct Coding {
    scheme: Trellis,
    options: TrellisOptions,
    seed: u64,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options; a window that is no larger than a symbol.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let (bits, window) = (options.count("bits").unwrap_or(2), options.count("window").unwrap_or(12));
    let scheme = Trellis::new(bits as u8, window as u8).ok_or_else(|| Error::OptionValue {
        method: INFO.name,
        option: "window",
        expected: format!("more than the {bits} bits of a symbol, at most 16"),
        got: window.to_string(),
    })?;
    let usual = TrellisOptions::default();
    let refit = !options.0.contains_key("refit") || options.flag("refit");
    let damping = options.number("damping").unwrap_or(usual.damping);
    let seed = options.count("seed").unwrap_or(1) as u64;
    let options = TrellisOptions { tile: (scheme.run(), 1), damping, half: true, refit };
    Ok(Arc::new(Coding { scheme, options, seed }))
}

impl Method for Coding {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let scheme = Scheme::Trellis(self.scheme);
        let column = self.scheme.row_bytes(rows);
        // A factor for each row, in half precision.
        let codes = Coded { numbers: rows * cols + rows, bytes: cols * column + 2 * rows };
        let words = format!("rotated row-scaled quant {scheme} by columns");
        Ok(Planned::certain(words, Vec::new()).with_codes(codes))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.plan(path, form)?;
        let (w, moment) = (dense_matrix(path, form)?, evidence.moment(path)?);
        let (rows, cols) = (w.rows(), w.cols());
        let transform = Hadamard::new(cols, self.seed).at(path)?;
        let (window, bits) = (u32::from(self.scheme.window()), u32::from(self.scheme.bits()));
        let trellis = quant::Trellis::with_values(window, bits, |state| self.scheme.value(state)).at(path)?;
        let coded = trellis_ldlq(&transform.rows(&w), &transform.moment(moment), &trellis, &self.options);
        let coded = coded.at(path)?;
        let size = self.scheme.row_bytes(rows);
        let mut bytes = vec![0; cols * size];
        // Tiles of one column: the symbols of a column lie together.
        for (symbols, bytes) in coded.symbols.chunks_exact(rows).zip(bytes.chunks_exact_mut(size)) {
            self.scheme.pack(symbols, bytes);
        }
        let fault = tenfold_weight::Error::from;
        let codes = Codes::new(Scheme::Trellis(self.scheme), cols, rows, bytes).map_err(fault)?;
        let factors: Vec<f32> = coded.scales.iter().map(|&scale| scale as f32).collect();
        let factors = Codes::halves(&factors, 1, rows).map_err(fault)?;
        let factors = Form::Quant(form::Quant::new(factors, vec![rows])?);
        let scaled = form::Scaled::rows(Form::Quant(form::Quant::columns(codes)), factors)?;
        Ok(Form::Rotated(form::Rotated::new(Form::Scaled(scaled), self.seed)?))
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}
