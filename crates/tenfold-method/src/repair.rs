//! Method `repair`: few bits, and a low-rank product beside them for what they miss.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::gptq;
use crate::method::{Coded, Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, SOLVER, Solver, Target};
use crate::size::dense_matrix;
use std::sync::Arc;
use tenfold_linalg::quant::repair;
use tenfold_linalg::{Matrix, Metric, TruncatedSvd, output_error};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Role, form};

/// What the method is.
pub static INFO: Info = Info {
    name: "repair",
    summary: "rounds a matrix to few bits and adds a low-rank product for what that missed, in the metric of the inputs",
    equation: "W' = Q + B A, rounds of Q = round(W - B A), B A = argmin_{rank r} |W - Q - B A|_H from B A = 0; the best round is kept",
    when: "3 bits and fewer, where a few ranks cost less than a bit more; as the start of an adapter that trains beside codes",
    when_not: "4 bits and more with feedback: the same bytes as smaller groups do more",
    trains: "both factors, unless they are stored in half precision; the codes keep their bits",
    sources: &[
        "Liu et al. 2024, EoRA: Fine-tuning-free Compensation for Compressed LLM with Eigenspace Low-Rank Approximation (rounds = 1)",
        "Li et al. 2023, LoftQ: LoRA-Fine-Tuning-Aware Quantization for Large Language Models, algorithm 1 (rounds above 1, metric weights)",
    ],
    options: &[
        OptionInfo {
            name: "rank",
            kind: Kind::Integer(1, 65_536),
            default: "8",
            doc: "rank r of the product",
        },
        OptionInfo {
            name: "rounds",
            kind: Kind::Integer(1, 20),
            default: "1",
            doc: "how often rounding and product alternate; the error never rises, since the best round is kept",
        },
        OptionInfo {
            name: "metric",
            kind: Kind::Choice(&["inputs", "weights"]),
            default: "inputs",
            doc: "what the product is best for: the output on calibration text, or the weights alone as LoftQ has it",
        },
        OptionInfo {
            name: "factors",
            kind: Kind::Choice(&["whole", "half"]),
            default: "whole",
            doc: "how A and B are stored: as numbers that train, or in half precision, constant",
        },
        quantize::BITS,
        quantize::GROUP,
        quantize::RANGE,
        quantize::CLIP,
        quantize::BLOCKS,
        SOLVER,
        gptq::ORDER,
        gptq::DAMPING,
        gptq::REFITS,
        gptq::POLISH,
    ],
};

/// Codes with a product beside them.
#[derive(Clone, Debug)]
pub struct Repair {
    rank: usize,
    rounds: usize,
    inputs: bool,
    half: bool,
    target: Target,
    solver: Solver,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Repair {
        rank: options.count("rank").unwrap_or(8),
        rounds: options.count("rounds").unwrap_or(1),
        inputs: options.word("metric") != Some("weights"),
        half: options.word("factors") == Some("half"),
        target: Target::of(options, &INFO)?,
        solver: Solver::of(options),
    }))
}

impl Repair {
    fn factor(&self, m: &Matrix) -> Result<Form, Error> {
        match self.half {
            true => quantize::halves(m),
            false => Ok(Form::dense(Array::from_vec(m.to_f32(), &[m.rows(), m.cols()]))),
        }
    }
}

impl Method for Repair {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.inputs || matches!(self.solver, Solver::Gptq(_))
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        if self.rank > rows.min(cols) {
            return Err(Error::Rank { path: path.clone(), rank: self.rank, most: rows.min(cols) });
        }
        let (base, added) = (self.target.plan(path, form)?, self.rank * (rows + cols));
        let product = match self.half {
            true => format!("low rank {} (up quant f16; down quant f16)", self.rank),
            false => format!("low rank {}", self.rank),
        };
        let words = format!("{} + {product}", base.form);
        if self.half {
            let Coded { numbers, bytes } = base.codes;
            let codes = Coded { numbers: numbers + added, bytes: bytes + 2 * added };
            return Ok(Planned::certain(words, Vec::new()).with_codes(codes));
        }
        let roles = vec![(Role::Down, self.rank * cols), (Role::Up, self.rank * rows)];
        Ok(Planned::certain(words, roles).with_codes(base.codes))
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.plan(path, form)?;
        let w = dense_matrix(path, form)?;
        let moment = if self.needs_inputs() { Some(&**evidence.moment(path)?) } else { None };
        let flat = Matrix::zeros(w.cols(), w.cols());
        let seen = moment.filter(|_| self.inputs).unwrap_or(&flat);
        // The repair counts a moment of nothing as the identity; so does the error that rounds are compared by.
        let metric = if seen.max_abs() == 0.0 { Metric::Weights } else { Metric::Inputs(seen) };
        let mut best: Option<(f64, Form, TruncatedSvd)> = None;
        let mut rest = w.clone();
        for _ in 0..self.rounds {
            let codes = self.solver.encode(self.target, path, &rest, moment)?;
            let rounded = dense_matrix(path, &codes)?;
            let product = repair(&w, &rounded, seen, self.rank).at(path)?;
            let low = product.up.matmul(&product.down);
            rest = w.subtract(&low);
            // W - Q - BA, as the distance of what is left for the codes from the codes.
            let error = output_error(&w, &w.subtract(&rest.subtract(&rounded)), &metric);
            if best.as_ref().is_none_or(|(least, ..)| error < *least) {
                best = Some((error, codes, product));
            }
        }
        let Some((_, codes, product)) = best else { return Ok(form.clone()) };
        let product = form::Lowrank::new(self.factor(&product.down)?, self.factor(&product.up)?)?;
        Ok(Form::sum(codes, Form::Lowrank(product))?)
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        match role {
            Role::Down | Role::Up => Training::Trains(1.0),
            _ => Training::Frozen,
        }
    }
}
