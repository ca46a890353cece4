//! Method `basis`: other coordinates for the spaces between weights, with the function of the model as it is.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned};
use crate::option::{Kind, OptionInfo, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_linalg::basis::{Turn, carried_basis, eigenbasis, falling, matched_basis, row_energies};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Space, Structure, Wiring};

/// What the method is.
pub static INFO: Info = Info {
    name: "basis",
    summary: "changes the coordinates in which weights meet, so that a truncation after it keeps more; the model computes \
              what it computed",
    equation: "writers W -> T W, b -> T b; readers W -> W T^T; T a permutation by falling energy, or one rotation per \
               attention head from the singular vectors of output * value and of query and key together",
    when: "before an MPO is truncated: in the order in which indices happen to be stored, trained matrices look like noise to it",
    when_not: "before low rank, which finds the same factors in every basis",
    trains: "all leaves",
    sources: &[
        "Ashkboos et al. 2024, SliceGPT: Compress Large Language Models by Deleting Rows and Columns, section 3",
        "Ainsworth et al. 2023, Git Re-Basin: Merging Models modulo Permutation Symmetries, section 2",
    ],
    options: &[
        OptionInfo {
            name: "residual",
            kind: Kind::Choice(&["on", "off"]),
            default: "on",
            doc: "order the residual stream by energy; a stream that is the model's own output keeps its order",
        },
        OptionInfo {
            name: "heads",
            kind: Kind::Choice(&["on", "off"]),
            default: "on",
            doc: "rotate inside attention heads: value with output, query with key; heads keep their places",
        },
        OptionInfo {
            name: "hidden",
            kind: Kind::Choice(&["on", "off"]),
            default: "on",
            doc: "order hidden units by the norm of the rows that write them",
        },
    ],
};

/// A change of basis of all spaces that the selected weights make up.
#[derive(Clone, Debug)]
pub struct Basis {
    residual: bool,
    heads: bool,
    hidden: bool,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let on = |name| options.word(name) != Some("off");
    Ok(Arc::new(Basis { residual: on("residual"), heads: on("heads"), hidden: on("hidden") }))
}

impl Basis {
    /// Whether this space is to change.
    fn wants(&self, space: &Space) -> bool {
        let free = !space.exposed;
        match space.structure {
            Structure::Stream => self.residual && free,
            Structure::Hidden => self.hidden && free,
            Structure::Matched { .. } | Structure::Carried { .. } => self.heads && free,
        }
    }

    /// The spaces to change, all of whose weights are selected; spaces none of whose weights is are left alone.
    fn spaces<'w>(&self, selected: &BTreeSet<&Path>, wiring: &'w Wiring) -> Result<Vec<&'w Space>, Error> {
        let mut found = Vec::new();
        for space in wiring.spaces.iter().filter(|space| self.wants(space)) {
            let Some(known) = space.members().find(|path| selected.contains(path)) else { continue };
            if let Some(other) = space.members().find(|path| !selected.contains(path)) {
                let (path, selected, space) = (other.clone(), known.clone(), space.name.clone());
                return Err(Error::CoMoving { path, selected, space });
            }
            found.push(space);
        }
        Ok(found)
    }
}

impl Method for Basis {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.residual || self.heads
    }

    fn moves_basis(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, form))
    }

    fn plan_together(&self, weights: &[(Path, &Form)], wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        let selected = weights.iter().map(|(path, _)| path).collect();
        let moving: BTreeSet<&Path> =
            self.spaces(&selected, wiring)?.into_iter().flat_map(Space::members).collect();
        for (path, form) in weights.iter().filter(|(path, _)| moving.contains(path)) {
            values(path, form)?;
        }
        weights.iter().map(|(path, form)| self.plan(path, form)).collect()
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let wiring = evidence.wiring();
        if wiring.spaces.is_empty() {
            return Err(Error::NoWiring);
        }
        let forms: BTreeMap<&Path, &Form> = weights.iter().map(|(path, form)| (path, *form)).collect();
        let mut moved: BTreeMap<&Path, Moved> = BTreeMap::new();
        for space in self.spaces(&forms.keys().copied().collect(), wiring)? {
            let turn = Arc::new(turn(space, &forms, evidence)?);
            for path in space.writers.iter().chain(&space.vectors) {
                moved.entry(path).or_default().rows = Some(Arc::clone(&turn));
            }
            for path in space.readers.iter().chain(&space.tables) {
                moved.entry(path).or_default().columns = Some(Arc::clone(&turn));
            }
        }
        let of = |(path, _): &(Path, &Form)| -> Arc<dyn Method> {
            Arc::new(moved.get(path).cloned().unwrap_or_default())
        };
        Ok(Some(weights.iter().map(of).collect()))
    }

    /// Changes the spaces that consist of this weight alone.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([method]) => method.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }
}

