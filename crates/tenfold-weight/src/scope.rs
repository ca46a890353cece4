//! A scope: one use of a tree, for evaluation or for one training step.
//!
//! A scope borrows the tree, so no leaf can change while rebuilt matrices are cached: the cache cannot be stale.

mod expert;
mod operator;
mod part;
mod socket;

pub use expert::{Load, Routing};

use crate::error::Error;
use crate::form::{Call, Form, Leaf, Mpo};
use crate::path::{Address, LeafId, Path};
use crate::tree::Tree;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use tenfold_tensor::random::Random;
use tenfold_tensor::{Activation, Array, Precision, Tape, Var, op};

/// Sees what goes into weights: the source of activation evidence.
pub trait Observer {
    /// The activations (N x I) that the weight at `path` is about to be applied to.
    fn inputs(&self, path: &Path, x: &Array);
    /// The rows that are about to be looked up in the weight at `path`.
    fn ids(&self, path: &Path, ids: &[u32]);
}

/// How MPOs are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contraction {
    /// What the cost model finds cheaper.
    Auto,
    /// Always the rebuilt matrix.
    Rebuild,
    /// Always core by core, where columns are not padded; looked-up rows alone.
    Chain,
}

/// One use of a tree: evaluation (rebuilt matrices are kept as long as the scope lives) or one training step
/// (rebuilt once per step, recorded on a tape).
pub struct Scope<'t> {
    tree: &'t Tree,
    training: Option<Training<'t>>,
    observer: Option<&'t dyn Observer>,
    contraction: Contraction,
    precision: Precision,
    built: RefCell<BTreeMap<Address, Var>>,
    operators: OnceCell<Vec<(Address, &'t Mpo)>>,
    routing: Routing,
    loads: RefCell<BTreeMap<String, Load>>,
}

struct Training<'t> {
    tape: Tape,
    trains: &'t BTreeSet<LeafId>,
    leaves: RefCell<BTreeMap<LeafId, Var>>,
    dropout: Option<Dropout>,
    /// Where this step keeps only the inputs of parts.
    parts: Option<part::Parts>,
}

/// Dropout of one step: every place where the model drops gets a mask of its own.
struct Dropout {
    share: f32,
    masks: RefCell<Random>,
}

impl<'t> Scope<'t> {
    /// A scope without gradients.
    pub fn evaluate(tree: &'t Tree) -> Self {
        Self {
            tree,
            training: None,
            observer: None,
            contraction: Contraction::Auto,
            precision: Precision::F32,
            built: RefCell::default(),
            operators: OnceCell::new(),
            routing: Routing::default(),
            loads: RefCell::default(),
        }
    }

    /// A scope for one training step in which the leaves of `trains` get gradients.
    pub fn train(tree: &'t Tree, trains: &'t BTreeSet<LeafId>) -> Self {
        let training =
            Training { tape: Tape::new(), trains, leaves: RefCell::default(), dropout: None, parts: None };
        Self { training: Some(training), ..Self::evaluate(tree) }
    }

    /// The same scope, dropping this share of hidden numbers, in [0, 1), by masks drawn from `seed`. Only training drops.
    pub fn dropping(mut self, share: f32, seed: u64) -> Self {
        if let Some(training) = &mut self.training {
            let masks = RefCell::new(Random::new(seed));
            training.dropout = (share > 0.0).then_some(Dropout { share, masks });
        }
        self
    }

    /// x with dropout where this scope drops; x itself otherwise.
    pub fn dropout(&self, x: &Var) -> Var {
        match self.training.as_ref().and_then(|training| training.dropout.as_ref()) {
            Some(Dropout { share, masks }) => op::dropout(x, *share, masks.borrow_mut().bits()),
            None => x.clone(),
        }
    }

