//! The scaled form: `W = inner * diag(columns)`, a matrix whose columns are stretched by a stored vector.

use super::{Call, Form, Leaf, Operations, OperationsMut, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Var, op};

/// A form of O x I with one factor per column.
#[derive(Clone, Debug)]
pub struct Scaled {
    inner: Box<Form>,
    columns: Box<Form>,
}

impl Scaled {
    /// Stretches the columns of `inner` (O x I) by `columns` (I numbers), each a form.
    ///
    /// # Errors
    /// [`Error::Parts`] unless `inner` is a matrix and `columns` has one number for each of its columns.
    pub fn new(inner: Form, columns: Form) -> Result<Self, Error> {
        match (inner.shape().as_slice(), columns.shape().as_slice()) {
            (&[_, width], &[count]) if width == count => {
                Ok(Self { inner: Box::new(inner), columns: Box::new(columns.with_role(Role::Scale)) })
            }
            (inner, columns) => Err(Error::Parts {
                form: "scaled",
                expected: format!("a matrix (O x I) and I numbers; the matrix is {inner:?}"),
                got: columns.to_vec(),
            }),
        }
    }

    fn scales(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        self.columns.operations().dense(cx, &at.part("columns"))
    }
}

impl Operations for Scaled {
    fn shape(&self) -> Vec<usize> {
        self.inner.shape()
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        // On the activations it is one pass over them, and the inner form keeps its choice of how to be applied.
        let x = op::scale_columns(call.x, &self.scales(cx, at)?);
        let inner = Call { x: &x, bias: call.bias, activation: call.activation };
        self.inner.operations().apply(cx, &at.part("inner"), &inner)
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        let rows = self.inner.operations().rows(cx, &at.part("inner"), ids)?;
        Ok(op::scale_columns(&rows, &self.scales(cx, at)?))
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let inner = self.inner.operations().dense(cx, &at.part("inner"))?;
            Ok(op::scale_columns(&inner, &self.scales(cx, at)?))
        })
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, &Leaf)) {
        self.inner.visit(&at.part("inner"), see);
        self.columns.visit(&at.part("columns"), see);
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        let found = rest_after(inner, "inner").map(|rest| (&*self.inner, rest));
        found.or_else(|| rest_after(inner, "columns").map(|rest| (&*self.columns, rest)))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        see(&self.inner);
        see(&self.columns);
    }

    fn cost(&self) -> Cost {
        self.inner.cost() + self.columns.cost()
    }

    fn record(&self, at: &Address) -> FormRecord {
        FormRecord::Scaled {
            inner: Box::new(self.inner.record(&at.part("inner"))),
            columns: Box::new(self.columns.record(&at.part("columns"))),
        }
    }

    fn describe(&self) -> String {
        format!("scaled {}", self.inner.describe())
    }
}

impl OperationsMut for Scaled {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        self.inner.visit_mut(&at.part("inner"), see);
        self.columns.visit_mut(&at.part("columns"), see);
    }
}
