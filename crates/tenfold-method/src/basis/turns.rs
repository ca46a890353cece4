//! Which change of coordinates a space gets.

use super::{fits, values};
use crate::error::{At, Error};
use crate::evidence::Evidence;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_linalg::basis::{Turn, carried_basis, eigenbasis, falling, matched_basis, row_energies};
use tenfold_weight::{Form, Path, Space, Structure};

/// The weights that a step rewrites.
pub(super) struct Selected<'w>(BTreeMap<&'w Path, &'w Form>);

impl<'w> Selected<'w> {
    pub(super) fn of(weights: &'w [(Path, &'w Form)]) -> Self {
        Self(weights.iter().map(|(path, form)| (path, *form)).collect())
    }

    pub(super) fn paths(&self) -> BTreeSet<&'w Path> {
        self.0.keys().copied().collect()
    }

    /// The form of a weight; of one that is another weight, that other.
    ///
    /// # Errors
    /// [`Error::Weight`] where one of them is not selected.
    pub(super) fn stored(&self, path: &Path) -> Result<&'w Form, Error> {
        let missing = |path: &Path| tenfold_weight::Error::Missing { path: path.clone(), nearest: None };
        let mut form = self.0.get(path).ok_or_else(|| missing(path))?;
        // A tree has no cycles of owners, and a walk longer than the list would be one.
        for _ in 0..self.0.len() {
            let Some(owner) = form.owner() else { break };
            form = self.0.get(&owner.path).ok_or_else(|| missing(&owner.path))?;
        }
        Ok(form)
    }

    /// The values of a weight that lives in a space.
    pub(super) fn matrix(&self, space: &Space, path: &Path) -> Result<Matrix, Error> {
        let form = self.stored(path)?;
        let matrix = values(path, form)?;
        if space.writers.contains(path) || space.vectors.contains(path) {
            fits(path, form, space.width, matrix.rows())?;
        } else {
            let width = if space.readers.contains(path) { space.read_width() } else { space.width };
            fits(path, form, width, matrix.cols())?;
        }
        Ok(matrix)
    }
}

/// The change of one space, as writers, vectors and tables make it and as readers do.
pub(super) struct Turns {
    pub(super) written: Arc<Turn>,
    pub(super) read: Arc<Turn>,
}

/// The change of one space.
pub(super) fn of(space: &Space, selected: &Selected<'_>, evidence: &Evidence) -> Result<Turns, Error> {
    let at = space.members().next().cloned().unwrap_or_else(|| Path::new(&space.name));
    let matrix = |path: &Path| selected.matrix(space, path);
    let both = |turn: Turn| {
        let turn = Arc::new(turn);
        Turns { written: Arc::clone(&turn), read: turn }
    };
    match space.structure {
        Structure::Stream => {
            let moment = evidence.joint_moment(space.readers.iter())?;
            let energies: Vec<f64> = (0..moment.rows()).map(|k| moment.get(k, k)).collect();
            Ok(both(Turn::none(space.width).ordered(falling(&energies)).at(&at)?))
        }
        Structure::Hidden => {
            let mut energies = vec![0.0; space.width];
            for path in &space.writers {
                let written = row_energies(&matrix(path)?);
                let total: f64 = written.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                energies.iter_mut().zip(written).for_each(|(sum, one)| *sum += one / total);
            }
            Ok(both(Turn::none(space.width).ordered(falling(&energies)).at(&at)?))
        }
        Structure::Matched { heads } => {
            let mut sides = Vec::new();
            for path in &space.writers {
                sides.push(written(&matrix(path)?, evidence.moment(path)?));
            }
            let blocks = per_head(space, heads, &at, |from, width| match sides.as_slice() {
                [left, right] => matched_basis(&block(left, from, width), &block(right, from, width))
                    .map(|found| found.rotation),
                // A side alone has nothing to be matched with: its own directions serve.
                all => all.first().map_or_else(
                    || Ok(Matrix::identity(width)),
                    |one| eigenbasis(&block(one, from, width)).map(|found| found.rotation),
                ),
            })?;
            Ok(both(Turn::none(space.width).rotated(blocks).at(&at)?))
        }
        Structure::Carried { heads, group } => {
            let mut wrote = Matrix::zeros(space.width, space.width);
            for path in &space.writers {
                add(&mut wrote, &written(&matrix(path)?, evidence.moment(path)?));
            }
            let mut read = Matrix::zeros(space.read_width(), space.read_width());
            for path in &space.readers {
                let reader = matrix(path)?;
                add(&mut read, &reader.transpose().matmul(&reader));
            }
            let blocks = per_head(space, heads, &at, |from, width| {
                let mut reads = Matrix::zeros(width, width);
                for member in 0..group {
                    add(&mut reads, &block(&read, from * group + member * width, width));
                }
                carried_basis(&block(&wrote, from, width), &reads).map(|found| found.rotation)
            })?;
            let repeated = blocks.iter().flat_map(|one| std::iter::repeat_n(one.clone(), group)).collect();
            Ok(Turns {
                read: Arc::new(Turn::none(space.read_width()).rotated(repeated).at(&at)?),
                written: Arc::new(Turn::none(space.width).rotated(blocks).at(&at)?),
            })
        }
    }
}

/// One rotation per head, given the head's first coordinate and its width.
fn per_head(
    space: &Space,
    heads: usize,
    at: &Path,
    rotation: impl Fn(usize, usize) -> tenfold_linalg::Result<Matrix>,
) -> Result<Vec<Matrix>, Error> {
    let width = space.width / heads.max(1);
    (0..heads).map(|head| rotation(head * width, width)).collect::<Result<_, _>>().at(at)
}

/// W C W^T: the second moment of what a matrix writes, its bias aside.
fn written(w: &Matrix, c: &Matrix) -> Matrix {
    w.matmul(c).matmul(&w.transpose())
}

/// The square of `width` rows and columns from `from` on.
fn block(m: &Matrix, from: usize, width: usize) -> Matrix {
    Matrix::from_fn(width, width, |r, c| m.get(from + r, from + c))
}

fn add(sum: &mut Matrix, other: &Matrix) {
    sum.data_mut().iter_mut().zip(other.data()).for_each(|(sum, value)| *sum += value);
}
