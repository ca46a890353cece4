//! The scaled form: a form whose columns or rows are stretched by a stored vector, or whose rows get stored norms.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Activation, Var, op};

/// What the stored numbers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// `W = inner diag(s)`, I numbers.
    Columns,
    /// `W = diag(s) inner`, O numbers; of a vector, entry by entry.
    Rows,
    /// `W = diag(m / |inner|) inner` with |inner| the norms of the rows: m are the norms that the rows have, O numbers. The
    /// backward pass takes |inner| for constant (Liu et al. 2024, DoRA, section 4.3).
    Norms,
}

impl Side {
    /// The name of the stored vector inside the form.
    fn part(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Rows => "rows",
            Self::Norms => "norms",
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Columns | Self::Rows => Role::Scale,
            Self::Norms => Role::Magnitude,
        }
    }

    /// How many numbers a form of this shape takes.
    fn count(self, shape: &[usize]) -> Option<usize> {
        match (self, shape) {
            (Self::Columns, &[_, width]) => Some(width),
            (Self::Rows | Self::Norms, &[height, _]) | (Self::Rows, &[height]) => Some(height),
            _ => None,
        }
    }
}

/// A form with one number per column or row.
#[derive(Clone, Debug)]
pub struct Scaled {
    inner: Box<Form>,
    scales: Box<Form>,
    side: Side,
}

impl Scaled {
    /// Stretches the columns of `inner` (O x I) by `columns` (I numbers), each a form.
    ///
    /// # Errors
    /// [`Error::Parts`] unless `inner` is a matrix and `columns` has one number for each of its columns.
    pub fn columns(inner: Form, columns: Form) -> Result<Self, Error> {
        Self::new(inner, columns, Side::Columns)
    }

    /// Stretches the rows of `inner` (O x I, or a vector of O) by `rows` (O numbers), each a form.
    ///
    /// # Errors
    /// [`Error::Parts`] unless `inner` is a matrix or a vector and `rows` has one number for each of its rows.
    pub fn rows(inner: Form, rows: Form) -> Result<Self, Error> {
        Self::new(inner, rows, Side::Rows)
    }

    /// Gives the rows of `inner` (O x I) the norms `norms` (O numbers), each a form. A row of zeros stays one.
    ///
    /// # Errors
    /// [`Error::Parts`] unless `inner` is a matrix and `norms` has one number for each of its rows.
    pub fn norms(inner: Form, norms: Form) -> Result<Self, Error> {
        Self::new(inner, norms, Side::Norms)
    }

    fn new(inner: Form, scales: Form, side: Side) -> Result<Self, Error> {
        let count = side.count(&inner.shape());
        if count.is_some() && count == scales.shape().first().copied() && scales.shape().len() == 1 {
            return Ok(Self {
                inner: Box::new(inner),
                scales: Box::new(scales.with_role(side.role())),
                side,
            });
        }
        let (part, inner) = (side.part(), inner.shape());
        Err(Error::Parts {
            form: "scaled",
            expected: format!("a weight and one number for each of its {part}; the weight is {inner:?}"),
            got: scales.shape(),
        })
    }

    fn inner_at(at: &Address) -> Address {
        at.part("inner")
    }

    fn scales(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        self.scales.operations().dense(cx, &at.part(self.side.part()))
    }

    /// What the columns or rows are multiplied by.
    fn factors(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        if self.side != Side::Norms {
            return self.scales(cx, at);
        }
        // No part has this name, so nothing else is kept under it.
        cx.built(&at.part("factors"), || {
            // Without recording: the norms are constants, and the matrix is needed for nothing else.
            let quiet = Scope::evaluate(cx.tree());
            let inner = self.inner.operations().dense(&quiet, &Self::inner_at(at))?;
            Ok(op::divide(&self.scales(cx, at)?, &inner.value().row_norms()))
        })
    }
}

impl Operations for Scaled {
    fn shape(&self) -> Vec<usize> {
        self.inner.shape()
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        let inner = self.inner.operations();
        let factors = self.factors(cx, at)?;
        // On the activations it is one pass over them, and the inner form keeps its choice of how to be applied.
        if self.side == Side::Columns {
            let x = op::scale_columns(call.x, &factors);
            let call = Call { x: &x, bias: call.bias, activation: call.activation };
            return inner.apply(cx, &Self::inner_at(at), &call);
        }
        let product = inner.apply(cx, &Self::inner_at(at), &Call::plain(call.x))?;
        let stretched = op::scale_columns(&product, &factors);
        Ok(match (call.bias, call.activation) {
            (None, Activation::Identity) => stretched,
            (bias, activation) => op::bias_act(&stretched, bias, activation),
        })
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        let rows = self.inner.operations().rows(cx, &Self::inner_at(at), ids)?;
        let scales = self.scales(cx, at)?;
        if self.side == Side::Columns {
            return Ok(op::scale_columns(&rows, &scales));
        }
        let column = op::reshape(&scales, &[scales.value().len(), 1]);
        let own = op::reshape(&op::embedding(&column, ids)?, &[ids.len()]);
        // The norms of the rows in use are all that is needed of them.
        let factors = match self.side {
            Side::Norms => op::divide(&own, &rows.value().row_norms()),
            Side::Columns | Side::Rows => own,
        };
        Ok(op::scale_rows(&rows, &factors))
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let inner = self.inner.operations().dense(cx, &Self::inner_at(at))?;
            let factors = self.factors(cx, at)?;
            Ok(match self.side {
                Side::Columns => op::scale_columns(&inner, &factors),
                Side::Rows | Side::Norms if inner.shape().len() == 1 => op::mul(&inner, &factors),
                Side::Rows | Side::Norms => op::scale_rows(&inner, &factors),
            })
        })
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        self.inner.stored(&Self::inner_at(at), see);
        self.scales.stored(&at.part(self.side.part()), see);
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        let found = rest_after(inner, "inner").map(|rest| (&*self.inner, rest));
        found.or_else(|| rest_after(inner, self.side.part()).map(|rest| (&*self.scales, rest)))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        see(&self.inner);
        see(&self.scales);
    }

    fn cost(&self) -> Cost {
        let own = self.inner.cost() + self.scales.cost();
        // Norms take the matrix: at least its numbers once, beside what the inner form builds it for anyway.
        let norms = if self.side == Side::Norms { self.shape().iter().product() } else { 0 };
        Cost { rebuild_macs: own.rebuild_macs + norms, ..own }
    }

    fn record(&self, at: &Address) -> FormRecord {
        let inner = Box::new(self.inner.record(&Self::inner_at(at)));
        let scales = Box::new(self.scales.record(&at.part(self.side.part())));
        match self.side {
            Side::Columns => FormRecord::Scaled { inner, columns: scales },
            Side::Rows => FormRecord::RowScaled { inner, rows: scales },
            Side::Norms => FormRecord::RowNormed { inner, norms: scales },
        }
    }

    fn describe(&self) -> String {
        let word = match self.side {
            Side::Columns => "scaled",
            Side::Rows => "row-scaled",
            Side::Norms => "row-normed",
        };
        match self.inner.part("left") {
            Some(_) => format!("{word} ({})", self.inner.describe()),
            None => format!("{word} {}", self.inner.describe()),
        }
    }
}

impl OperationsMut for Scaled {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        self.inner.visit_mut(&Self::inner_at(at), see);
        self.scales.visit_mut(&at.part(self.side.part()), see);
    }
}