    /// The same scope, with every input shown to `observer`.
    pub fn observed(self, observer: &'t dyn Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// The same scope, with MPOs applied in the way given.
    pub fn contracting(self, contraction: Contraction) -> Self {
        Self { contraction, ..self }
    }

    /// The same scope, with the products of linear maps and of their gradients in this precision.
    pub fn computing(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The precision of the products of linear maps.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// The tree in use.
    pub fn tree(&self) -> &'t Tree {
        self.tree
    }

    /// Whether gradients are recorded.
    pub fn is_training(&self) -> bool {
        self.training.is_some()
    }

    /// `act(x W^T + b)` with `W = path.weight` (O x I) and, where the tree has it, `b = path.bias` (O).
    ///
    /// # Shapes
    /// x is N x I, the result N x O.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Shape`] naming the weight.
    pub fn linear(&self, path: &str, x: &Var, activation: Activation) -> Result<Var, Error> {
        let (form, at, bias) = self.map(path, x, None)?;
        form.operations().apply(self, &at, &Call { x, bias: bias.as_ref(), activation })
    }

    /// [`Self::linear`] of weights that read the same x, without an activation.
    ///
    /// # Shapes
    /// x is N x I, the results N x O with an O of their own.
    ///
    /// # Errors
    /// As [`Self::linear`].
    pub fn linears<const N: usize>(&self, paths: [&str; N], x: &Var) -> Result<[Var; N], Error> {
        let maps: Result<Vec<_>, Error> = paths.iter().map(|path| self.map(path, x, None)).collect();
        let results = Form::apply_each(self, x, &maps?)?;
        Ok(std::array::from_fn(|at| results[at].clone()))
    }

    /// The form of a weight that reads x, one matrix or those of so many experts, its address and its bias, where it has one. The
    /// observer is told.
    fn map(
        &self,
        path: &str,
        x: &Var,
        experts: Option<usize>,
    ) -> Result<(&'t Form, Address, Option<Var>), Error> {
        let weight = Path::new(format!("{path}.weight"));
        let form = self.tree.get(&weight)?;
        let shape = form.shape();
        let width = x.value().width();
        let outputs = match (shape.as_slice(), experts) {
            (&[outputs, inputs], None) if inputs == width => outputs,
            (&[count, outputs, inputs], Some(experts)) if (count, inputs) == (experts, width) => outputs,
            _ => {
                let stacked = experts.map(|experts| format!("{experts} x ")).unwrap_or_default();
                let expected = format!("{stacked}O x {width} to fit its input");
                return Err(Error::Shape { path: weight, expected, got: shape });
            }
        };
        if let Some(observer) = self.observer {
            observer.inputs(&weight, x.value());
        }
        let bias = Path::new(format!("{path}.bias"));
        let bias = if self.tree.contains(&bias) { Some(self.vector(&bias, outputs)?) } else { None };
        Ok((form, Address::root(weight), bias))
    }

    /// The rows `ids` of `path.weight` (V x D): N x D.
    ///
    /// # Errors
    /// [`Error::Missing`], or the tensor error for an id of V or more.
    pub fn rows(&self, path: &str, ids: &[u32]) -> Result<Var, Error> {
        let weight = Path::new(format!("{path}.weight"));
        let form = self.tree.get(&weight)?;
        if let Some(observer) = self.observer {
            observer.ids(&weight, ids);
        }
        form.operations().rows(self, &Address::root(weight), ids)
    }

    /// Layer normalization of `x + residual` with `path.weight` as gain and `path.bias` as bias.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Shape`].
    pub fn norm(&self, path: &str, x: &Var, residual: Option<&Var>, eps: f32) -> Result<Var, Error> {
        let width = x.value().width();
        let gain = self.vector(&Path::new(format!("{path}.weight")), width)?;
        let bias = self.vector(&Path::new(format!("{path}.bias")), width)?;
        Ok(op::layer_norm(x, residual, &gain, &bias, eps))
    }

    /// Root-mean-square normalization of x with `path.weight` as gain.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Shape`].
    pub fn rms_norm(&self, path: &str, x: &Var, eps: f32) -> Result<Var, Error> {
        let gain = self.vector(&Path::new(format!("{path}.weight")), x.value().width())?;
        Ok(op::rms_norm(x, None, &gain, eps))
    }

    /// Runs the backward pass and returns the gradient of every training leaf that took part.
    ///
    /// # Errors
    /// As [`Tape::backward`].
    pub fn backward(self, loss: &Var) -> Result<BTreeMap<LeafId, Array>, Error> {
        if loss.value().len() != 1 {
            return Err(tenfold_tensor::Error::LossNotScalar { shape: loss.shape().to_vec() }.into());
        }
        Ok(self.gradients(loss, Array::full(loss.shape(), 1.0), &[])?.0)
    }

    /// A stored vector of `len` numbers.
    fn vector(&self, path: &Path, len: usize) -> Result<Var, Error> {
        let form = self.tree.get(path)?;
        if form.shape() == [len] {
            form.operations().dense(self, &Address::root(path.clone()))
        } else {
            Err(Error::Shape { path: path.clone(), expected: format!("{len} numbers"), got: form.shape() })
        }
    }

    /// The form at an address of the tree.
    pub(crate) fn form(&self, address: &Address) -> Result<&'t Form, Error> {
        self.tree.form(address)
    }

    /// A leaf's values, tracked when it trains. Every use of one leaf is the same variable, so gradients of
    /// shared leaves add up.
    pub(crate) fn leaf(&self, at: &Address, leaf: &Leaf) -> Var {
        let Some(training) = self.training.as_ref().filter(|training| training.trains.contains(at)) else {
            return Var::constant(leaf.value.clone());
        };
        if training.parts.as_ref().is_some_and(part::Parts::hides) {
            return Var::constant(leaf.value.clone());
        }
        let mut leaves = training.leaves.borrow_mut();
        leaves.entry(at.clone()).or_insert_with(|| training.tape.leaf(leaf.value.clone())).clone()
    }

    /// A matrix built from leaves, built once per scope.
    pub(crate) fn built(
        &self,
        at: &Address,
        build: impl FnOnce() -> Result<Var, Error>,
    ) -> Result<Var, Error> {
        if let Some(known) = self.built.borrow().get(at) {
            return Ok(known.clone());
        }
        let fresh = build()?;
        self.built.borrow_mut().insert(at.clone(), fresh.clone());
        Ok(fresh)
    }

    /// Whether to contract through the chain, or only the rows in use; `pays` answers for this form, given whether gradients are recorded.
    pub(crate) fn prefers_chain(&self, pays: impl FnOnce(bool) -> bool) -> bool {
        match self.contraction {
            Contraction::Auto => pays(self.is_training()),
            Contraction::Rebuild => false,
            Contraction::Chain => true,
        }
    }
}

/// The dense values of any form in a tree.
///
/// # Errors
/// [`Error::Missing`] and whatever building the matrix meets.
pub fn dense_values(tree: &Tree, path: &Path) -> Result<Array, Error> {
    let scope = Scope::evaluate(tree);
    let form = tree.get(path)?;
    Ok(form.operations().dense(&scope, &Address::root(path.clone()))?.value().clone())
}