/// One weight's part in the changes.
#[derive(Clone, Debug, Default)]
struct Moved {
    /// Of the space that it writes, or lives in as a vector.
    rows: Option<Arc<Turn>>,
    /// Of the space that it reads, or whose vectors its rows are.
    columns: Option<Arc<Turn>>,
}

impl Method for Moved {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn moves_basis(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, form))
    }

    fn rewrite(&self, path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        if self.rows.is_none() && self.columns.is_none() {
            return Ok(form.clone());
        }
        let mut matrix = values(path, form)?;
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

/// The change of one space.
fn turn(space: &Space, forms: &BTreeMap<&Path, &Form>, evidence: &Evidence) -> Result<Turn, Error> {
    let at = space.members().next().cloned().unwrap_or_else(|| Path::new(&space.name));
    let matrix = |path: &Path| match forms.get(path) {
        Some(form) => {
            let matrix = values(path, form)?;
            let writes = space.writers.contains(path);
            fits(path, form, space.width, if writes { matrix.rows() } else { matrix.cols() })?;
            Ok(matrix)
        }
        None => Err(Error::CoMoving { path: path.clone(), selected: at.clone(), space: space.name.clone() }),
    };
    match space.structure {
        Structure::Stream => {
            let moment = evidence.joint_moment(space.readers.iter())?;
            let energies: Vec<f64> = (0..moment.rows()).map(|k| moment.get(k, k)).collect();
            Turn::none(space.width).ordered(falling(&energies)).at(&at)
        }
        Structure::Hidden => {
            let mut energies = vec![0.0; space.width];
            for path in &space.writers {
                let written = row_energies(&matrix(path)?);
                let total: f64 = written.iter().sum::<f64>().max(f64::MIN_POSITIVE);
                energies.iter_mut().zip(written).for_each(|(sum, one)| *sum += one / total);
            }
            Turn::none(space.width).ordered(falling(&energies)).at(&at)
        }
        Structure::Matched { heads } => {
            let mut sides = Vec::new();
            for path in &space.writers {
                sides.push(written(&matrix(path)?, evidence.moment(path)?));
            }
            rotated(space, heads, &at, |from, width| match sides.as_slice() {
                [left, right] => matched_basis(&block(left, from, width), &block(right, from, width))
                    .map(|found| found.rotation),
                // A side alone has nothing to be matched with: its own directions serve.
                all => all.first().map_or_else(
                    || Ok(Matrix::identity(width)),
                    |one| eigenbasis(&block(one, from, width)).map(|found| found.rotation),
                ),
            })
        }
        Structure::Carried { heads } => {
            let (mut wrote, mut read) =
                (Matrix::zeros(space.width, space.width), Matrix::zeros(space.width, space.width));
            for path in &space.writers {
                add(&mut wrote, &written(&matrix(path)?, evidence.moment(path)?));
            }
            for path in &space.readers {
                let reader = matrix(path)?;
                add(&mut read, &reader.transpose().matmul(&reader));
            }
            rotated(space, heads, &at, |from, width| {
                carried_basis(&block(&wrote, from, width), &block(&read, from, width))
                    .map(|found| found.rotation)
            })
        }
    }
}

/// One rotation per head.
fn rotated(
    space: &Space,
    heads: usize,
    at: &Path,
    rotation: impl Fn(usize, usize) -> tenfold_linalg::Result<Matrix>,
) -> Result<Turn, Error> {
    let width = space.width / heads.max(1);
    let blocks =
        (0..heads).map(|head| rotation(head * width, width)).collect::<Result<Vec<_>, _>>().at(at)?;
    Turn::none(space.width).rotated(blocks).at(at)
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

/// The values of a dense weight; a vector as one column.
fn values(path: &Path, form: &Form) -> Result<Matrix, Error> {
    let Some(values) = form.as_array() else {
        return Err(Error::NotDense { path: path.clone(), got: form.describe() });
    };
    match values.shape() {
        &[rows, cols] => Matrix::from_f32(values.data(), rows, cols).at(path),
        &[rows] => Matrix::from_f32(values.data(), rows, 1).at(path),
        got => Err(Error::NotAMatrix { path: path.clone(), got: got.to_vec() }),
    }
}

/// Fails on a weight that the wiring describes wrongly.
fn fits(path: &Path, form: &Form, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got {
        return Ok(());
    }
    let expected = format!("a side of {expected}, as its wiring says");
    Err(tenfold_weight::Error::Shape { path: path.clone(), expected, got: form.shape() }.into())
}
