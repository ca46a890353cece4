//! Method `awq`: columns whose inputs are large are stretched before they are rounded, and their inputs shrunk.

mod stretch;

use crate::error::Error;
use crate::evidence::Evidence;
use crate::gptq;
use crate::method::{Coded, Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, SOLVER, Solver, Target};
use crate::size::dense_matrix;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stretch::{Stretch, Stretched, Where};
use tenfold_linalg::{Matrix, Metric, output_error, parallel};
use tenfold_weight::{Form, Norm, Path, Role, Wiring};

/// What the method is.
pub static INFO: Info = Info {
    name: "awq",
    summary: "stretches the columns that large inputs meet, rounds, and shrinks the inputs by as much",
    equation: "W' = Q(W diag(s)) diag(1/s), s_j = (H_jj)^(a/2) up to a factor; a in [0, 1] is searched for the least |W - W'|_H",
    when: "plain rounding (solver = \"rtn\") to 4 or 3 bits of models with a few loud channels, at none of the cost of feedback",
    when_not: "with feedback of errors, which already knows which columns count; narrow matrices, where held factors cost much",
    trains: "nothing",
    sources: &[
        "Lin et al. 2024, AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration, equations 4 and 5 (root mean \
         squares in place of mean magnitudes)",
    ],
    options: &[
        OptionInfo {
            name: "points",
            kind: Kind::Integer(1, 100),
            default: "10",
            doc: "exponents tried above 0, up to 1; each is one rounding",
        },
        OptionInfo {
            name: "fold",
            kind: Kind::Flag,
            default: "true",
            doc: "puts 1/s into the gain (and bias) of a norm where those and all that read through the norm are selected; else each \
                  matrix holds its own in half precision",
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

/// Roots below this share of the largest count as this share: dead columns are not stretched without end.
const FLOOR: f64 = 1e-4;

/// Stretched columns under few bits.
#[derive(Clone, Debug)]
pub struct Awq {
    points: usize,
    fold: bool,
    target: Target,
    solver: Solver,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    Ok(Arc::new(Awq {
        points: options.count("points").unwrap_or(10),
        fold: !options.0.contains_key("fold") || options.flag("fold"),
        target: Target::of(options, &INFO)?,
        solver: Solver::of(options),
    }))
}

impl Awq {
    /// The norms that take factors: they are selected, and so is all that reads through them.
    fn folding<'w>(&self, weights: &[(Path, &Form)], wiring: &'w Wiring) -> Vec<&'w Norm> {
        let selected: BTreeSet<&Path> = weights.iter().map(|(path, _)| path).collect();
        let takes = |norm: &&Norm| {
            let mut needed = norm.bias.iter().chain([&norm.gain]).chain(&norm.readers);
            !norm.readers.is_empty() && needed.all(|path| selected.contains(path))
        };
        let norms = wiring.spaces.iter().flat_map(|space| &space.norms);
        if self.fold { norms.filter(takes).collect() } else { Vec::new() }
    }

    /// What becomes of a matrix whose factors stand elsewhere, or with it.
    fn planned(&self, path: &Path, form: &Form, held: bool) -> Result<Planned, Error> {
        let base = self.target.plan(path, form)?;
        let (_, cols) = matrix_shape(path, form)?;
        if !held {
            return Ok(base);
        }
        let codes = Coded { numbers: base.codes.numbers + cols, bytes: base.codes.bytes + 2 * cols };
        Ok(Planned::certain(format!("scaled {}", base.form), Vec::new()).with_codes(codes))
    }

    /// The factors with which some matrices that read the same inputs lose least together.
    fn search(&self, matrices: &[(&Path, Matrix)], moment: &Matrix, at: Where) -> Result<Vec<f64>, Error> {
        let cols = moment.cols();
        let roots: Vec<f64> = (0..cols).map(|col| moment.get(col, col).max(0.0).sqrt()).collect();
        let largest = roots.iter().copied().fold(0.0, f64::max);
        let mut best = (f64::INFINITY, vec![1.0; cols]);
        if largest == 0.0 {
            return Ok(best.1);
        }
        let floored: Vec<f64> = roots.iter().map(|root| root.max(FLOOR * largest)).collect();
        let least = floored.iter().copied().fold(f64::INFINITY, f64::min);
        let norms: Vec<f64> = matrices.iter().map(|(_, w)| quantize::power(w, moment)).collect();
        for point in 0..=self.points {
            let exponent = point as f64 / self.points as f64;
            // In the middle of its range, so that neither side leaves the range of half precision first.
            let middle = (largest * least).sqrt().powf(exponent);
            let factors = floored.iter().map(|root| at.stored(root.powf(exponent) / middle));
            let factors: Vec<f64> = factors.collect();
            let mut loss = 0.0;
            for ((path, w), norm) in matrices.iter().zip(&norms) {
                let stretch = Stretch { factors: &factors };
                let codes = stretch.encode(self.solver, self.target, path, w, moment)?;
                let back = stretch.shrunk(&dense_matrix(path, &codes)?);
                loss += norm * output_error(w, &back, &Metric::Inputs(moment)).powi(2);
            }
            if loss < best.0 {
                best = (loss, factors);
            }
        }
        Ok(best.1)
    }
}

impl Method for Awq {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        match form.shape().len() {
            // A gain or bias: its norm may take factors, its size stays.
            1 => Ok(Planned::kept(path, form)),
            _ => self.planned(path, form, true),
        }
    }

    fn plan_together(&self, weights: &[(Path, &Form)], wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        let norms = self.folding(weights, wiring);
        let folded: BTreeSet<&Path> = norms.iter().flat_map(|norm| &norm.readers).collect();
        let plan = |(path, form): &(Path, &Form)| match folded.contains(path) {
            true => self.planned(path, form, false),
            false => self.plan(path, form),
        };
        weights.iter().map(plan).collect()
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let forms: BTreeMap<&Path, &Form> = weights.iter().map(|(path, form)| (path, *form)).collect();
        let norms = self.folding(weights, evidence.wiring());
        let folded: BTreeSet<&Path> = norms.iter().flat_map(|norm| &norm.readers).collect();
        // What shares factors: the readers of a norm, or one matrix.
        let mut jobs: Vec<(Vec<&Path>, Option<&Norm>)> =
            norms.iter().map(|norm| (norm.readers.iter().collect(), Some(*norm))).collect();
        let alone = weights.iter().filter(|(path, form)| form.shape().len() != 1 && !folded.contains(path));
        jobs.extend(alone.map(|(path, _)| (vec![path], None)));
        let work = |(paths, _): &(Vec<&Path>, Option<&Norm>)| {
            let size =
                |path: &&Path| forms.get(*path).map_or(0, |form| form.shape().iter().product::<usize>());
            paths.iter().map(size).sum::<usize>() as u64
        };
        let found = parallel::map(&jobs, work, |(paths, norm)| {
            let at = if norm.is_some() { Where::Norm } else { Where::Held };
            let read = paths.iter().map(|&path| Ok((path, dense_matrix(path, forms[path])?)));
            let matrices = read.collect::<Result<Vec<_>, Error>>()?;
            let moment = evidence.joint_moment(paths.iter().copied())?;
            let fits = matrices.iter().all(|(_, w)| w.cols() == moment.cols());
            if !fits {
                return Err(Error::NoEvidence { path: paths[0].clone() });
            }
            self.search(&matrices, &moment, at)
        });
        let mut settled: BTreeMap<&Path, Arc<dyn Method>> = BTreeMap::new();
        for ((paths, norm), factors) in jobs.iter().zip(found) {
            let factors = Arc::new(factors?);
            let of = |at| Stretched {
                factors: Arc::clone(&factors),
                target: self.target,
                solver: self.solver,
                at,
            };
            let at = if norm.is_some() { Where::Norm } else { Where::Held };
            settled.extend(paths.iter().map(|path| (*path, Arc::new(of(at)) as Arc<dyn Method>)));
            let vectors = norm.iter().flat_map(|norm| norm.bias.iter().chain([&norm.gain]));
            settled.extend(vectors.map(|path| (path, Arc::new(of(Where::Vector)) as Arc<dyn Method>)));
        }
        let keep: Arc<dyn Method> = Arc::new(crate::keep::Keep);
        let of = |(path, _): &(Path, &Form)| Arc::clone(settled.get(path).unwrap_or(&keep));
        Ok(Some(weights.iter().map(of).collect()))
    }

    /// Rewrites a single weight, which holds its own factors.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        if form.shape().len() != 1 {
            matrix_shape(path, form)?;
        }
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([method]) => method.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}
