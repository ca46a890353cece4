//! Method `opf`: a matrix trains as a chain of larger matrices, and is one matrix again afterwards.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::keep::Keep;
use crate::method::{Info, Method, Planned, Training, matrix_shape};
use crate::mpo::Mpo;
use crate::option::{Kind, OptionInfo, Options};
use crate::size::dense_matrix;
use std::sync::Arc;
use tenfold_linalg::{Matrix, Metric, MpoShape, svd_in_metric};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Role, form::Lowrank};

/// Cores beyond which a chain only costs.
const MOST_CORES: usize = 15;

/// What the method is.
pub static INFO: Info = Info {
    name: "opf",
    summary: "trains a matrix as a full-rank chain with square factors in the middle, and multiplies it out afterwards",
    equation: "W = L M1 ... M(m-2) R on interleaved indices, L of D' x D, R of D x D'', every M of D x D and the identity \
               up to signs at the start, D = min(ai aj, bi bj) for row factors ai,1..1,bi and column factors aj,1..1,bj; \
               (m - 1) D^2 parameters more where both sides are D; as product: W = L M1 ... M(m-2) R on W itself",
    when: "fine-tuning where rows are few and size at training time does not matter; what comes out has the size and \
           speed of what went in",
    when_not: "memory or time of training are short: a chain of m factors costs about m - 1 matrices of the same size",
    trains: "every factor",
    sources: &[
        "Gao et al. 2023, Small Pre-trained Language Models Can be Fine-tuned as Large Models via Over-Parameterization, \
         sections 3.2 and 3.3",
        "Arora, Cohen and Hazan 2018, On the Optimization of Deep Networks: Implicit Acceleration by \
         Overparameterization (the control, as product)",
    ],
    options: &[
        OptionInfo {
            name: "cores",
            kind: Kind::Integer(2, MOST_CORES as i64),
            default: "11",
            doc: "number of cores m; 2 is the baseline that the paper calls SVD",
        },
        OptionInfo {
            name: "growth",
            kind: Kind::Number(1.0, 100.0),
            default: "what cores gives",
            doc: "the fewest cores that hold so many times the numbers of the matrix, at most 15",
        },
        OptionInfo {
            name: "rows",
            kind: Kind::Factors,
            default: "the largest inner factors",
            doc: "ai and bi, the row factors at both ends; the paper has 32, 24 for 768 rows",
        },
        OptionInfo {
            name: "cols",
            kind: Kind::Factors,
            default: "the largest inner factors",
            doc: "aj and bj, given together with rows; the paper has 64, 48 for 3072 columns",
        },
        OptionInfo {
            name: "as",
            kind: Kind::Choice(&["operator", "product"]),
            default: "operator",
            doc: "operator interleaves rows and columns as the paper does; product multiplies plain matrices: singular \
                  vectors outside, identities between",
        },
        OptionInfo {
            name: "when",
            kind: Kind::Choice(&["start", "selected"]),
            default: "start",
            doc: "start: every weight of the step at once; selected: those that a phase with grow selects, when it does",
        },
        OptionInfo {
            name: "core-rate",
            kind: Kind::Number(1e-6, 1000.0),
            default: "1",
            doc: "learning rate of the factors as a multiple of the phase's",
        },
    ],
};

/// How many cores a matrix gets.
#[derive(Clone, Copy, Debug)]
enum Cores {
    Count(usize),
    Growth(f64),
}

/// A matrix as a chain of larger ones.
#[derive(Clone, Debug)]
pub struct Opf {
    cores: Cores,
    /// Row and column factors at both ends; nothing: the largest.
    ends: Option<[[usize; 2]; 2]>,
    product: bool,
    selected: bool,
    core_rate: f64,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let cores = match (options.count("cores"), options.number("growth")) {
        (Some(_), Some(_)) => {
            return Err(Error::Exclusive { method: INFO.name, first: "cores", second: "growth" });
        }
        (_, Some(growth)) => Cores::Growth(growth),
        (cores, None) => Cores::Count(cores.unwrap_or(11)),
    };
    Ok(Arc::new(Opf {
        cores,
        ends: ends(options)?,
        product: options.word("as") == Some("product"),
        selected: options.word("when") == Some("selected"),
        core_rate: options.number("core-rate").unwrap_or(1.0),
    }))
}

