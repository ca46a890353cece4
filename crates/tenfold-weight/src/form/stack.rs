//! The stack form: the matrices of several experts under one path.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Offsets, Var, op};

/// E forms of one matrix shape, O x I, of which a row of inputs sees those that a router chooses for it.
#[derive(Clone, Debug)]
pub struct Stack {
    experts: Vec<Form>,
    rows: usize,
    cols: usize,
}

impl Stack {
    /// Puts forms together.
    ///
    /// # Errors
    /// [`Error::Parts`] unless there are some, all of them matrices of one shape.
    pub fn new(experts: Vec<Form>) -> Result<Self, Error> {
        let fault = |expected: String, got| Error::Parts { form: "stack", expected, got };
        let shape = experts.first().map(Form::shape).unwrap_or_default();
        let &[rows, cols] = shape.as_slice() else { return Err(fault("matrices".to_owned(), shape)) };
        match experts.iter().map(Form::shape).find(|other| *other != shape) {
            Some(other) => Err(fault(format!("matrices of shape {rows} x {cols}"), other)),
            None => Ok(Self { experts, rows, cols }),
        }
    }

    /// The experts in order.
    pub fn experts(&self) -> &[Form] {
        &self.experts
    }

    fn named(at: &Address, expert: usize) -> Address {
        at.part(format_args!("expert.{expert}"))
    }
}

impl Operations for Stack {
    fn shape(&self) -> Vec<usize> {
        vec![self.experts.len(), self.rows, self.cols]
    }

    fn apply(&self, _cx: &Scope<'_>, at: &Address, _call: &Call<'_>) -> Result<Var, Error> {
        Err(Error::NotRouted { path: at.path.clone() })
    }

    /// Only experts that have rows are rebuilt.
    fn apply_experts(
        &self,
        cx: &Scope<'_>,
        at: &Address,
        call: &Call<'_>,
        rows: &Offsets,
    ) -> Result<Var, Error> {
        let mut operators = Vec::new();
        for (e, _) in rows.ranges().enumerate().filter(|(_, range)| !range.is_empty()) {
            let each = &mut |at, operator| operators.push((at, operator));
            self.experts[e].operations().operators(&Self::named(at, e), each);
        }
        cx.build_each(&operators)?;
        let used = |(e, range): (usize, std::ops::Range<usize>)| match range.is_empty() {
            true => Ok(None),
            false => self.experts[e].operations().dense(cx, &Self::named(at, e)).map(Some),
        };
        let weights = rows.ranges().enumerate().map(used).collect::<Result<Vec<_>, _>>()?;
        Ok(op::linear_each(cx.precision(), call.x, rows, &weights, call.bias, call.activation))
    }

    fn rows(&self, _cx: &Scope<'_>, at: &Address, _ids: &[u32]) -> Result<Var, Error> {
        Err(Error::NotRouted { path: at.path.clone() })
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        let each = self.experts.iter().enumerate();
        let parts = each.map(|(e, form)| form.operations().dense(cx, &Self::named(at, e)));
        Ok(op::stack(&parts.collect::<Result<Vec<_>, _>>()?))
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        for (e, expert) in self.experts.iter().enumerate() {
            expert.stored(&Self::named(at, e), see);
        }
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        let rest = inner.strip_prefix("expert.")?;
        let digits = rest.split('.').next()?;
        let expert = digits.parse::<usize>().ok().and_then(|e| self.experts.get(e))?;
        rest_after(rest, digits).map(|rest| (expert, rest))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        self.experts.iter().for_each(see);
    }

    /// A row passes through one expert, as often as the router says.
    fn cost(&self) -> Cost {
        let all = self.experts.iter().map(Form::cost);
        let row = all.clone().map(|cost| cost.macs_per_row).max().unwrap_or(0);
        Cost { macs_per_row: row, ..all.fold(Cost::default(), |sum, one| sum + one) }
    }

    fn record(&self, at: &Address) -> FormRecord {
        let each = self.experts.iter().enumerate();
        FormRecord::Stack { experts: each.map(|(e, form)| form.record(&Self::named(at, e))).collect() }
    }

    fn describe(&self) -> String {
        let first = self.experts.first().map(Form::describe).unwrap_or_default();
        format!("{} experts, {first}", self.experts.len())
    }
}

impl OperationsMut for Stack {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        for (e, expert) in self.experts.iter_mut().enumerate() {
            expert.visit_mut(&Self::named(at, e), see);
        }
    }
}
