//! The rotated form: a form that sees its inputs through a random-sign Hadamard transform.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::scope::Scope;
use std::sync::Arc;
use tenfold_format::manifest::FormRecord;
use tenfold_linalg::quant;
use tenfold_tensor::{Var, op};

/// `W = inner H S` with signs S from a seed and an orthonormal H that both follow from the width: nothing of them is stored.
#[derive(Clone, Debug)]
pub struct Rotated {
    inner: Box<Form>,
    seed: u64,
    transform: Arc<op::Hadamard>,
    cols: usize,
    rows: usize,
}

impl Rotated {
    /// Puts the transform of `seed` before a matrix (O x I).
    ///
    /// # Errors
    /// [`Error::Parts`] unless `inner` is a matrix with columns.
    pub fn new(inner: Form, seed: u64) -> Result<Self, Error> {
        let &[rows, cols] = inner.shape().as_slice() else {
            let expected = "a matrix".to_owned();
            return Err(Error::Parts { form: "rotated", expected, got: inner.shape() });
        };
        let exact = quant::Hadamard::new(cols, seed)?;
        let single = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let transform = op::Hadamard::new(single(exact.signs()), exact.order(), single(exact.factor()));
        Ok(Self { inner: Box::new(inner), seed, transform: Arc::new(transform), cols, rows })
    }

    fn inner_at(at: &Address) -> Address {
        at.part("inner")
    }
}

impl Operations for Rotated {
    fn shape(&self) -> Vec<usize> {
        vec![self.rows, self.cols]
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        let x = op::hadamard(call.x, &self.transform, false);
        let call = Call { x: &x, bias: call.bias, activation: call.activation };
        self.inner.operations().apply(cx, &Self::inner_at(at), &call)
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        let rows = self.inner.operations().rows(cx, &Self::inner_at(at), ids)?;
        Ok(op::hadamard(&rows, &self.transform, true))
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let inner = self.inner.operations().dense(cx, &Self::inner_at(at))?;
            Ok(op::hadamard(&inner, &self.transform, true))
        })
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        self.inner.stored(&Self::inner_at(at), see);
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        rest_after(inner, "inner").map(|rest| (&*self.inner, rest))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        see(&self.inner);
    }

    fn cost(&self) -> Cost {
        let inner = self.inner.cost();
        Cost { macs_per_row: inner.macs_per_row + self.transform.macs(), ..inner }
    }

    fn record(&self, at: &Address) -> FormRecord {
        FormRecord::Rotated { inner: Box::new(self.inner.record(&Self::inner_at(at))), seed: self.seed }
    }

    fn describe(&self) -> String {
        match self.inner.part("left") {
            Some(_) => format!("rotated ({})", self.inner.describe()),
            None => format!("rotated {}", self.inner.describe()),
        }
    }
}

impl OperationsMut for Rotated {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        self.inner.visit_mut(&Self::inner_at(at), see);
    }
}
