//! What becomes of single weights when spaces change.

use super::turns::Selected;
use super::{fits, values};
use crate::error::Error;
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_linalg::basis::Turn;
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path};

/// One weight's part in the changes, applied in the order of the fields.
#[derive(Clone, Debug, Default)]
pub(super) struct Change {
    /// The form to start from in place of the weight's own.
    pub(super) from: Option<Form>,
    /// One factor per column: the gains of the norm that it reads through.
    pub(super) gains: Option<Arc<[f64]>>,
    /// Of the space that it writes, or lives in as a vector.
    pub(super) rows: Option<Arc<Turn>>,
    /// Of the space that it reads, or whose vectors its rows are.
    pub(super) columns: Option<Arc<Turn>>,
}

impl Change {
    fn is_none(&self) -> bool {
        self.gains.is_none() && self.rows.is_none() && self.columns.is_none()
    }

    /// Whether both change a matrix in the same way.
    fn same(&self, other: &Self) -> bool {
        fn one<T: ?Sized>(left: Option<&Arc<T>>, right: Option<&Arc<T>>) -> bool {
            match (left, right) {
                (Some(left), Some(right)) => Arc::ptr_eq(left, right),
                (left, right) => left.is_none() && right.is_none(),
            }
        }
        one(self.gains.as_ref(), other.gains.as_ref())
            && one(self.rows.as_ref(), other.rows.as_ref())
            && one(self.columns.as_ref(), other.columns.as_ref())
    }

    /// The weight after the change.
    pub(super) fn apply(&self, path: &Path, form: &Form) -> Result<Form, Error> {
        let form = self.from.as_ref().unwrap_or(form);
        if self.is_none() {
            return Ok(form.clone());
        }
        let mut matrix = values(path, form)?;
        if let Some(gains) = &self.gains {
            fits(path, form, gains.len(), matrix.cols())?;
            matrix = Matrix::from_fn(matrix.rows(), matrix.cols(), |r, c| matrix.get(r, c) * gains[c]);
        }
        if let Some(turn) = &self.rows {
            fits(path, form, turn.width(), matrix.rows())?;
            matrix = turn.rows(&matrix);
        }
        if let Some(turn) = &self.columns {
            fits(path, form, turn.width(), matrix.cols())?;
            matrix = turn.columns(&matrix);
        }
        Ok(Form::dense(Array::from_vec(matrix.to_f32(), &form.shape())))
    }
}

/// The changes of all weights, as they are being made out.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<Path, Change>);

impl Changes {
    pub(super) fn of(&mut self, path: &Path) -> &mut Change {
        self.0.entry(path.clone()).or_default()
    }

    /// The change of one weight. What is stored elsewhere stays so where both places change alike, and gets values of its
    /// own where they do not.
    pub(super) fn finish(&self, path: &Path, form: &Form, selected: &Selected<'_>) -> Result<Change, Error> {
        let change = self.0.get(path).cloned().unwrap_or_default();
        let Some(owner) = form.owner() else { return Ok(change) };
        let none = Change::default();
        let owner = self.0.get(&owner.path).unwrap_or(&none);
        Ok(if owner.same(&change) {
            none
        } else {
            Change { from: Some(selected.stored(path)?.clone()), ..change }
        })
    }
}
