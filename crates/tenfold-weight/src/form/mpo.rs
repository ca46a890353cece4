//! The matrix product operator form: n cores of shape d_{k-1} x i_k x j_k x d_k joined by bonds.
//!
//! Applied the cheapest way the [cost model](crate::cost) finds: rebuild the matrix once (per step in
//! training, once and for all in evaluation) and run one dense product, or contract the activations
//! through the chain. Looked up the same way: from the rebuilt matrix, or only the rows in use.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored, rest_after};
use crate::cost::{self, Cost};
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_linalg::MpoShape;
use tenfold_tensor::{Array, Var, op};

/// A chain of cores whose contraction is an O x I matrix (padded sizes are cropped away).
#[derive(Clone, Debug)]
pub struct Mpo {
    shape: MpoShape,
    rows: usize,
    cols: usize,
    bonds: Vec<usize>,
    cores: Vec<Form>,
}

/// A weight as a product of factors.
#[derive(Clone, Debug)]
pub struct Chain<'f> {
    /// How rows and columns are shared out among the factors; padded where they do not divide.
    pub shape: MpoShape,
    /// The factors in order; numbers of each lie as those of a core do: left bond, row factor, column factor, right bond.
    pub factors: Vec<&'f Form>,
}

impl Mpo {
    /// A chain of dense cores; the middle one is central, the others auxiliary.
    ///
    /// # Errors
    /// As [`Mpo::from_forms`].
    pub fn new(shape: MpoShape, rows: usize, cols: usize, cores: Vec<Array>) -> Result<Self, Error> {
        Self::from_forms(shape, rows, cols, cores.into_iter().map(Form::dense).collect())
    }

    /// A chain whose cores are forms themselves, each of a core's order-4 shape.
    ///
    /// # Errors
    /// [`Error::Parts`] when there are too few or too many cores, a core does not fit its factors or its
    /// neighbor's bond, or the matrix is larger than the padded sizes.
    pub fn from_forms(shape: MpoShape, rows: usize, cols: usize, cores: Vec<Form>) -> Result<Self, Error> {
        let fault =
            |expected: String, got: &[usize]| Error::Parts { form: "mpo", expected, got: got.to_vec() };
        if cores.len() != shape.cores() {
            return Err(fault(format!("{} cores", shape.cores()), &[cores.len()]));
        }
        if rows > shape.padded_rows() || cols > shape.padded_cols() || rows == 0 || cols == 0 {
            let most = format!("at most {} x {}", shape.padded_rows(), shape.padded_cols());
            return Err(fault(most, &[rows, cols]));
        }
        let mut bonds = vec![1];
        for (k, core) in cores.iter().enumerate() {
            let (i, j, left) = (shape.row_factors()[k], shape.col_factors()[k], bonds[k]);
            match core.shape().as_slice() {
                &[d, ci, cj, right] if (d, ci, cj) == (left, i, j) => bonds.push(right),
                got => return Err(fault(format!("core {} of shape {left} x {i} x {j} x bond", k + 1), got)),
            }
        }
        if bonds.last() != Some(&1) {
            return Err(fault("a last bond of 1".to_owned(), &bonds));
        }
        let central = shape.central();
        let role = |k| if k == central { Role::Central } else { Role::Auxiliary };
        let cores = cores.into_iter().enumerate().map(|(k, core)| core.with_role(role(k))).collect();
        Ok(Self { shape, rows, cols, bonds, cores })
    }

    /// The factor lists.
    pub fn factors(&self) -> &MpoShape {
        &self.shape
    }

    /// All n + 1 bonds, the outer ones 1.
    pub fn bonds(&self) -> &[usize] {
        &self.bonds
    }

    /// O, without padding.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// I, without padding.
    pub fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn as_chain(&self) -> Chain<'_> {
        Chain { shape: self.shape.clone(), factors: self.cores.iter().collect() }
    }

    /// The same operator of other cores.
    pub(super) fn with_factors(&self, cores: Vec<Form>) -> Result<Self, Error> {
        Self::from_forms(self.shape.clone(), self.rows, self.cols, cores)
    }

    /// Whether the cores of both have the same shapes.
    pub(crate) fn is_alike(&self, other: &Mpo) -> bool {
        let sizes = |one: &Mpo| (one.rows, one.cols, one.shape.clone(), one.bonds.clone());
        sizes(self) == sizes(other)
    }

    /// The matrix without what pads it.
    pub(crate) fn exact(&self, whole: Var) -> Var {
        let exact = whole.shape() == [self.rows, self.cols];
        if exact { whole } else { op::crop(&whole, self.rows, self.cols) }
    }

    pub(crate) fn cores(&self, cx: &Scope<'_>, at: &Address) -> Result<Vec<Var>, Error> {
        self.cores
            .iter()
            .enumerate()
            .map(|(k, core)| core.operations().dense(cx, &at.part(format_args!("core.{}", k + 1))))
            .collect()
    }

    /// Contracts the activations core by core. The state is N x (rows done) x (columns left) x bond; each
    /// site costs one product and one permutation.
    fn chain(&self, cx: &Scope<'_>, at: &Address, x: &Var) -> Result<Var, Error> {
        let tokens = x.value().height();
        let cores = self.cores(cx, at)?;
        let (mut done, mut left) = (1, self.cols);
        let mut state = x.clone();
        for (k, core) in cores.iter().enumerate() {
            let (i, j) = (self.shape.row_factors()[k], self.shape.col_factors()[k]);
            let (from, to) = (self.bonds[k], self.bonds[k + 1]);
            left /= j;
            // (N done) x j x rest x bond -> (N done rest) x (j bond)
            let view = op::reshape(&state, &[tokens * done, j, left, from]);
            let inner = op::reshape(&op::permute(&view, &[0, 2, 1, 3]), &[tokens * done * left, j * from]);
            // bond x j.. of the core -> (j bond) x (i bond')
            let turned = op::permute(core, &[2, 0, 1, 3]);
            let product = op::matmul(&inner, &op::reshape(&turned, &[j * from, i * to]));
            // (N done) x rest x i x bond' -> (N done) x i x rest x bond'
            let view = op::reshape(&product, &[tokens * done, left, i, to]);
            state = op::permute(&view, &[0, 2, 1, 3]);
            done *= i;
        }
        Ok(op::crop(&op::reshape(&state, &[tokens, done]), tokens, self.rows))
    }
}

