//! The low-rank form: `W = up * down`, O x r times r x I.

use super::{Call, Chain, Form, Leaf, Operations, OperationsMut, Stored, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_linalg::MpoShape;
use tenfold_tensor::{Var, op};

/// The product of two forms through a rank r.
#[derive(Clone, Debug)]
pub struct Lowrank {
    down: Box<Form>,
    up: Box<Form>,
    rows: usize,
    cols: usize,
    rank: usize,
}

impl Lowrank {
    /// Joins `down` (r x I) and `up` (O x r), each a form.
    ///
    /// # Errors
    /// [`Error::Parts`] unless both are matrices that share r.
    pub fn new(down: Form, up: Form) -> Result<Self, Error> {
        match (down.shape().as_slice(), up.shape().as_slice()) {
            (&[rank, cols], &[rows, inner]) if rank == inner => {
                let (down, up) = (down.with_role(Role::Down), up.with_role(Role::Up));
                Ok(Self { down: Box::new(down), up: Box::new(up), rows, cols, rank })
            }
            (down, up) => Err(Error::Parts {
                form: "lowrank",
                expected: format!("up (O x r) and down (r x I) with one r; down is {down:?}"),
                got: up.to_vec(),
            }),
        }
    }

    /// As an operator of two cores; nothing for a side without rows or columns.
    pub(super) fn as_chain(&self) -> Option<Chain<'_>> {
        let shape = MpoShape::new(vec![self.rows, 1], vec![1, self.cols]).ok()?;
        Some(Chain { shape, factors: vec![&self.up, &self.down] })
    }

    /// Of up and down, in this order.
    pub(super) fn of_factors(factors: Vec<Form>) -> Result<Self, Error> {
        let count = factors.len();
        let [up, down] = <[Form; 2]>::try_from(factors).map_err(|_| Error::Parts {
            form: "lowrank",
            expected: "two factors".to_owned(),
            got: vec![count],
        })?;
        Self::new(down, up)
    }

    fn factored_is_cheaper(&self) -> bool {
        self.rank * (self.rows + self.cols) < self.rows * self.cols
    }
}

impl Operations for Lowrank {
    fn shape(&self) -> Vec<usize> {
        vec![self.rows, self.cols]
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        if !self.factored_is_cheaper() {
            return Ok(call.multiply(cx, &self.dense(cx, at)?));
        }
        let thin = self.down.operations().apply(cx, &at.part("down"), &Call::plain(call.x))?;
        let wide = Call { x: &thin, bias: call.bias, activation: call.activation };
        self.up.operations().apply(cx, &at.part("up"), &wide)
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        let thin = self.up.operations().rows(cx, &at.part("up"), ids)?;
        Ok(op::matmul(&thin, &self.down.operations().dense(cx, &at.part("down"))?))
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let up = self.up.operations().dense(cx, &at.part("up"))?;
            let down = self.down.operations().dense(cx, &at.part("down"))?;
            Ok(op::matmul(&up, &down))
        })
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        self.down.stored(&at.part("down"), see);
        self.up.stored(&at.part("up"), see);
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        let down = rest_after(inner, "down").map(|rest| (&*self.down, rest));
        down.or_else(|| rest_after(inner, "up").map(|rest| (&*self.up, rest)))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        see(&self.down);
        see(&self.up);
    }

    fn cost(&self) -> Cost {
        let inner = self.down.cost() + self.up.cost();
        let rebuild = inner.rebuild_macs + self.rows * self.rank * self.cols;
        let dense = self.rows * self.cols;
        if self.factored_is_cheaper() {
            Cost { macs_per_row: self.rank * (self.rows + self.cols), ..inner }
        } else {
            Cost { macs_per_row: dense, rebuild_macs: rebuild, ..inner }
        }
    }

    fn record(&self, at: &Address) -> FormRecord {
        FormRecord::Lowrank {
            down: Box::new(self.down.record(&at.part("down"))),
            up: Box::new(self.up.record(&at.part("up"))),
        }
    }

    fn describe(&self) -> String {
        let part = |name, form: &Form| match form.as_array() {
            Some(_) => None,
            None => Some(format!("{name} {}", form.describe())),
        };
        let parts: Vec<String> = part("up", &self.up).into_iter().chain(part("down", &self.down)).collect();
        match parts.is_empty() {
            true => format!("low rank {}", self.rank),
            false => format!("low rank {} ({})", self.rank, parts.join("; ")),
        }
    }
}

impl OperationsMut for Lowrank {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        self.down.visit_mut(&at.part("down"), see);
        self.up.visit_mut(&at.part("up"), see);
    }
}
