//! Whether a manifest and a checkpoint belong together.
//!
//! Two passes: every tensor is claimed by exactly one leaf, and every form has the shape of its weight, where shared
//! forms are followed to their owners.

use std::collections::BTreeMap;

use super::part::part;
use super::{FormRecord, Manifest};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};

/// The deepest nesting of forms and owners; methods make three or four.
pub const DEPTH_LIMIT: usize = 32;

/// What a manifest may get wrong about one weight.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedFault {
    /// A leaf whose tensor is not in the checkpoint.
    #[error("names the tensor {leaf}, which is not in the checkpoint")]
    MissingLeaf {
        /// The tensor.
        leaf: String,
    },
    /// A tensor that two leaves claim.
    #[error("names the tensor {leaf}, which {first} names too")]
    LeafTwice {
        /// The tensor.
        leaf: String,
        /// The weight that names it first.
        first: String,
    },
    /// A form whose leaves do not fit.
    #[error("expected the shape {expected:?}, the form gives {got:?}")]
    Shape {
        /// The shape it should have.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// Row factors, column factors and cores of an MPO are not equally many, or none.
    #[error(
        "{rows} row factors, {columns} column factors and {cores} cores, expected one or more, equally many"
    )]
    Factors {
        /// Row factors.
        rows: usize,
        /// Column factors.
        columns: usize,
        /// Cores.
        cores: usize,
    },
    /// Columns that do not ascend, or are none of the weight.
    #[error("sets apart the columns {columns:?} of {width}, expected ascending ones")]
    Columns {
        /// The columns.
        columns: Vec<usize>,
        /// Columns of the weight.
        width: usize,
    },
    /// A shared form whose owner does not exist.
    #[error("shares {owner}, which does not exist")]
    MissingOwner {
        /// The address of the owner.
        owner: String,
    },
    /// A shared form that leads back to itself.
    #[error("shares {owner}, which leads back to itself")]
    SharedCycle {
        /// The address of the owner.
        owner: String,
    },
    /// Forms nested, or owners chained, deeper than any method makes them.
    #[error("nests deeper than {limit} forms")]
    TooDeep {
        /// The deepest nesting that is accepted.
        limit: usize,
    },
}

impl Manifest {
    /// Checks that the manifest describes `checkpoint`: every leaf is there with a fitting shape, no tensor is left
    /// over or claimed twice, and every shared form leads to an owner without a cycle.
    ///
    /// # Errors
    /// [`Error::Saved`] with the first weight at fault, [`Error::ExtraTensor`].
    pub fn check(&self, checkpoint: &Checkpoint) -> Result<()> {
        let mut claims = Claims { checkpoint, claimed: BTreeMap::new() };
        for (path, record) in &self.weights {
            claims.claim(path, &record.form, 0)?;
        }
        if let Some(extra) =
            checkpoint.tensors().find(|tensor| !claims.claimed.contains_key(tensor.name.as_str()))
        {
            return Err(Error::ExtraTensor {
                path: checkpoint.path().to_owned(),
                tensor: extra.name.clone(),
            });
        }
        let mut shapes = Shapes { manifest: self, checkpoint, known: BTreeMap::new() };
        for path in self.weights.keys() {
            shapes.owner(path, path, 0)?;
        }
        Ok(())
    }
}

fn saved(checkpoint: &Checkpoint, weight: &str, fault: SavedFault) -> Error {
    Error::Saved { path: checkpoint.path().to_owned(), weight: weight.to_owned(), fault }
}

/// First pass: which weight claims which tensor.
struct Claims<'a> {
    checkpoint: &'a Checkpoint,
    claimed: BTreeMap<&'a str, &'a str>,
}

