//! Trees and their written description: records name each weight's form, leaves are stored arrays.
//!
//! A leaf's stored name is its address: the path for a dense weight, `path#core.2` inside a form.

use crate::error::Error;
use crate::form::{Columns, Form, Grouped, Lowrank, Mpo, Quant, Rotated, Scaled, Stack, Sum};
use crate::path::{Address, Path};
use crate::tree::Tree;
use std::collections::BTreeMap;
use tenfold_format::manifest::{FormRecord, WeightRecord};
use tenfold_linalg::MpoShape;
use tenfold_tensor::{Array, Codes, Scheme};

/// The record of every weight, by path.
pub fn describe(tree: &Tree) -> BTreeMap<String, WeightRecord> {
    let record = |(path, form): (&Path, &Form)| {
        let form_record = form.record(&Address::root(path.clone()));
        (path.to_string(), WeightRecord { shape: form.shape(), form: form_record })
    };
    tree.iter().map(record).collect()
}

/// Where the arrays of a tree are stored, by name.
pub trait Store {
    /// The numbers of a leaf.
    ///
    /// # Errors
    /// Whatever keeps the store from giving them.
    fn leaf(&mut self, name: &str) -> Result<Array, Error>;

    /// The bytes of codes.
    ///
    /// # Errors
    /// Whatever keeps the store from giving them.
    fn codes(&mut self, name: &str) -> Result<Vec<u8>, Error>;
}

/// Builds the tree that records describe from what is stored.
///
/// # Errors
/// Whatever the store returns, [`Error::Parts`] where arrays do not fit their form, [`Error::Owner`] for faulty
/// sharing, [`Error::Shape`] where a form and its record disagree.
pub fn restore(records: &BTreeMap<String, WeightRecord>, store: &mut dyn Store) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let mut reader = Reader { records, store };
    for (path, record) in records {
        let form = reader.form(&record.form, &record.shape)?;
        if form.shape() != record.shape {
            let expected = format!("{:?} as its record says", record.shape);
            return Err(Error::Shape { path: Path::new(path), expected, got: form.shape() });
        }
        tree.insert(Path::new(path), form);
    }
    tree.check_owners()?;
    Ok(tree)
}

struct Reader<'a> {
    records: &'a BTreeMap<String, WeightRecord>,
    store: &'a mut dyn Store,
}

