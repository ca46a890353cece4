//! The grouped form: whole numbers of few bits, with a table of scales per row and group and, where there is one, a table of
//! shifts. The tables are forms and may train; the numbers are constant.

use super::{Call, Form, Leaf, Operations, OperationsMut, Stored, rest_after};
use crate::cost::Cost;
use crate::error::Error;
use crate::path::Address;
use crate::role::Role;
use crate::scope::Scope;
use tenfold_format::manifest::FormRecord;
use tenfold_tensor::{Activation, Affine, Codes, Scheme, Var, op};

/// `W[o, i] = scale[o, g] k[o, i] + shift[o, g]` with whole numbers k and the group g that column i lies in.
///
/// A shift is a zero point that is no whole number. A product of low rank in its place sees the sums of inputs over groups.
#[derive(Clone, Debug)]
pub struct Grouped {
    codes: Codes,
    scale: Box<Form>,
    shift: Option<Box<Form>>,
}

impl Grouped {
    /// Joins whole numbers (O x I, of an affine scheme without scales) and tables (O x G), each a form. Without shifts zero points
    /// are those of the codes.
    ///
    /// # Errors
    /// [`Error::Parts`] for codes of another scheme, and unless tables have one number per row and group.
    pub fn new(codes: Codes, scale: Form, shift: Option<Form>) -> Result<Self, Error> {
        let Some(affine) = whole(&codes) else {
            return Err(Error::Parts {
                form: "grouped",
                expected: format!("whole numbers in groups, not {}", codes.scheme()),
                got: codes.shape().to_vec(),
            });
        };
        let table = vec![codes.height(), affine.groups(codes.width())];
        for got in [Some(&scale), shift.as_ref()].into_iter().flatten().map(Form::shape) {
            if got != table {
                let expected = format!("tables of shape {table:?} beside {}", codes.scheme());
                return Err(Error::Parts { form: "grouped", expected, got });
            }
        }
        let (scale, shift) = (scale.with_role(Role::Scale), shift.map(|shift| shift.with_role(Role::Shift)));
        Ok(Self { codes, scale: Box::new(scale), shift: shift.map(Box::new) })
    }

    /// The whole numbers.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The scales, O x G.
    pub fn scale(&self) -> &Form {
        &self.scale
    }

    /// The shifts, O x G.
    pub fn shift(&self) -> Option<&Form> {
        self.shift.as_deref()
    }

    /// The same numbers and scales with other shifts.
    ///
    /// # Errors
    /// As [`Grouped::new`].
    pub fn with_shift(&self, shift: Option<Form>) -> Result<Self, Error> {
        Self::new(self.codes.clone(), Form::clone(&self.scale), shift)
    }

    /// Columns of a group.
    fn width(&self) -> usize {
        let cols = self.codes.width().max(1);
        whole(&self.codes).map_or(cols, |affine| affine.columns(cols))
    }

    fn tables(&self) -> impl Iterator<Item = (&'static str, &Form)> {
        [("scale", &*self.scale)].into_iter().chain(self.shift.as_deref().map(|shift| ("shift", shift)))
    }
}

/// The scheme of codes that are whole numbers.
fn whole(codes: &Codes) -> Option<Affine> {
    match codes.scheme() {
        Scheme::Affine(affine) if affine.is_whole() => Some(affine),
        _ => None,
    }
}

impl Operations for Grouped {
    fn shape(&self) -> Vec<usize> {
        self.codes.shape().to_vec()
    }

    fn apply(&self, cx: &Scope<'_>, at: &Address, call: &Call<'_>) -> Result<Var, Error> {
        let scale = self.scale.operations().dense(cx, &at.part("scale"))?;
        // Where scales are constant the matrix is, too, but for its shifts: those see sums of inputs over groups, and no gradient
        // as large as the matrix is taken. In evaluation one product does.
        let apart = !scale.is_tracked() && cx.prefers_chain(|training| training);
        let (Some(shift), true) = (self.shift.as_deref(), apart) else {
            return Ok(call.multiply(cx, &self.dense(cx, at)?));
        };
        // No part has this name, so nothing else is kept under it.
        let base = cx.built(&at.part("base"), || Ok(op::grouped(&self.codes, &scale, None)))?;
        let plain = Call { x: call.x, bias: call.bias, activation: Activation::Identity };
        let sums = op::group_sums(call.x, self.width());
        let shifted = shift.operations().apply(cx, &at.part("shift"), &Call::plain(&sums))?;
        let total = op::add(&plain.multiply(cx, &base), &shifted);
        Ok(match call.activation {
            Activation::Identity => total,
            activation => op::bias_act(&total, None, activation),
        })
    }

    fn rows(&self, cx: &Scope<'_>, at: &Address, ids: &[u32]) -> Result<Var, Error> {
        Ok(op::embedding(&self.dense(cx, at)?, ids)?)
    }

    fn dense(&self, cx: &Scope<'_>, at: &Address) -> Result<Var, Error> {
        cx.built(at, || {
            let table = |name: &str, form: &Form| form.operations().dense(cx, &at.part(name));
            let shift = self.shift.as_deref().map(|shift| table("shift", shift)).transpose()?;
            Ok(op::grouped(&self.codes, &table("scale", &self.scale)?, shift.as_ref()))
        })
    }

    fn visit(&self, at: &Address, see: &mut dyn FnMut(Address, Stored<'_>)) {
        see(at.part("codes"), Stored::Codes(&self.codes));
        for (name, table) in self.tables() {
            table.stored(&at.part(name), see);
        }
    }

    fn part<'f>(&'f self, inner: &str) -> Option<(&'f Form, String)> {
        self.tables().find_map(|(name, table)| Some((table, rest_after(inner, name)?)))
    }

    fn parts(&self, see: &mut dyn FnMut(&Form)) {
        self.tables().for_each(|(_, table)| see(table));
    }

    fn cost(&self) -> Cost {
        let numbers = self.codes.height() * self.codes.width();
        let tables = self.tables().map(|(_, table)| table.cost()).fold(Cost::default(), |sum, one| sum + one);
        // Tables are multiplied out once, and every number is stretched once.
        Cost {
            parameters: numbers + tables.parameters,
            bytes: self.codes.bytes().len() + tables.bytes,
            macs_per_row: numbers,
            rebuild_macs: numbers + tables.rebuild_macs,
        }
    }

    fn record(&self, at: &Address) -> FormRecord {
        let table = |name: &str, form: &Form| Box::new(form.record(&at.part(name)));
        FormRecord::Grouped {
            codes: at.part("codes").to_string(),
            scheme: self.codes.scheme().to_string(),
            rows: self.codes.height(),
            cols: self.codes.width(),
            scale: table("scale", &self.scale),
            shift: self.shift.as_deref().map(|shift| table("shift", shift)),
        }
    }

    fn describe(&self) -> String {
        let table = |(name, form): (&str, &Form)| match form.as_array() {
            Some(_) => name.to_owned(),
            None => format!("{name} {}", form.describe()),
        };
        let tables: Vec<String> = self.tables().map(table).collect();
        format!("grouped {} ({})", self.codes.scheme(), tables.join("; "))
    }
}

impl OperationsMut for Grouped {
    fn visit_mut(&mut self, at: &Address, see: &mut dyn FnMut(Address, &mut Leaf)) {
        self.scale.visit_mut(&at.part("scale"), see);
        if let Some(shift) = &mut self.shift {
            shift.visit_mut(&at.part("shift"), see);
        }
    }
}
