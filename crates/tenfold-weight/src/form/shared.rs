//! The shared form: what is stored elsewhere in the tree, by the owner's address.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::Var;

/// A form stored at `owner`. Stores nothing itself; gradients and cached matrices belong to the owner.
#[derive(Clone, Debug)]
pub struct Shared {
    owner: Address,
    shape: Vec<usize>,
}

impl Shared {
    pub(crate) fn new(owner: Address, shape: Vec<usize>) -> Self {
        Self { owner, shape }
    }

    /// Where the form is stored.
    pub fn owner(&self) -> &Address {
        &self.owner
    }
}

impl Operations for Shared {
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn apply(&self, cx: &Scope<'_>, _at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        cx.form(&self.owner)?.operations().apply(cx, &self.owner, call)
    }

    fn rows(&self, cx: &Scope<'_>, _at: &Address, ids: &[u32]) -> Result<Var, Error> {
        cx.form(&self.owner)?.operations().rows(cx, &self.owner, ids)
    }

    fn dense(&self, cx: &Scope<'_>, _at: &Address) -> Result<Var, Error> {
        cx.form(&self.owner)?.operations().dense(cx, &self.owner)
    }

    fn visit(&self, _at: &Address, _see: &mut dyn FnMut(Address, Stored<'_>)) {}

    fn part<'f>(&'f self, _inner: &str) -> Option<(&'f Form, String)> {
        None
    }

    fn parts(&self, _see: &mut dyn FnMut(&Form)) {}

    fn cost(&self) -> Cost {
        Cost { macs_per_row: self.shape.iter().product(), ..Cost::default() }
    }

    fn record(&self, _at: &Address) -> FormRecord {
        FormRecord::Shared { owner: self.owner.to_string() }
    }

    fn describe(&self) -> String {
        format!("shared with {}", self.owner)
    }
}

impl OperationsMut for Shared {
    fn visit_mut(&mut self, _at: &Address, _see: &mut dyn FnMut(Address, &mut Leaf)) {}
}
