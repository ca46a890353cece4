//! Forms: the ways a weight can be represented. A closed set; this file is the only one that dispatches.
//!
//! Every operation is total over the set: a new form implements the private trait `Operations` in its own file and gets one
//! arm in each of the two functions below that choose.

mod columns;
mod dense;
mod grouped;
mod lowrank;
mod make;
mod mpo;
mod quant;
mod rotated;
mod scaled;
mod shared;
mod stack;
mod sum;

pub use columns::Columns;
pub use dense::Dense;
pub use grouped::Grouped;
pub use lowrank::Lowrank;
pub use mpo::{Chain, Mpo};
pub use quant::Quant;
pub use rotated::Rotated;
pub use scaled::Scaled;
pub use shared::Shared;
pub use stack::Stack;
pub use sum::Sum;

use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Activation, Array, Codes, Offsets, Var, op};

/// A stored array and what it is for.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// What the leaf is for.
    pub role: Role,
    /// The stored values.
    pub value: Array,
}

/// An array as a form stores it.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'f> {
    /// Numbers, which may train.
    Leaf(&'f Leaf),
    /// Codes of a scheme, which do not.
    Codes(&'f Codes),
}

/// How a weight is represented.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Form {
    /// The values themselves.
    Dense(Dense),
    /// A matrix product operator: a chain of cores joined by bonds.
    Mpo(Mpo),
    /// The product of two thin factors.
    Lowrank(Lowrank),
    /// The sum of two forms of the same shape.
    Sum(Sum),
    /// Another form, stored elsewhere in the tree.
    Shared(Shared),
    /// A form with one factor per column or row, or with stored norms of its rows.
    Scaled(Scaled),
    /// Numbers rounded to a scheme.
    Quant(Quant),
    /// A form that sees its inputs through a fixed orthogonal transform.
    Rotated(Rotated),
    /// Whole numbers of few bits with tables of scales and shifts.
    Grouped(Grouped),
    /// A few columns in one form, the others in another.
    Columns(Columns),
    /// The matrices of several experts.
    Stack(Stack),
}

/// What every form can do. `at` is the form's own address; leaves and cached matrices are known by it.
pub(crate) trait Operations {
    /// O x I for a matrix, the array's own shape otherwise.
    fn shape(&self) -> Vec<usize>;
    /// `act(x W^T + bias)`; x is N x I, the result N x O.
    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error>;
    /// `act(x W_e^T + bias)` for the rows of x of every expert e; x is N x I, in the order of experts.
    fn apply_experts(
        &self,
        _cx: &Scope<'_>,
        at: &Address,
        _call: &Call<'_>,
        _rows: &Offsets,
    ) -> Result<Var, Error> {
        Err(Error::NoExperts { path: at.path.clone() })
    }
    /// The rows `ids` of W, N x I.
    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error>;
    /// W itself.
    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error>;
    /// Calls `see` for every stored array.
    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>));
    /// The part that `name` leads to and the rest of the way.
    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)>;
    /// Calls `see` for every form directly inside.
    fn parts(&self, see: &mut dyn FnMut(&Form));
    /// Calls `see` for every operator that is multiplied out whenever this form is used.
    fn operators<'f>(&'f self, _at: &Address, _see: &mut dyn FnMut(Address, &'f Mpo)) {}
    /// Parameters, bytes and multiply-adds.
    fn cost(&self) -> Cost;
    /// How it is written down beside its leaves.
    fn record(&self, at: &Address) -> FormRecord;
    /// A few words for tables: `mpo 5 cores, bonds 16-64-64-12`.
    fn describe(&self) -> String;
}

/// Mutable access to leaves, separate so that the read-only trait stays object-safe to share.
pub(crate) trait OperationsMut {
    /// Calls `see` for every stored leaf.
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf));
}

/// One application of a weight.
pub(crate) struct Call<'a> {
    pub(crate) x: &'a Var,
    pub(crate) bias: Option<&'a Var>,
    pub(crate) activation: Activation,
}

impl<'a> Call<'a> {
    /// The product alone.
    pub(crate) fn plain(x: &'a Var) -> Self {
        Self { x, bias: None, activation: Activation::Identity }
    }

    /// The product with the matrix w, O x I, in the precision of the scope.
    fn multiply(&self, cx: &Scope<'_>, w: &Var) -> Var {
        op::linear_in(cx.precision(), self.x, w, self.bias, self.activation)
    }
}

impl Form {
    pub(crate) fn operations(&self) -> &dyn Operations {
        match self {
            Self::Dense(form) => form,
            Self::Mpo(form) => form,
            Self::Lowrank(form) => form,
            Self::Sum(form) => form,
            Self::Shared(form) => form,
            Self::Scaled(form) => form,
            Self::Quant(form) => form,
            Self::Rotated(form) => form,
            Self::Grouped(form) => form,
            Self::Columns(form) => form,
            Self::Stack(form) => form,
        }
    }

    pub(crate) fn operations_mut(&mut self) -> &mut dyn OperationsMut {
        match self {
            Self::Dense(form) => form,
            Self::Mpo(form) => form,
            Self::Lowrank(form) => form,
            Self::Sum(form) => form,
            Self::Shared(form) => form,
            Self::Scaled(form) => form,
            Self::Quant(form) => form,
            Self::Rotated(form) => form,
            Self::Grouped(form) => form,
            Self::Columns(form) => form,
            Self::Stack(form) => form,
        }
    }