impl<'a> Claims<'a> {
    fn claim(&mut self, path: &'a str, form: &'a FormRecord, depth: usize) -> Result<()> {
        let fault = |fault| Err(saved(self.checkpoint, path, fault));
        if depth > DEPTH_LIMIT {
            return fault(SavedFault::TooDeep { limit: DEPTH_LIMIT });
        }
        match form {
            FormRecord::Dense { leaf } | FormRecord::Quant { codes: leaf, .. } => self.tensor(path, leaf),
            FormRecord::Mpo { cores: parts, .. } | FormRecord::Stack { experts: parts } => {
                parts.iter().try_for_each(|part| self.claim(path, part, depth + 1))
            }
            FormRecord::Lowrank { down: a, up: b }
            | FormRecord::Sum { left: a, right: b }
            | FormRecord::Columns { value: a, rest: b, .. }
            | FormRecord::Scaled { inner: a, columns: b }
            | FormRecord::RowScaled { inner: a, rows: b }
            | FormRecord::RowNormed { inner: a, norms: b } => {
                self.claim(path, a, depth + 1)?;
                self.claim(path, b, depth + 1)
            }
            FormRecord::Grouped { codes, scale, shift, .. } => {
                self.tensor(path, codes)?;
                let mut tables = [Some(scale), shift.as_ref()].into_iter().flatten();
                tables.try_for_each(|table| self.claim(path, table, depth + 1))
            }
            FormRecord::Rotated { inner, .. } => self.claim(path, inner, depth + 1),
            FormRecord::Shared { .. } => Ok(()),
        }
    }

    fn tensor(&mut self, path: &'a str, leaf: &'a str) -> Result<()> {
        let fault = |fault| Err(saved(self.checkpoint, path, fault));
        if self.checkpoint.tensor(leaf).is_none() {
            return fault(SavedFault::MissingLeaf { leaf: leaf.to_owned() });
        }
        if let Some(first) = self.claimed.insert(leaf, path) {
            return fault(SavedFault::LeafTwice { leaf: leaf.to_owned(), first: first.to_owned() });
        }
        Ok(())
    }
}

/// Second pass: the shape at every address; `None` while it is being worked out.
struct Shapes<'a> {
    manifest: &'a Manifest,
    checkpoint: &'a Checkpoint,
    known: BTreeMap<String, Option<Vec<usize>>>,
}