impl Reader<'_> {
    /// `shape` is the expected shape where the record's surroundings tell it, else empty.
    fn form(&mut self, record: &FormRecord, shape: &[usize]) -> Result<Form, Error> {
        Ok(match record {
            FormRecord::Dense { leaf } => Form::dense(self.store.leaf(leaf)?),
            FormRecord::Mpo { rows, cols, cores } => {
                let factors = MpoShape::new(rows.clone(), cols.clone())?;
                let cores = cores.iter().map(|core| self.form(core, &[]));
                let cores = cores.collect::<Result<Vec<_>, _>>()?;
                let (height, width) = match shape {
                    &[height, width] => (height, width),
                    _ => (factors.padded_rows(), factors.padded_cols()),
                };
                Form::Mpo(Mpo::from_forms(factors, height, width, cores)?)
            }
            FormRecord::Lowrank { down, up } => {
                let down = self.form(down, &[])?;
                // A padded operator inside takes its rows from the weight, its columns from the rank.
                let inner = match (shape, down.shape().as_slice()) {
                    (&[rows, _], &[rank, _]) => vec![rows, rank],
                    _ => Vec::new(),
                };
                Form::Lowrank(Lowrank::new(down, self.form(up, &inner)?)?)
            }
            FormRecord::Scaled { inner, columns } => {
                let inner = self.form(inner, shape)?;
                let width: Vec<usize> = inner.shape().last().copied().into_iter().collect();
                Form::Scaled(Scaled::columns(inner, self.form(columns, &width)?)?)
            }
            FormRecord::RowScaled { inner, rows } => {
                let inner = self.form(inner, shape)?;
                let rows = self.form(rows, &height(&inner))?;
                Form::Scaled(Scaled::rows(inner, rows)?)
            }
            FormRecord::RowNormed { inner, norms } => {
                let inner = self.form(inner, shape)?;
                let norms = self.form(norms, &height(&inner))?;
                Form::Scaled(Scaled::norms(inner, norms)?)
            }
            FormRecord::Sum { left, right } => {
                let left = self.form(left, shape)?;
                Form::Sum(Sum::new(left, self.form(right, shape)?)?)
            }
            FormRecord::Quant { codes, scheme, rows, cols, shape, by_columns, rounds_inputs } => {
                let codes = self.codes(codes, scheme, *rows, *cols)?;
                match (by_columns, rounds_inputs) {
                    (true, true) => return Err(Error::UnknownRecord { record: format!("{record:?}") }),
                    (true, false) => Form::Quant(Quant::columns(codes)),
                    (false, true) => Form::Quant(Quant::rounding_inputs(codes)?),
                    (false, false) => Form::Quant(Quant::new(codes, shape.clone())?),
                }
            }
            FormRecord::Columns { columns, value, rest } => {
                let side = |width: Option<usize>| match (shape, width) {
                    (&[rows, _], Some(width)) => vec![rows, width],
                    _ => Vec::new(),
                };
                let few = Some(columns.len());
                let many = shape.get(1).and_then(|width| width.checked_sub(columns.len()));
                let value = self.form(value, &side(few))?;
                Form::Columns(Columns::new(columns, value, self.form(rest, &side(many))?)?)
            }
            FormRecord::Rotated { inner, seed } => {
                Form::Rotated(Rotated::new(self.form(inner, shape)?, *seed)?)
            }
            FormRecord::Grouped { codes, scheme, rows, cols, scale, shift } => {
                let codes = self.codes(codes, scheme, *rows, *cols)?;
                let scale = self.form(scale, &[])?;
                let table = scale.shape();
                let shift = shift.as_ref().map(|shift| self.form(shift, &table)).transpose()?;
                Form::Grouped(Grouped::new(codes, scale, shift)?)
            }
            FormRecord::Stack { experts } => {
                let inner = shape.get(1..).unwrap_or_default();
                let experts = experts.iter().map(|expert| self.form(expert, inner));
                Form::Stack(Stack::new(experts.collect::<Result<_, _>>()?)?)
            }
            FormRecord::Shared { owner } => {
                let owner = Address::parse(owner);
                let shape = if shape.is_empty() { self.stored_shape(&owner)? } else { shape.to_vec() };
                Form::shared(owner, shape)
            }
            other => return Err(Error::UnknownRecord { record: format!("{other:?}") }),
        })
    }

    /// The codes of a name, of a scheme in words.
    fn codes(&mut self, name: &str, scheme: &str, rows: usize, cols: usize) -> Result<Codes, Error> {
        let scheme =
            Scheme::parse(scheme).ok_or_else(|| Error::UnknownScheme { scheme: scheme.to_owned() })?;
        Ok(Codes::new(scheme, rows, cols, self.store.codes(name)?)?)
    }

    /// The shape of the array stored at an address; empty where there is none, which the owner check reports.
    fn stored_shape(&mut self, owner: &Address) -> Result<Vec<usize>, Error> {
        let part = self.records.get(owner.path.as_str()).and_then(|root| part(&root.form, &owner.inner));
        match part {
            Some(FormRecord::Quant { shape, .. }) => Ok(shape.clone()),
            Some(FormRecord::Grouped { rows, cols, .. }) => Ok(vec![*rows, *cols]),
            Some(FormRecord::Dense { leaf }) => Ok(self.store.leaf(leaf)?.shape().to_vec()),
            _ => Ok(Vec::new()),
        }
    }
}

/// The shape of one number per row of a form.
fn height(form: &Form) -> Vec<usize> {
    form.shape().first().copied().into_iter().collect()
}

/// The part of a record that a dotted way leads to.
fn part<'r>(record: &'r FormRecord, inner: &str) -> Option<&'r FormRecord> {
    let (name, rest) = inner.split_once('.').unwrap_or((inner, ""));
    match record {
        record if inner.is_empty() => Some(record),
        FormRecord::Mpo { cores, .. } if name == "core" => {
            let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
            part(cores.get(number.parse::<usize>().ok()?.checked_sub(1)?)?, rest)
        }
        FormRecord::Stack { experts } if name == "expert" => {
            let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
            part(experts.get(number.parse::<usize>().ok()?)?, rest)
        }
        FormRecord::Lowrank { down, .. } if name == "down" => part(down, rest),
        FormRecord::Lowrank { up, .. } if name == "up" => part(up, rest),
        FormRecord::Scaled { inner, .. }
        | FormRecord::RowScaled { inner, .. }
        | FormRecord::RowNormed { inner, .. }
        | FormRecord::Rotated { inner, .. }
            if name == "inner" =>
        {
            part(inner, rest)
        }
        FormRecord::RowScaled { rows, .. } if name == "rows" => part(rows, rest),
        FormRecord::RowNormed { norms, .. } if name == "norms" => part(norms, rest),
        FormRecord::Scaled { columns, .. } if name == "columns" => part(columns, rest),
        FormRecord::Grouped { scale, .. } if name == "scale" => part(scale, rest),
        FormRecord::Grouped { shift, .. } if name == "shift" => part(shift.as_deref()?, rest),
        FormRecord::Sum { left, .. } if name == "left" => part(left, rest),
        FormRecord::Sum { right, .. } if name == "right" => part(right, rest),
        FormRecord::Columns { value, .. } if name == "value" => part(value, rest),
        FormRecord::Columns { rest: others, .. } if name == "rest" => part(others, rest),
        _ => None,
    }
}