    /// The shape of what it represents: O x I for a matrix.
    pub fn shape(&self) -> Vec<usize> {
        self.operations().shape()
    }

    /// Parameters, bytes and multiply-adds of this form; what it shares is counted at the owner.
    pub fn cost(&self) -> Cost {
        self.operations().cost()
    }

    /// Stored parameters; what it shares is counted at the owner.
    pub fn parameters(&self) -> usize {
        self.cost().parameters
    }

    /// A few words for tables.
    pub fn describe(&self) -> String {
        self.operations().describe()
    }

    /// How the form is written in a manifest, given its address.
    pub fn record(&self, at: &Address) -> FormRecord {
        self.operations().record(at)
    }

    /// Calls `see` for every leaf stored in this form.
    pub fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, &Leaf)) {
        self.stored(at, &mut |at, stored| match stored {
            Stored::Leaf(leaf) => see(at, leaf),
            Stored::Codes(_) => {}
        });
    }

    /// Calls `see` for every array stored in this form, codes included.
    pub fn stored(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        self.operations().visit(at, see);
    }

    /// Calls `see` for every leaf stored in this form, for change in place.
    pub fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        self.operations_mut().visit_mut(at, see);
    }

    /// The part that a dotted way leads to; the form itself for an empty one.
    pub fn part(&self, inner: &str) -> Option<&Self> {
        if inner.is_empty() {
            return Some(self);
        }
        let (part, rest) = self.operations().part(inner)?;
        part.part(&rest)
    }

    /// Calls `see` for this form and every form inside it.
    pub fn each(&self, see: &mut dyn FnMut(&Self)) {
        see(self);
        self.operations().parts(&mut |part| part.each(see));
    }

    /// The same form as a part that plays `role` in another: its own dense leaf, or both sides of a sum, get that role.
    /// Leaves of other forms have roles of their own.
    pub(crate) fn with_role(self, role: Role) -> Self {
        match self {
            Self::Dense(form) => Self::Dense(Dense::new(role, form.leaf.value)),
            Self::Sum(form) => Self::Sum(form.with_role(role)),
            other => other,
        }
    }

    /// The operator when the form is one.
    pub fn as_mpo(&self) -> Option<&Mpo> {
        match self {
            Self::Mpo(form) => Some(form),
            _ => None,
        }
    }

    /// The factors of a product: the cores of an operator, or up and down of a low-rank form, as an operator of two cores.
    pub fn chain(&self) -> Option<Chain<'_>> {
        match self {
            Self::Mpo(form) => Some(form.as_chain()),
            Self::Lowrank(form) => form.as_chain(),
            _ => None,
        }
    }

    /// The same product of other factors, in the order of [`Form::chain`]; a form that is no product is its only factor.
    ///
    /// # Errors
    /// [`Error::Parts`] where the factors do not make such a product.
    pub fn with_factors(&self, factors: Vec<Self>) -> Result<Self, Error> {
        match self {
            Self::Mpo(form) => form.with_factors(factors).map(Self::Mpo),
            Self::Lowrank(_) => Lowrank::of_factors(factors).map(Self::Lowrank),
            other => {
                let count = factors.len();
                let only = factors.into_iter().next().filter(|_| count == 1);
                only.ok_or_else(|| Error::Parts {
                    form: "product",
                    expected: format!("one factor for {}", other.describe()),
                    got: vec![count],
                })
            }
        }
    }

    /// The codes when the form is quantized and their rows are those of the weight: no computation.
    pub fn as_codes(&self) -> Option<&Codes> {
        match self {
            Self::Quant(form) => form.by_rows(),
            _ => None,
        }
    }

    /// The grouped form when it is one.
    pub fn as_grouped(&self) -> Option<&Grouped> {
        match self {
            Self::Grouped(form) => Some(form),
            _ => None,
        }
    }

    /// The maps of several forms that read the same x, with a bias for some of them.
    pub(crate) fn apply_each(
        cx: &Scope<'_>,
        x: &Var,
        maps: &[(&Self, Address, Option<Var>)],
    ) -> Result<Vec<Var>, Error> {
        let codes = maps.iter().map(|(form, _, bias)| match form {
            Self::Quant(form) => Some((form.alone()?, bias.as_ref())),
            _ => None,
        });
        if let Some(codes) = codes.collect::<Option<Vec<_>>>() {
            return Ok(op::coded_each(cx.precision(), x, &codes));
        }
        let apply = |(form, at, bias): &(&Self, Address, Option<Var>)| {
            form.operations().apply(cx, at, &Call { bias: bias.as_ref(), ..Call::plain(x) })
        };
        maps.iter().map(apply).collect()
    }

    /// Where the form is stored when it is another weight's.
    pub fn owner(&self) -> Option<&Address> {
        match self {
            Self::Shared(form) => Some(form.owner()),
            _ => None,
        }
    }

    /// The values when the form is dense: no computation.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Self::Dense(form) => Some(&form.leaf.value),
            _ => None,
        }
    }
}

/// Cuts `name` off the front of a dotted way.
fn rest_after(inner: &str, name: &str) -> Option<String> {
    let rest = inner.strip_prefix(name)?;
    if rest.is_empty() { Some(String::new()) } else { rest.strip_prefix('.').map(str::to_owned) }
}
