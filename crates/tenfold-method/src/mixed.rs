//! Method `mixed`: for each matrix its bits, all matrices under one budget in bytes.

mod scheme;

use crate::budget::{self, Candidate, Curve};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::gptq;
use crate::keep::Keep;
use crate::method::{Coded, Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, SOLVER, Solver};
use crate::size::dense_matrix;
use scheme::{Rounded, Schemes};
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_linalg::{Metric, output_error, parallel};
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "mixed",
    summary: "rounds each matrix to bits of its own, or keeps it, so that all together fit a budget in bytes and lose least",
    equation: "minimize sum_m s_m |W_m - W'_m|_H^2 / |W_m|_H^2 over the schemes tried, subject to sum_m bytes_m <= budget; H is the \
               second moment of the inputs, s_m the relative change of the model's output per relative error of m",
    when: "a size between those of whole schemes is asked for, or some matrices are known to suffer more than others: the matrices \
           that a study keeps in 16 bit are tried = [2, 16] with together = \"kinds\"",
    when_not: "runtimes that want one scheme everywhere",
    trains: "nothing of the codes; what a later step adds beside them",
    sources: &[
        "Liu et al. 2024, Do Emergent Abilities Exist in Quantized Large Language Models, section 4 (matrices kept by solver error)",
        "Shoham and Gersho 1988, Efficient bit allocation for an arbitrary set of quantizers",
    ],
    options: &[
        OptionInfo {
            name: "bits",
            kind: Kind::Number(1.0, 32.0),
            default: "4.5",
            doc: "bytes of all selected matrices together, scales included, as bits a weight",
        },
        OptionInfo {
            name: "bytes",
            kind: Kind::Integer(1, i64::MAX),
            default: "as bits say",
            doc: "bytes of all selected matrices together",
        },
        OptionInfo {
            name: "tried",
            kind: Kind::Factors,
            default: "2, 3, 4, 5, 6, 8, 16, 32",
            doc: "bits of the codes that are tried: 1 to 8, 16 for half precision, 32 to leave the matrix as it is",
        },
        OptionInfo {
            name: "family",
            kind: Kind::Choice(&["groups", "blocks"]),
            default: "groups",
            doc: "where codes lie: in groups, or in blocks of GGUF files (2 to 6 and 8 bits; rows that k-blocks do not divide get the \
                  blocks of 32 that do)",
        },
        OptionInfo {
            name: "together",
            kind: Kind::Choice(&["each", "kinds"]),
            default: "each",
            doc: "each matrix for itself; or the same for matrices whose paths differ in numbers alone, as those of layers do",
        },
        OptionInfo {
            name: "weigh",
            kind: Kind::Choice(&["outputs", "alike", "solver"]),
            default: "outputs",
            doc: "what an error counts: outputs, as much as it changes the model's output, measured by disturbing each matrix once; \
                  alike, its share of the matrix's own output; solver, its square as it is, as the study pools it",
        },
        quantize::GROUP,
        quantize::RANGE,
        quantize::CLIP,
        SOLVER,
        gptq::ORDER,
        gptq::DAMPING,
        gptq::REFITS,
        gptq::POLISH,
    ],
};

/// Bits a weight when a step does not say.
const DEFAULT_BITS: f64 = 4.5;
/// What is tried when a step does not say.
const DEFAULT_TRIED: [usize; 8] = [2, 3, 4, 5, 6, 8, 16, 32];

/// What an error counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weighing {
    Outputs,
    Alike,
    Solver,
}

/// Bits per matrix under one budget.
#[derive(Clone, Debug)]
pub struct Mixed {
    /// Bits a weight.
    bits: f64,
    /// Bytes, which come before bits.
    bytes: Option<usize>,
    schemes: Schemes,
    solver: Solver,
    by_kind: bool,
    weighing: Weighing,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options; numbers of bits that no scheme has.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let bytes = options.count("bytes");
    if bytes.is_some() && options.0.contains_key("bits") {
        return Err(Error::Exclusive { method: INFO.name, first: "bits", second: "bytes" });
    }
    let tried = options.counts("tried").unwrap_or(DEFAULT_TRIED.to_vec());
    let weighing = match options.word("weigh") {
        Some("alike") => Weighing::Alike,
        Some("solver") => Weighing::Solver,
        _ => Weighing::Outputs,
    };
    Ok(Arc::new(Mixed {
        bits: options.number("bits").unwrap_or(DEFAULT_BITS),
        bytes,
        schemes: Schemes::of(options, &tried)?,
        solver: Solver::of(options),
        by_kind: options.word("together") == Some("kinds"),
        weighing,
    }))
}

