//! The dense form: the values themselves.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Array, Var, op};

/// An array stored as it is. As a part of another form its role says what it is there.
#[derive(Clone, Debug)]
pub struct Dense {
    pub(crate) leaf: Leaf,
}

impl Dense {
    pub(crate) fn new(role: Role, value: Array) -> Self {
        Self { leaf: Leaf { role, value } }
    }
}

impl Operations for Dense {
    fn shape(&self) -> Vec<usize> {
        self.leaf.value.shape().to_vec()
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        Ok(call.multiply(cx, &cx.leaf(at, &self.leaf)))
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        Ok(op::embedding(&cx.leaf(at, &self.leaf), ids)?)
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        Ok(cx.leaf(at, &self.leaf))
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        see(at.clone(), Stored::Leaf(&self.leaf));
    }

    fn part<'f>(&'f self, _inner: &str) -> Option<(&'f Form, String)> {
        None
    }

    fn parts(&self, _see: &mut dyn FnMut(&Form)) {}

    fn cost(&self) -> Cost {
        let parameters = self.leaf.value.len();
        Cost { parameters, bytes: 4 * parameters, macs_per_row: parameters, rebuild_macs: 0 }
    }

    fn record(&self, at: &Address) -> FormRecord {
        FormRecord::Dense { leaf: at.to_string() }
    }

    fn describe(&self) -> String {
        "dense".to_owned()
    }
}

impl OperationsMut for Dense {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        see(at.clone(), &mut self.leaf);
    }
}
