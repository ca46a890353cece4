//! Dimension squeezing: which bond of which operator to lower next.
//!
//! A [`Squeezer`] holds the selected operators in the symmetric gauge, in which lowering a bond is slicing, and the
//! spectra of their bonds, from which the error bound of every possible cut is known without making it. It makes the
//! cut that a criterion finds least harmful, as often as asked, and hands back the changed forms. Between its uses the
//! operators are trained; [`Squeezer::new`] on the trained forms gives fresh spectra.
//!
//! # Source
//! Liu et al. 2021 (MPOP), section 4.2 and algorithm 2, whose choice is [`Criterion::Bound`]. The paper lowers "the
//! dimension of the central tensor"; it has two, and [`Reach::Central`] takes either.

use crate::error::{At, Error};
use tenfold_linalg::{Core, Mpo, parallel};
use tenfold_tensor::Array;
use tenfold_weight::{Address, Form, Path};

/// What a cut is judged by; the least goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// The error bound of the matrix after the cut, root of the sum of squared tails over its bonds, as published.
    Bound,
    /// The same, relative to the matrix's norm.
    Relative,
    /// What the cut adds to the squared bound.
    Increment,
    /// What the cut adds to the squared bound per parameter that it saves.
    PerParameter,
    /// The same, with the bound relative to the matrix's norm: matrices of large and of small numbers count alike.
    RelativePerParameter,
}

/// Which bonds are candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The bonds beside the central core.
    Central,
    /// Every bond.
    All,
    /// One cap per matrix on all its bonds together.
    Common,
}

/// How to squeeze.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqueezeOptions {
    /// What a cut is judged by.
    pub criterion: Criterion,
    /// Which bonds are candidates.
    pub reach: Reach,
    /// By how much a cut lowers a bond; at least 1.
    pub step: usize,
}

/// A possible cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The operator, by its place in the list that the squeezer was made of.
    pub weight: usize,
    /// All n + 1 bonds of the operator afterwards.
    pub bonds: Vec<usize>,
    /// The inner bond that is lowered, from 1; the largest where all are capped.
    pub bond: usize,
    /// Its size before.
    pub from: usize,
    /// Its size afterwards.
    pub to: usize,
    /// What the criterion makes of it; the least goes first.
    pub score: f64,
    /// The error bound of the matrix afterwards, an absolute Frobenius norm.
    pub bound: f64,
    /// Stored parameters that it saves.
    pub saved: usize,
}

/// The operators that are squeezed, with their spectra.
#[derive(Clone, Debug)]
pub struct Squeezer {
    weights: Vec<Squeezed>,
}

#[derive(Clone, Debug)]
struct Squeezed {
    options: SqueezeOptions,
    path: Path,
    chain: Mpo,
    bonds: Vec<usize>,
    touched: bool,
}

impl Squeezer {
    /// Brings operators into the symmetric gauge and finds their spectra; the matrices are never built.
    ///
    /// # Errors
    /// [`Error::NotAnOperator`] for any other form, and numerical failure, naming the path.
    pub fn new(weights: &[(SqueezeOptions, Path, &Form)]) -> Result<Self, Error> {
        let work = |(_, _, form): &(SqueezeOptions, Path, &Form)| form.parameters() as u64;
        let each = parallel::map(weights, work, |(options, path, form)| {
            let chain = chain(path, form)?;
            let bonds = chain.bonds.clone();
            Ok(Squeezed { options: *options, path: path.clone(), bonds, chain, touched: false })
        });
        Ok(Self { weights: each.into_iter().collect::<Result<_, Error>>()? })
    }

    /// Stored parameters that are left when every bond that may be lowered is 1.
    pub fn least(&self) -> usize {
        let of = |one: &Squeezed| {
            let lowered = |(bond, size): (usize, &usize)| if one.may_lower(bond) { 1 } else { *size };
            one.chain.shape.parameters(&one.bonds.iter().enumerate().map(lowered).collect::<Vec<_>>())
        };
        self.weights.iter().map(of).sum()
    }

    /// Stored parameters of all operators with the cuts made so far.
    pub fn parameters(&self) -> usize {
        self.weights.iter().map(|one| one.chain.shape.parameters(&one.bonds)).sum()
    }

    /// The path of an operator.
    pub fn path(&self, weight: usize) -> &Path {
        &self.weights[weight].path
    }

    /// Every possible cut.
    pub fn candidates(&self) -> Vec<Cut> {
        (0..self.weights.len()).flat_map(|weight| self.of(weight)).collect()
    }

    /// The cut with the least score; ties go to the earlier operator and bond. Nothing when every bond that may be
    /// lowered is 1.
    pub fn next(&self) -> Option<Cut> {
        self.candidates().into_iter().min_by(|a, b| a.score.total_cmp(&b.score))
    }