impl Shapes<'_> {
    /// The shape at the address `owner`, which `weight` shares (or is).
    fn owner(&mut self, weight: &str, owner: &str, depth: usize) -> Result<Vec<usize>> {
        match self.known.get(owner) {
            Some(Some(shape)) => return Ok(shape.clone()),
            Some(None) => return self.fault(weight, SavedFault::SharedCycle { owner: owner.to_owned() }),
            None => {}
        }
        let manifest = self.manifest;
        let (path, inner) = owner.split_once('#').map_or((owner, None), |(path, inner)| (path, Some(inner)));
        let missing = || SavedFault::MissingOwner { owner: owner.to_owned() };
        let Some(record) = manifest.weights.get(path) else {
            return self.fault(weight, missing());
        };
        self.known.insert(owner.to_owned(), None);
        let shape = match inner {
            None => {
                let got = self.shape(path, &record.form, Some(&record.shape), depth + 1)?;
                self.same(path, &record.shape, &got)?;
                got
            }
            Some(inner) => match part(&record.form, inner) {
                Some(form) => self.shape(owner, form, None, depth + 1)?,
                None => return self.fault(weight, missing()),
            },
        };
        self.known.insert(owner.to_owned(), Some(shape.clone()));
        Ok(shape)
    }

    /// The shape of `form` at the address `at`. An MPO is padded, so it takes on the `wanted` shape when it can.
    fn shape(
        &mut self,
        at: &str,
        form: &FormRecord,
        wanted: Option<&[usize]>,
        depth: usize,
    ) -> Result<Vec<usize>> {
        if depth > DEPTH_LIMIT {
            return self.fault(at, SavedFault::TooDeep { limit: DEPTH_LIMIT });
        }
        match form {
            FormRecord::Dense { leaf } => match self.checkpoint.tensor(leaf) {
                Some(tensor) => Ok(tensor.shape.clone()),
                None => self.fault(at, SavedFault::MissingLeaf { leaf: leaf.clone() }),
            },
            // Whether there are as many bytes as the scheme asks for is for those to say who know schemes.
            FormRecord::Quant { shape, .. } => Ok(shape.clone()),
            FormRecord::Shared { owner } => self.owner(at, owner, depth + 1),
            FormRecord::Sum { left, right } => {
                let left = self.shape(at, left, wanted, depth + 1)?;
                let right = self.shape(at, right, Some(&left), depth + 1)?;
                self.same(at, &left, &right)?;
                Ok(left)
            }
            FormRecord::Lowrank { down, up } => {
                let down = self.shape(at, down, None, depth + 1)?;
                // A padded operator takes its rows from the weight, its columns from the rank.
                let inner = match (wanted, &down[..]) {
                    (Some(&[rows, _]), &[rank, _]) => Some([rows, rank]),
                    _ => None,
                };
                let up = self.shape(at, up, inner.as_ref().map(|shape| &shape[..]), depth + 1)?;
                match (&down[..], &up[..]) {
                    (&[rank, columns], &[rows, same]) if rank == same => Ok(vec![rows, columns]),
                    (&[rank, _], &[rows, _]) => {
                        self.fault(at, SavedFault::Shape { expected: vec![rows, rank], got: up })
                    }
                    (&[_, _], _) => self.fault(at, SavedFault::Shape { expected: vec![0, 0], got: up }),
                    _ => self.fault(at, SavedFault::Shape { expected: vec![0, 0], got: down }),
                }
            }
            FormRecord::Scaled { inner, columns } => {
                let inner = self.shape(at, inner, wanted, depth + 1)?;
                let columns = self.shape(at, columns, None, depth + 1)?;
                match &inner[..] {
                    &[_, width] => self.same(&format!("{at}#columns"), &[width], &columns)?,
                    _ => return self.fault(at, SavedFault::Shape { expected: vec![0, 0], got: inner }),
                }
                Ok(inner)
            }
            FormRecord::RowScaled { inner, rows } => {
                let inner = self.shape(at, inner, wanted, depth + 1)?;
                let rows = self.shape(at, rows, None, depth + 1)?;
                match &inner[..] {
                    &[height] | &[height, _] => self.same(&format!("{at}#rows"), &[height], &rows)?,
                    _ => return self.fault(at, SavedFault::Shape { expected: vec![0, 0], got: inner }),
                }
                Ok(inner)
            }
            FormRecord::RowNormed { inner, norms } => {
                let inner = self.shape(at, inner, wanted, depth + 1)?;
                let norms = self.shape(at, norms, None, depth + 1)?;
                match &inner[..] {
                    &[height, _] => self.same(&format!("{at}#norms"), &[height], &norms)?,
                    _ => return self.fault(at, SavedFault::Shape { expected: vec![0, 0], got: inner }),
                }
                Ok(inner)
            }
            FormRecord::Rotated { inner, .. } => {
                let inner = self.shape(at, inner, wanted, depth + 1)?;
                match &inner[..] {
                    &[_, _] => Ok(inner),
                    _ => self.fault(at, SavedFault::Shape { expected: vec![0, 0], got: inner }),
                }
            }
            // What groups there are is for those to say who know schemes; tables have one shape and the rows of the weight.
            FormRecord::Grouped { rows, cols, scale, shift, .. } => {
                let scale = self.shape(at, scale, None, depth + 1)?;
                let groups = scale.get(1).copied().unwrap_or(1);
                self.same(&format!("{at}#scale"), &[*rows, groups], &scale)?;
                if let Some(shift) = shift {
                    let shift = self.shape(at, shift, Some(&scale), depth + 1)?;
                    self.same(&format!("{at}#shift"), &scale, &shift)?;
                }
                Ok(vec![*rows, *cols])
            }
            FormRecord::Columns { columns, value, rest } => {
                self.columns(at, (columns, value, rest), wanted, depth)
            }
            FormRecord::Mpo { rows, cols, cores } => self.mpo(at, (rows, cols, cores), wanted, depth),
            FormRecord::Stack { experts } => self.stack(at, experts, wanted, depth),
        }
    }

    fn columns(
        &mut self,
        at: &str,
        (columns, value, rest): (&[usize], &FormRecord, &FormRecord),
        wanted: Option<&[usize]>,
        depth: usize,
    ) -> Result<Vec<usize>> {
        // A padded operator on either side takes its part of the weight.
        let few = columns.len();
        let sides = match wanted {
            Some(&[rows, width]) if few <= width => Some(([rows, few], [rows, width - few])),
            _ => None,
        };
        let value = self.shape(at, value, sides.as_ref().map(|(side, _)| &side[..]), depth + 1)?;
        let rest = self.shape(at, rest, sides.as_ref().map(|(_, side)| &side[..]), depth + 1)?;
        let &[rows, many] = &rest[..] else {
            return self.fault(at, SavedFault::Shape { expected: vec![0, 0], got: rest });
        };
        self.same(&format!("{at}#value"), &[rows, few], &value)?;
        let width = few.saturating_add(many);
        if !columns.is_sorted_by(|a, b| a < b) || columns.last().is_some_and(|last| *last >= width) {
            return self.fault(at, SavedFault::Columns { columns: columns.to_vec(), width });
        }
        Ok(vec![rows, width])
    }

    fn stack(
        &mut self,
        at: &str,
        experts: &[FormRecord],
        wanted: Option<&[usize]>,
        depth: usize,
    ) -> Result<Vec<usize>> {
        let inner = wanted.and_then(|wanted| wanted.get(1..));
        let mut whole = vec![experts.len()];
        for (number, expert) in experts.iter().enumerate() {
            let got = self.shape(at, expert, inner, depth + 1)?;
            match whole.get(1..).filter(|first| !first.is_empty()) {
                Some(first) => self.same(&format!("{at}#expert.{number}"), first, &got)?,
                None => whole.extend(got),
            }
        }
        if whole.len() == 3 {
            Ok(whole)
        } else {
            self.fault(at, SavedFault::Shape { expected: vec![0, 0, 0], got: whole })
        }
    }

    fn mpo(
        &mut self,
        at: &str,
        (rows, cols, cores): (&[usize], &[usize], &[FormRecord]),
        wanted: Option<&[usize]>,
        depth: usize,
    ) -> Result<Vec<usize>> {
        let counts = (rows.len(), cols.len(), cores.len());
        if cores.is_empty() || counts.0 != counts.2 || counts.1 != counts.2 {
            let fault = SavedFault::Factors { rows: counts.0, columns: counts.1, cores: counts.2 };
            return self.fault(at, fault);
        }
        let mut bond = 1;
        for (index, core) in cores.iter().enumerate() {
            let got = self.shape(at, core, None, depth + 1)?;
            // The right bond is free, except at the end.
            let last = index + 1 == cores.len();
            let right = if last { 1 } else { got.last().copied().unwrap_or(1) };
            self.same(&format!("{at}#core.{}", index + 1), &[bond, rows[index], cols[index], right], &got)?;
            bond = right;
        }
        let product = |factors: &[usize]| {
            factors.iter().fold(1usize, |product, &factor| product.saturating_mul(factor))
        };
        let padded = vec![product(rows), product(cols)];
        match wanted {
            Some(&[o, i]) if o <= padded[0] && i <= padded[1] => Ok(vec![o, i]),
            _ => Ok(padded),
        }
    }

    fn same(&self, at: &str, expected: &[usize], got: &[usize]) -> Result<()> {
        if expected == got {
            return Ok(());
        }
        self.fault(at, SavedFault::Shape { expected: expected.to_vec(), got: got.to_vec() })
    }

    fn fault<T>(&self, weight: &str, fault: SavedFault) -> Result<T> {
        Err(saved(self.checkpoint, weight, fault))
    }
}