impl Operations for Mpo {
    fn shape(&self) -> Vec<usize> {
        vec![self.rows, self.cols]
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        let padded = self.cols != self.shape.padded_cols();
        if !padded
            && cx.prefers_chain(|training| {
                cost::chain_pays(&self.shape, &self.bonds, call.x.value().height(), training)
            })
        {
            return Ok(op::bias_act(&self.chain(cx, at, call.x)?, call.bias, call.activation));
        }
        // Whoever applies one will apply the others; whoever asks for a matrix alone may want no other.
        cx.build_mates(at)?;
        Ok(call.multiply(cx, &self.dense(cx, at)?))
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        let pays = |training| cost::rows_pay(&self.shape, &self.bonds, ids, training);
        if !cx.prefers_chain(pays) {
            return Ok(op::embedding(&self.dense(cx, at)?, ids)?);
        }
        // The cores hold padded rows too, which are no rows of the weight.
        if let Some((position, &id)) = ids.iter().enumerate().find(|(_, id)| **id as usize >= self.rows) {
            return Err(tenfold_tensor::Error::IdOutOfRange { id, position, rows: self.rows }.into());
        }
        let whole = op::mpo_rows(&self.cores(cx, at)?, self.shape.central(), ids)?;
        let exact = whole.value().width() == self.cols;
        Ok(if exact { whole } else { op::crop(&whole, ids.len(), self.cols) })
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || Ok(self.exact(op::mpo_rebuild(&self.cores(cx, at)?))))
    }

    fn operators<'f>(&'f self, at: &Address, see: &mut dyn FnMut(Address, &'f Mpo)) {
        see(at.clone(), self);
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        for (k, core) in self.cores.iter().enumerate() {
            core.stored(&at.part(format_args!("core.{}", k + 1)), see);
        }
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        let rest = inner.strip_prefix("core.")?;
        let digits = rest.split('.').next()?;
        let core = digits.parse::<usize>().ok()?.checked_sub(1).and_then(|k| self.cores.get(k))?;
        rest_after(rest, digits).map(|rest| (core, rest))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        for core in &self.cores {
            see(core);
        }
    }

    fn cost(&self) -> Cost {
        let stored = self.cores.iter().map(Form::cost).fold(Cost::default(), |sum, one| sum + one);
        Cost {
            macs_per_row: (self.rows * self.cols).min(cost::chain_macs(&self.shape, &self.bonds)),
            rebuild_macs: cost::rebuild_macs(&self.shape, &self.bonds),
            ..stored
        }
    }

    fn record(&self, at: &Address) -> FormRecord {
        let cores = self.cores.iter().enumerate();
        FormRecord::Mpo {
            rows: self.shape.row_factors().to_vec(),
            cols: self.shape.col_factors().to_vec(),
            cores: cores.map(|(k, core)| core.record(&at.part(format_args!("core.{}", k + 1)))).collect(),
        }
    }

    fn describe(&self) -> String {
        let inner: Vec<String> = self.bonds[1..self.bonds.len() - 1].iter().map(usize::to_string).collect();
        let mut words = format!("mpo {} cores, bonds {}", self.cores.len(), inner.join("-"));
        for (k, core) in self.cores.iter().enumerate() {
            if let Some(owner) = core.owner() {
                let which =
                    if k == self.shape.central() { "central".to_owned() } else { format!("core {}", k + 1) };
                words = format!("{words}, {which} shared with {owner}");
            }
        }
        match self.cores.iter().any(|core| core.as_codes().is_some()) {
            true => {
                let cores: Vec<String> = self.cores.iter().map(Form::describe).collect();
                format!("{words} ({})", cores.join("; "))
            }
            false => words,
        }
    }
}

impl OperationsMut for Mpo {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        for (k, core) in self.cores.iter_mut().enumerate() {
            core.visit_mut(&at.part(format_args!("core.{}", k + 1)), see);
        }
    }
}