impl Mixed {
    /// The budget of so many numbers in bytes.
    fn budget(&self, numbers: usize) -> usize {
        self.bytes.unwrap_or((self.bits * numbers as f64 / 8.0) as usize)
    }

    /// The bytes of the smallest and of the largest scheme that a matrix can have.
    fn bounds(&self, path: &Path, form: &Form) -> Result<(usize, usize), Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let sizes: Vec<usize> =
            self.schemes.of_width(cols).map(|(_, scheme)| scheme.bytes(rows, cols)).collect();
        match (sizes.iter().min(), sizes.iter().max()) {
            (Some(least), Some(most)) => Ok((*least, *most)),
            _ => Err(self.schemes.none_fits(path, cols)),
        }
    }

    /// What each scheme costs and loses on a matrix.
    fn measure(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Vec<Candidate<usize>>, Error> {
        let w = dense_matrix(path, form)?;
        let metric = evidence.metric(path)?;
        let moment = if let Metric::Inputs(moment) = metric { Some(moment) } else { None };
        let counts = match (self.weighing, moment) {
            (Weighing::Outputs, _) => evidence.sensitivity(path),
            (Weighing::Alike, _) => 1.0,
            (Weighing::Solver, Some(moment)) => quantize::power(&w, moment),
            (Weighing::Solver, None) => w.frobenius().powi(2),
        };
        let mut found = Vec::new();
        for (bits, scheme) in self.schemes.of_width(w.cols()) {
            let loss = match scheme.target() {
                None => 0.0,
                Some(target) => {
                    let coded = self.solver.encode(target, path, &w, moment)?;
                    counts * output_error(&w, &dense_matrix(path, &coded)?, &metric).powi(2)
                }
            };
            found.push(Candidate { size: scheme.bytes(w.rows(), w.cols()), loss, how: bits });
        }
        Ok(found)
    }
}

impl Method for Mixed {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn spans_layers(&self) -> bool {
        true
    }

    fn needs_sensitivity(&self) -> bool {
        self.weighing == Weighing::Outputs
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        matrix_shape(path, form)?;
        let mut planned = self.plan_together(&[(path.clone(), form)], &Default::default())?;
        planned.pop().ok_or_else(|| Error::NotAMatrix { path: path.clone(), got: form.shape() })
    }

