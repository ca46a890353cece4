//! The sum of two forms: a base and a delta, a truncation and its repair.

use super::{Call, Form, Leaf, Mpo, Operations, OperationsMut, Stored, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Activation, Var, op};

/// `W = left + right`, both O x I.
#[derive(Clone, Debug)]
pub struct Sum {
    left: Box<Form>,
    right: Box<Form>,
}

impl Sum {
    /// Adds two forms.
    ///
    /// # Errors
    /// [`Error::Parts`] when the shapes differ.
    pub fn new(left: Form, right: Form) -> Result<Self, Error> {
        if left.shape() == right.shape() {
            Ok(Self { left: Box::new(left), right: Box::new(right) })
        } else {
            Err(Error::Parts {
                form: "sum",
                expected: format!("two forms of shape {:?}", left.shape()),
                got: right.shape(),
            })
        }
    }
}

impl Sum {
    pub(super) fn with_role(self, role: Role) -> Self {
        let of = |side: Box<Form>| Box::new(side.with_role(role));
        Self { left: of(self.left), right: of(self.right) }
    }
}

impl Operations for Sum {
    fn shape(&self) -> Vec<usize> {
        self.left.shape()
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        let base = Call { x: call.x, bias: call.bias, activation: Activation::Identity };
        let left = self.left.operations().apply(cx, &at.part("left"), &base)?;
        let right = self.right.operations().apply(cx, &at.part("right"), &Call::plain(call.x))?;
        let total = op::add(&left, &right);
        Ok(match call.activation {
            Activation::Identity => total,
            activation => op::bias_act(&total, None, activation),
        })
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        let left = self.left.operations().rows(cx, &at.part("left"), ids)?;
        let right = self.right.operations().rows(cx, &at.part("right"), ids)?;
        Ok(op::add(&left, &right))
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let left = self.left.operations().dense(cx, &at.part("left"))?;
            let right = self.right.operations().dense(cx, &at.part("right"))?;
            Ok(op::add(&left, &right))
        })
    }

    fn operators<'f>(&'f self, at: &Address, see: &mut dyn FnMut(Address, &'f Mpo)) {
        self.left.operations().operators(&at.part("left"), see);
        self.right.operations().operators(&at.part("right"), see);
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        self.left.stored(&at.part("left"), see);
        self.right.stored(&at.part("right"), see);
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        let left = rest_after(inner, "left").map(|rest| (&*self.left, rest));
        left.or_else(|| rest_after(inner, "right").map(|rest| (&*self.right, rest)))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        see(&self.left);
        see(&self.right);
    }

    fn cost(&self) -> Cost {
        self.left.cost() + self.right.cost()
    }

    fn record(&self, at: &Address) -> FormRecord {
        FormRecord::Sum {
            left: Box::new(self.left.record(&at.part("left"))),
            right: Box::new(self.right.record(&at.part("right"))),
        }
    }

    fn describe(&self) -> String {
        format!("{} + {}", self.left.describe(), self.right.describe())
    }
}

impl OperationsMut for Sum {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        self.left.visit_mut(&at.part("left"), see);
        self.right.visit_mut(&at.part("right"), see);
    }
}