/// The factors at both ends that the options name.
fn ends(options: &Options) -> Result<Option<[[usize; 2]; 2]>, Error> {
    let (rows, cols) = (options.counts("rows"), options.counts("cols"));
    let pair = |list: &Option<Vec<usize>>| list.clone().and_then(|list| <[usize; 2]>::try_from(list).ok());
    match (pair(&rows), pair(&cols)) {
        (None, None) if rows.is_none() && cols.is_none() => Ok(None),
        (Some(rows), Some(cols)) => Ok(Some([rows, cols])),
        _ => {
            let expected = "rows and cols together, two factors each".to_owned();
            let got = format!("{rows:?} and {cols:?}");
            Err(Error::OptionValue { method: INFO.name, option: "rows", expected, got })
        }
    }
}

impl Opf {
    /// The operator of a weight in so many cores.
    fn operator(&self, path: &Path, rows: usize, cols: usize, cores: usize) -> Result<Mpo, Error> {
        let [row_ends, col_ends] = self.ends.unwrap_or_else(|| MpoShape::largest_ends(rows, cols));
        Ok(Mpo::of_shape(&MpoShape::ends(row_ends, col_ends, cores).at(path)?))
    }

    /// The number of cores of a weight.
    fn cores(&self, path: &Path, form: &Form) -> Result<usize, Error> {
        let growth = match self.cores {
            Cores::Count(count) => return Ok(count),
            Cores::Growth(growth) => growth,
        };
        let numbers = form.shape().iter().product::<usize>() as f64;
        for cores in 2..MOST_CORES {
            if self.planned(path, form, cores)?.parameters as f64 >= growth * numbers {
                return Ok(cores);
            }
        }
        Ok(MOST_CORES)
    }

    fn planned(&self, path: &Path, form: &Form, cores: usize) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        if !self.product {
            return self.operator(path, rows, cols, cores)?.plan(path, form);
        }
        let rank = rows.min(cols);
        let pair = format!("low rank {rank}");
        let words = (2..cores).fold(pair.clone(), |inner, _| format!("{pair} (up {inner})"));
        let down = (cores - 2) * rank * rank + rank * cols;
        Ok(Planned::certain(words, vec![(Role::Down, down), (Role::Up, rank * rows)]))
    }

    /// The matrix as one low-rank pair of full rank with identities between.
    fn product(path: &Path, matrix: &Matrix, cores: usize) -> Result<Form, Error> {
        let rank = matrix.rows().min(matrix.cols());
        let pair = svd_in_metric(matrix, &Metric::Weights).at(path)?.truncate(rank);
        let array = |m: &Matrix| {
            let values = m.data().iter().map(|x| *x as f32).collect();
            Form::dense(Array::from_vec(values, &[m.rows(), m.cols()]))
        };
        let mut up = array(&pair.up);
        for _ in 2..cores {
            let mut identity = vec![0.0; rank * rank];
            identity.iter_mut().step_by(rank + 1).for_each(|x| *x = 1.0);
            let factor = Form::dense(Array::from_vec(identity, &[rank, rank]));
            up = Form::Lowrank(Lowrank::new(factor, up)?);
        }
        Ok(Form::Lowrank(Lowrank::new(array(&pair.down), up)?))
    }
}

impl Method for Opf {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        if self.selected { Keep.plan(path, form) } else { self.planned(path, form, self.cores(path, form)?) }
    }

    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        if self.selected { Keep.rewrite(path, form, evidence) } else { self.grown(path, form) }
    }

    fn schedule(&self, _step: u64, _path: &Path, role: Role) -> Training {
        match role {
            Role::Central | Role::Auxiliary | Role::Up | Role::Down => {
                Training::Trains(self.core_rate as f32)
            }
            _ => Training::Trains(1.0),
        }
    }

    fn grows(&self) -> bool {
        self.selected
    }

    fn grown(&self, path: &Path, form: &Form) -> Result<Form, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let cores = self.cores(path, form)?;
        if self.product {
            return Self::product(path, &dense_matrix(path, form)?, cores);
        }
        self.operator(path, rows, cols, cores)?.rewrite(path, form, &Evidence::none())
    }

    fn contracts(&self) -> bool {
        true
    }
}