    /// Makes a cut.
    pub fn cut(&mut self, cut: &Cut) {
        let one = &mut self.weights[cut.weight];
        one.bonds.clone_from(&cut.bonds);
        one.touched = true;
    }

    /// The new forms of the operators that were cut, in order.
    ///
    /// # Errors
    /// Faults of the form, which sliced cores do not have.
    pub fn forms(&self) -> Result<Vec<(Path, Form)>, Error> {
        let touched = self.weights.iter().filter(|one| one.touched);
        touched.map(|one| Ok((one.path.clone(), form_of(&one.chain.sliced(&one.bonds))?))).collect()
    }

    /// The cuts of one operator.
    fn of(&self, weight: usize) -> Vec<Cut> {
        let one = &self.weights[weight];
        let bonds = (1..one.bonds.len() - 1).filter(|bond| one.may_lower(*bond));
        if one.options.reach == Reach::Common {
            let widest = bonds.max_by_key(|bond| (one.bonds[*bond], std::cmp::Reverse(*bond)));
            return widest.and_then(|bond| self.capped(weight, bond)).into_iter().collect();
        }
        bonds.filter_map(|bond| self.lowered(weight, bond)).collect()
    }

    /// The cut of one bond.
    fn lowered(&self, weight: usize, bond: usize) -> Option<Cut> {
        let from = self.weights[weight].bonds[bond];
        let mut bonds = self.weights[weight].bonds.clone();
        bonds[bond] = from.saturating_sub(self.weights[weight].options.step).max(1);
        self.judge(weight, bond, bonds)
    }

    /// The cut of all bonds to one cap below the widest.
    fn capped(&self, weight: usize, widest: usize) -> Option<Cut> {
        let one = &self.weights[weight];
        let cap = one.bonds[widest].saturating_sub(one.options.step).max(1);
        self.judge(weight, widest, one.bonds.iter().map(|bond| (*bond).min(cap)).collect())
    }

    fn judge(&self, weight: usize, bond: usize, bonds: Vec<usize>) -> Option<Cut> {
        let one = &self.weights[weight];
        let (from, to) = (one.bonds[bond], bonds[bond]);
        let shape = &one.chain.shape;
        let saved =
            shape.parameters(&one.bonds).checked_sub(shape.parameters(&bonds)).filter(|saved| *saved > 0)?;
        let (before, bound) = (one.chain.bound(&one.bonds), one.chain.bound(&bonds));
        let added = (bound * bound - before * before).max(0.0);
        let score = match one.options.criterion {
            Criterion::Bound => bound,
            Criterion::Relative => bound / one.chain.norm().max(f64::MIN_POSITIVE),
            Criterion::Increment => added,
            Criterion::PerParameter => added / saved as f64,
            Criterion::RelativePerParameter => {
                added / one.chain.norm().powi(2).max(f64::MIN_POSITIVE) / saved as f64
            }
        };
        Some(Cut { weight, bonds, bond, from, to, score, bound, saved })
    }
}

impl Squeezed {
    /// Whether cuts may lower a bond.
    fn may_lower(&self, bond: usize) -> bool {
        let central = self.chain.shape.central();
        let beside = bond == central || bond == central + 1;
        (1..self.bonds.len() - 1).contains(&bond) && (beside || self.options.reach != Reach::Central)
    }
}

/// An operator's cores in double precision and in the symmetric gauge.
fn chain(path: &Path, form: &Form) -> Result<Mpo, Error> {
    let fault = || Error::NotAnOperator { path: path.clone(), got: form.describe() };
    let operator = form.as_mpo().ok_or_else(fault)?;
    let (rows, cols) = (operator.rows(), operator.cols());
    let mut cores = Vec::new();
    form.visit(&Address::root(path.clone()), &mut |_, leaf| {
        if let &[left, row, col, right] = leaf.value.shape() {
            let data = leaf.value.data().iter().map(|value| f64::from(*value)).collect();
            cores.push(Core { left, row, col, right, data });
        }
    });
    if cores.len() != operator.factors().cores() {
        return Err(fault());
    }
    Mpo::from_cores(operator.factors(), rows, cols, cores).at(path)
}

/// The form that stores an operator.
pub(crate) fn form_of(mpo: &Mpo) -> Result<Form, Error> {
    let core = |core: &Core| {
        let values = core.data.iter().map(|value| *value as f32).collect();
        Array::from_vec(values, &core.shape())
    };
    Ok(Form::mpo(mpo.shape.clone(), mpo.rows, mpo.cols, mpo.cores.iter().map(core).collect())?)
}
