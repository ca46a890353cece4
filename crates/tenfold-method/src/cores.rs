//! Method `cores`: rounds the cores of operators and the factors of low-rank products to few bits.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::gptq;
use crate::method::{Coded, Info, Method, Planned, Training, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::quantize::{self, SOLVER, Solver, Target};
use crate::size::{dense_matrix, multiplied};
use std::sync::Arc;
use tenfold_linalg::{Core, Matrix, moment_around};
use tenfold_weight::{Chain, Form, Path, Role, form};

/// What the method is.
pub static INFO: Info = Info {
    name: "cores",
    summary: "rounds every core of an operator, or both factors of a low-rank product, the largest to few bits",
    equation: "T_k' = round(T_k), the largest core last, in the metric sum L^T (I x H) R^T L R of the inputs through the cores around it",
    when: "after mpo or svd, where bytes count: a number of a core need not take four",
    when_not: "matrices that are not low in rank: few bits alone lose less at equal bytes",
    trains: "nothing",
    sources: &[
        "Gao et al. 2020, Compressing deep neural networks by matrix product operators, section II (the operator)",
        "Frantar et al. 2023, GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, algorithm 1 (the solver)",
    ],
    options: &[
        OptionInfo {
            name: "others",
            kind: Kind::Choice(&["bytes", "half", "same", "whole"]),
            default: "bytes",
            doc: "the factors besides the largest: 8 bits a number with a scale a row, half precision, as the largest, or as they are",
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

/// Numbers of a row of codes at least, where a factor has as many: scales should be few beside them.
const LEAST: usize = 16;

/// The longest row that is rounded with feedback: its moment is this wide and high.
const LONGEST: usize = 4096;

/// Factors under few bits.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    largest: Target,
    /// Nothing: left as they are.
    others: Option<Target>,
    solver: Solver,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let largest = Target::of(options, &INFO)?;
    let others = match options.word("others") {
        Some("half") => Some(Target::Half),
        Some("same") => Some(largest),
        Some("whole") => None,
        _ => Some(Target::absmax()),
    };
    Ok(Arc::new(Cores { largest, others, solver: Solver::of(options) }))
}

/// The matrix that a factor's numbers are rounded as, in the order in which they lie.
#[derive(Clone, Copy, Debug)]
struct Cut {
    rows: usize,
    cols: usize,
}

impl Cut {
    /// Rows of right bond and column factor; with the row factor, and with all the rest, where those are short. The rows of a matrix
    /// are its own.
    fn of([left, row, col, right]: [usize; 4], factor: &Form) -> Self {
        if let &[rows, cols] = factor.shape().as_slice() {
            return Self { rows, cols };
        }
        let (short, middle) = (col * right, row * col * right);
        match () {
            () if short >= LEAST => Self { rows: left * row, cols: short },
            () if middle >= LEAST => Self { rows: left, cols: middle },
            () => Self { rows: 1, cols: left * middle },
        }
    }

    /// The moment of a row: that of the factor's columns, as often as they stand side by side.
    fn moment(self, moment: &Matrix) -> Matrix {
        let width = moment.cols();
        Matrix::from_fn(self.cols, self.cols, |i, j| match i / width == j / width {
            true => moment.get(i % width, j % width),
            false => 0.0,
        })
    }
}

impl Cores {
    /// How each factor of these sizes is stored: in a scheme, or as it is.
    fn targets(&self, sizes: &[[usize; 4]]) -> Vec<Option<Target>> {
        let largest = largest(sizes);
        (0..sizes.len()).map(|at| if at == largest { Some(self.largest) } else { self.others }).collect()
    }

    /// Rounds the factors of a product, the largest last, so that its metric sees the others as they will be.
    fn product(
        &self,
        path: &Path,
        form: &Form,
        chain: &Chain<'_>,
        moment: Option<&Matrix>,
    ) -> Result<Form, Error> {
        let sizes = sizes(chain);
        let mut cores = Vec::new();
        for (factor, &[left, row, col, right]) in chain.factors.iter().zip(&sizes) {
            let data = multiplied(path, factor)?.data().iter().map(|value| f64::from(*value)).collect();
            cores.push(Core { left, row, col, right, data });
        }
        let largest = largest(&sizes);
        let mut order: Vec<usize> = (0..sizes.len()).filter(|at| *at != largest).collect();
        order.push(largest);
        let mut factors: Vec<Form> = chain.factors.iter().map(|factor| (*factor).clone()).collect();
        let targets = self.targets(&sizes);
        for k in order {
            let Some(target) = targets[k] else { continue };
            let cut = Cut::of(sizes[k], chain.factors[k]);
            // Bytes and halves hardly differ from what they stand for.
            let few =
                k == largest || matches!(self.others, Some(other) if other.scheme() == self.largest.scheme());
            let around = moment.filter(|_| few && cut.cols <= LONGEST);
            let around = around.map(|moment| cut.moment(&moment_around(&cores, k, moment)));
            let matrix = Matrix::new(cut.rows, cut.cols, cores[k].data.clone()).at(path)?;
            let coded = self.solver.encode(target, path, &matrix, around.as_ref())?;
            let Some(codes) = coded.as_codes() else { continue };
            cores[k].data = codes.values().data().iter().map(|value| f64::from(*value)).collect();
            factors[k] = Form::Quant(form::Quant::new(codes.clone(), chain.factors[k].shape())?);
        }
        Ok(form.with_factors(factors)?)
    }
}

impl Method for Cores {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        matches!(self.solver, Solver::Gptq(_))
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        matrix_shape(path, form)?;
        let Some(chain) = form.chain() else { return self.largest.plan(path, form) };
        let sizes = sizes(&chain);
        let (mut codes, mut left) = (Coded::default(), 0);
        for ((size, target), factor) in sizes.iter().zip(self.targets(&sizes)).zip(&chain.factors) {
            let Some(target) = target else {
                let kept = Coded::of(factor);
                codes = Coded { numbers: codes.numbers + kept.numbers, bytes: codes.bytes + kept.bytes };
                left += factor.parameters() - kept.numbers;
                continue;
            };
            let cut = Cut::of(*size, factor);
            let scheme = target.scheme();
            let bytes = scheme.row_bytes(cut.cols).ok_or_else(|| Error::BlockWidth {
                path: path.clone(),
                width: cut.cols,
                block: scheme.block(),
                scheme: scheme.to_string(),
            })?;
            let numbers = cut.rows * cut.cols;
            codes = Coded { numbers: codes.numbers + numbers, bytes: codes.bytes + cut.rows * bytes };
        }
        let words = format!("{}, factors rounded", form.describe());
        let parameters = codes.numbers + left;
        Ok(Planned { codes, ..Planned::at_most(words, parameters) })
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        self.plan(path, form)?;
        let moment = if self.needs_inputs() { Some(&**evidence.moment(path)?) } else { None };
        match form.chain() {
            Some(chain) => self.product(path, form, &chain, moment),
            None => self.solver.encode(self.largest, path, &dense_matrix(path, form)?, moment),
        }
    }

    fn schedule(&self, _step: u64, _path: &Path, _role: Role) -> Training {
        Training::Frozen
    }
}

/// The factor of the most numbers; the first of several.
fn largest(sizes: &[[usize; 4]]) -> usize {
    let numbers = |at: &usize| sizes[*at].iter().product::<usize>();
    (0..sizes.len()).rev().max_by_key(numbers).unwrap_or_default()
}

/// The sizes of every factor as a core: left bond, row factor, column factor, right bond.
fn sizes(chain: &Chain<'_>) -> Vec<[usize; 4]> {
    let mut left = 1;
    let pairs = chain.shape.row_factors().iter().zip(chain.shape.col_factors()).zip(&chain.factors);
    let size = pairs.map(|((&row, &col), factor)| {
        let right = factor.shape().iter().product::<usize>() / (left * row * col).max(1);
        [std::mem::replace(&mut left, right), row, col, right]
    });
    size.collect()
}
