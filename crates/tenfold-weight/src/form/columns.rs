//! The columns form: a few columns of a matrix beside all others, which see nothing of the inputs of those few.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::scope::Scope;
use std::sync::Arc;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Activation, Var, op};

/// Columns k of W stand in `value` (O x k), the others in `rest` (O x (I - k)), each in their order.
#[derive(Clone, Debug)]
pub struct Columns {
    kept: Arc<[u32]>,
    others: Arc<[u32]>,
    value: Box<Form>,
    rest: Box<Form>,
    rows: usize,
}

impl Columns {
    /// Joins `value` (O x k), the columns `kept`, with `rest` (O x (I - k)), all others.
    ///
    /// # Errors
    /// [`Error::Parts`] unless both are matrices of as many rows, neither without columns, and `kept` ascends and names one column of
    /// the whole for each of `value`.
    pub fn new(kept: &[usize], value: Form, rest: Form) -> Result<Self, Error> {
        let fault = |expected: String, got| Error::Parts { form: "columns", expected, got };
        let (&[rows, few], &[same, many]) = (value.shape().as_slice(), rest.shape().as_slice()) else {
            return Err(fault("two matrices".to_owned(), rest.shape()));
        };
        if rows != same || few == 0 || many == 0 {
            return Err(fault(format!("two matrices of {rows} rows with columns"), vec![same, few, many]));
        }
        let width = few + many;
        let fits = kept.len() == few && kept.is_sorted_by(|a, b| a < b) && kept.iter().all(|at| *at < width);
        let whole = u32::try_from(width).ok().filter(|_| fits);
        let Some(width) = whole else {
            return Err(fault(format!("{few} ascending columns of {width}"), kept.to_vec()));
        };
        let kept: Arc<[u32]> = kept.iter().map(|at| *at as u32).collect();
        let others = (0..width).filter(|at| kept.binary_search(at).is_err()).collect();
        Ok(Self { kept, others, value: Box::new(value), rest: Box::new(rest), rows })
    }

    fn sides(at: &Address) -> (Address, Address) {
        (at.part("value"), at.part("rest"))
    }

    fn joined(&self, value: &Var, rest: &Var) -> Var {
        op::join_columns(value, &self.kept, rest, &self.others)
    }
}

impl Operations for Columns {
    fn shape(&self) -> Vec<usize> {
        vec![self.rows, self.kept.len() + self.others.len()]
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        let (value_at, rest_at) = Self::sides(at);
        let (few, many) = (op::columns(call.x, &self.kept), op::columns(call.x, &self.others));
        let base = Call { x: &many, bias: call.bias, activation: Activation::Identity };
        let rest = self.rest.operations().apply(cx, &rest_at, &base)?;
        let value = self.value.operations().apply(cx, &value_at, &Call::plain(&few))?;
        let total = op::add(&rest, &value);
        Ok(match call.activation {
            Activation::Identity => total,
            activation => op::bias_act(&total, None, activation),
        })
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        let (value_at, rest_at) = Self::sides(at);
        let value = self.value.operations().rows(cx, &value_at, ids)?;
        Ok(self.joined(&value, &self.rest.operations().rows(cx, &rest_at, ids)?))
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let (value_at, rest_at) = Self::sides(at);
            let value = self.value.operations().dense(cx, &value_at)?;
            Ok(self.joined(&value, &self.rest.operations().dense(cx, &rest_at)?))
        })
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        let (value_at, rest_at) = Self::sides(at);
        self.value.stored(&value_at, see);
        self.rest.stored(&rest_at, see);
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        let value = rest_after(inner, "value").map(|rest| (&*self.value, rest));
        value.or_else(|| rest_after(inner, "rest").map(|rest| (&*self.rest, rest)))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        see(&self.value);
        see(&self.rest);
    }

    fn cost(&self) -> Cost {
        self.value.cost() + self.rest.cost()
    }

    fn record(&self, at: &Address) -> FormRecord {
        let (value_at, rest_at) = Self::sides(at);
        FormRecord::Columns {
            columns: self.kept.iter().map(|at| *at as usize).collect(),
            value: Box::new(self.value.record(&value_at)),
            rest: Box::new(self.rest.record(&rest_at)),
        }
    }

    fn describe(&self) -> String {
        let value = match self.value.as_array() {
            Some(_) => String::new(),
            None => format!(" {}", self.value.describe()),
        };
        let noun = if self.kept.len() == 1 { "column" } else { "columns" };
        format!("{} {noun}{value}, others {}", self.kept.len(), self.rest.describe())
    }
}

impl OperationsMut for Columns {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        let (value_at, rest_at) = Self::sides(at);
        self.value.visit_mut(&value_at, see);
        self.rest.visit_mut(&rest_at, see);
    }
}
