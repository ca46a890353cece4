//! The quant form: numbers rounded to a scheme and stored as its codes. Constant; what trains stands beside it, in a sum.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Codes, Scheme, Var, op};

/// An array of which only the codes are kept. They lie in a matrix, whose rows are those of the weight, or any cut of its
/// numbers where the weight is no matrix (cores of an operator). Where codes run along columns, the rows of their matrix are the
/// columns of the weight. Whether inputs are rounded, too, belongs to the weight, since it changes what the weight does.
#[derive(Clone, Debug)]
pub struct Quant {
    codes: Codes,
    shape: Vec<usize>,
    by_columns: bool,
    rounds_inputs: bool,
}

impl Quant {
    /// Numbers of any shape, in row-major order.
    ///
    /// # Errors
    /// [`Error::Parts`] where there are not as many codes as numbers, or a matrix has other rows than its codes.
    pub fn new(codes: Codes, shape: Vec<usize>) -> Result<Self, Error> {
        let [rows, cols] = codes.shape();
        let fits = if shape.len() == 2 {
            shape == [rows, cols]
        } else {
            shape.iter().product::<usize>() == rows * cols
        };
        if fits {
            return Ok(Self { codes, shape, by_columns: false, rounds_inputs: false });
        }
        Err(Error::Parts {
            form: "quant",
            expected: format!("codes of an array of shape {shape:?}"),
            got: vec![rows, cols],
        })
    }

    /// A matrix.
    pub fn matrix(codes: Codes) -> Self {
        let shape = codes.shape().to_vec();
        Self { codes, shape, by_columns: false, rounds_inputs: false }
    }

    /// A matrix (O x I) whose columns are the rows of the codes (I x O).
    pub fn columns(codes: Codes) -> Self {
        let [cols, rows] = codes.shape();
        Self { codes, shape: vec![rows, cols], by_columns: true, rounds_inputs: false }
    }

    /// A matrix whose inputs are rounded to 8 bits when it is applied, each row of them to whole multiples of its largest magnitude
    /// over 127 (Dettmers et al. 2022, LLM.int8(), section 2.1). Gradients pass through the rounding as if it were none.
    ///
    /// # Errors
    /// [`Error::Parts`] where the scheme of the codes is not whole numbers with a step a group.
    pub fn rounding_inputs(codes: Codes) -> Result<Self, Error> {
        match codes.scheme() {
            Scheme::Affine(_) => Ok(Self { rounds_inputs: true, ..Self::matrix(codes) }),
            other => Err(Error::Parts {
                form: "quant",
                expected: format!("{other} and round inputs; integers with a scale a group can"),
                got: codes.shape().to_vec(),
            }),
        }
    }

    /// The codes.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The codes of a matrix whose rows are theirs.
    pub(super) fn by_rows(&self) -> Option<&Codes> {
        (!self.by_columns && self.shape == self.codes.shape()).then_some(&self.codes)
    }

    /// The same where they are all that there is to a product: inputs stay as they are.
    pub(super) fn alone(&self) -> Option<&Codes> {
        self.by_rows().filter(|_| !self.rounds_inputs)
    }
}

impl Operations for Quant {
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn apply(&self, cx: &Scope<'_>, _at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        if self.by_columns {
            return Ok(op::coded_columns(cx.precision(), call.x, &self.codes, call.bias, call.activation));
        }
        if self.rounds_inputs {
            return Ok(op::coded_rounded(cx.precision(), call.x, &self.codes, call.bias, call.activation));
        }
        Ok(op::coded(cx.precision(), call.x, &self.codes, call.bias, call.activation))
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        if self.by_columns {
            return Ok(op::embedding(&self.dense(cx, at)?, ids)?);
        }
        Ok(Var::constant(self.codes.look_up(ids)?))
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let values = self.codes.values();
            Ok(match self.by_columns {
                true => op::permute(&Var::constant(values), &[1, 0]),
                false => Var::constant(values.reshape(&self.shape)),
            })
        })
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        see(at.part("codes"), Stored::Codes(&self.codes));
    }

    fn part<'f>(&'f self, _inner: &str) -> Option<(&'f Form, String)> {
        None
    }

    fn parts(&self, _see: &mut dyn FnMut(&Form)) {}

    fn cost(&self) -> Cost {
        let parameters = self.shape.iter().product();
        Cost { parameters, bytes: self.codes.bytes().len(), macs_per_row: parameters, rebuild_macs: 0 }
    }

    fn record(&self, at: &Address) -> FormRecord {
        FormRecord::Quant {
            codes: at.part("codes").to_string(),
            scheme: self.codes.scheme().to_string(),
            rows: self.codes.height(),
            cols: self.codes.width(),
            shape: self.shape.clone(),
            by_columns: self.by_columns,
            rounds_inputs: self.rounds_inputs,
        }
    }

    fn describe(&self) -> String {
        let along = if self.by_columns { " by columns" } else { "" };
        let inputs = if self.rounds_inputs { ", inputs in 8 bits" } else { "" };
        format!("quant {}{along}{inputs}", self.codes.scheme())
    }
}

impl OperationsMut for Quant {
    fn visit_mut(&mut self, _at: &Address, _see: &mut dyn FnMut(Address, &mut Leaf)) {}
}