    /// A share of the budget for each, by its numbers: the sum holds, the single ones are settled by what is measured.
    fn plan_together(
        &self,
        weights: &[(Path, &Form)],
        _wiring: &tenfold_weight::Wiring,
    ) -> Result<Vec<Planned>, Error> {
        let (mut numbers, mut least, mut most) = (Vec::new(), 0, 0);
        for (path, form) in weights {
            let (low, high) = self.bounds(path, form)?;
            numbers.push(form.shape().iter().product::<usize>());
            (least, most) = (least + low, most + high);
        }
        let total: usize = numbers.iter().sum();
        let budget = self.budget(total);
        if budget < least {
            return Err(Error::Budget { budget, least, unit: "bytes" });
        }
        let allowed = budget.min(most);
        // By differences of running sums, so that all together are the budget to the byte.
        let mut before = 0;
        let share = |numbers: usize| (allowed as u128 * numbers as u128 / total.max(1) as u128) as usize;
        let planned = |numbers: usize| {
            let bytes = share(before + numbers) - share(before);
            before += numbers;
            Planned::at_most(self.schemes.to_string(), 0).with_codes(Coded { numbers, bytes })
        };
        Ok(numbers.into_iter().map(planned).collect())
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let work = |(_, form): &(Path, &Form)| match form.shape().as_slice() {
            &[rows, cols] => (rows * cols * cols) as u64,
            _ => 0,
        };
        let measured = parallel::map(weights, work, |(path, form)| self.measure(path, form, evidence));
        let mut kinds: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, (path, _)) in weights.iter().enumerate() {
            let name = if self.by_kind { kind(path) } else { path.to_string() };
            kinds.entry(name).or_default().push(at);
        }
        let measured = measured.into_iter().collect::<Result<Vec<_>, _>>()?;
        let pooled = |members: &Vec<usize>| pool(members.iter().map(|at| measured[*at].as_slice()));
        let curves: Vec<Curve<usize>> = kinds.values().map(pooled).map(Curve::of).collect();
        if let Some((_, members)) =
            kinds.iter().zip(&curves).find(|(_, curve)| curve.candidates().is_empty()).map(|(kind, _)| kind)
        {
            let (path, form) = &weights[members[0]];
            return Err(self.schemes.none_fits(path, form.shape().last().copied().unwrap_or(0)));
        }
        let numbers = weights.iter().map(|(_, form)| form.shape().iter().product::<usize>()).sum();
        let chosen = budget::choose(&curves, self.budget(numbers), "bytes")?;
        let keep: Arc<dyn Method> = Arc::new(Keep);
        let mut methods: Vec<Arc<dyn Method>> = weights.iter().map(|_| Arc::clone(&keep)).collect();
        for ((members, curve), at) in kinds.values().zip(&curves).zip(chosen) {
            let bits = curve.candidates()[at].how;
            for member in members {
                let cols = weights[*member].1.shape().last().copied().unwrap_or(0);
                let target = self.schemes.of_width(cols).find(|(tried, _)| *tried == bits);
                if let Some(target) = target.and_then(|(_, scheme)| scheme.target()) {
                    methods[*member] = Arc::new(Rounded { target, solver: self.solver });
                }
            }
        }
        Ok(Some(methods))
    }

    /// Rewrites a single weight under the same budget.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        matrix_shape(path, form)?;
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([method]) => method.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}

/// The path with every number replaced: the same for a matrix of every layer.
fn kind(path: &Path) -> String {
    let segment = |segment: &str| match segment.bytes().all(|sign| sign.is_ascii_digit()) {
        true => "*".to_owned(),
        false => segment.to_owned(),
    };
    path.as_str().split('.').map(segment).collect::<Vec<_>>().join(".")
}

/// What several matrices cost and lose together, by the bits that all of them can have.
fn pool<'c>(members: impl Iterator<Item = &'c [Candidate<usize>]>) -> Vec<Candidate<usize>> {
    let (mut sums, mut count) = (BTreeMap::<usize, (Candidate<usize>, usize)>::new(), 0);
    for candidates in members {
        count += 1;
        for one in candidates {
            let blank = || (Candidate { size: 0, loss: 0.0, how: one.how }, 0);
            let (sum, seen) = sums.entry(one.how).or_insert_with(blank);
            (sum.size, sum.loss, *seen) = (sum.size + one.size, sum.loss + one.loss, *seen + 1);
        }
    }
    sums.into_values().filter(|(_, seen)| *seen == count).map(|(sum, _)| sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_layers_make_no_kind() {
        let of = |path: &str| kind(&Path::new(path));
        assert_eq!(of("layers.0.mlp.down_proj.weight"), of("layers.17.mlp.down_proj.weight"));
        assert_ne!(of("layers.0.mlp.down_proj.weight"), of("layers.0.mlp.up_proj.weight"));
        assert_eq!(of("layers.3.dense2.weight"), "layers.*.dense2.weight");
    }

    #[test]
    fn what_one_member_cannot_have_no_kind_has() {
        let one = |size, loss, how| Candidate { size, loss, how };
        let (first, second) = ([one(2, 3.0, 2), one(4, 1.0, 4)], [one(5, 0.5, 4)]);
        let pooled = pool([first.as_slice(), second.as_slice()].into_iter());
        let found: Vec<_> = pooled.iter().map(|sum| (sum.size, sum.loss, sum.how)).collect();
        assert_eq!(found, [(9, 1.5, 4)]);
    }
}
