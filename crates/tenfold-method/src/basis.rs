//! Method `basis`: other coordinates for the spaces between weights, with the function of the model as it is.

mod change;
mod norm;
mod turns;

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned};
use crate::option::{Kind, OptionInfo, Options};
use change::{Change, Changes};
use std::collections::BTreeSet;
use std::sync::Arc;
use tenfold_linalg::Matrix;
use tenfold_weight::{Form, Path, Space, Structure, Wiring};
use turns::Selected;

/// What the method is.
pub static INFO: Info = Info {
    name: "basis",
    summary: "changes the coordinates in which weights meet, so that a truncation after it keeps more; the model computes \
              what it computed",
    equation: "writers W -> T W, b -> T b; readers W -> W T^T; T a permutation by falling energy, one rotation per attention \
               head from the singular vectors of output * value and of query and key together, or a rotation of the whole \
               stream once the gains g of norms are in their readers, W -> W diag(g) T^T",
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
            kind: Kind::Choice(&["order", "rotate", "off"]),
            default: "order",
            doc: "order the residual stream by energy, or rotate it to its principal axes, which takes an architecture that norms \
                  before it reads and stores a tied output matrix on its own; a stream that is the model's own output stays",
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
    residual: Residual,
    heads: bool,
    hidden: bool,
}

/// What becomes of residual streams.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Residual {
    Order,
    Rotate,
    Off,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let on = |name| options.word(name) != Some("off");
    let residual = match options.word("residual") {
        Some("off") => Residual::Off,
        Some("rotate") => Residual::Rotate,
        _ => Residual::Order,
    };
    Ok(Arc::new(Basis { residual, heads: on("heads"), hidden: on("hidden") }))
}

impl Basis {
    /// Whether this space is to change.
    fn wants(&self, space: &Space) -> bool {
        let free = !space.exposed;
        match space.structure {
            Structure::Stream => self.residual != Residual::Off && free,
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
            if self.rotates(space) && space.norms.is_empty() {
                return Err(Error::NoRotation { space: space.name.clone() });
            }
            found.push(space);
        }
        Ok(found)
    }

    fn rotates(&self, space: &Space) -> bool {
        self.residual == Residual::Rotate && space.structure == Structure::Stream
    }
}

impl Method for Basis {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn needs_inputs(&self) -> bool {
        self.residual != Residual::Off || self.heads
    }

    fn moves_basis(&self) -> bool {
        true
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        Ok(Planned::kept(path, form))
    }

    fn plan_together(&self, weights: &[(Path, &Form)], wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        let selected = Selected::of(weights);
        let spaces = self.spaces(&selected.paths(), wiring)?;
        let moving: BTreeSet<&Path> = spaces.iter().copied().flat_map(Space::members).collect();
        for path in &moving {
            values(path, selected.stored(path)?)?;
        }
        let rotated: BTreeSet<&Path> =
            spaces.iter().filter(|space| self.rotates(space)).flat_map(|space| space.members()).collect();
        // What is tied to a table cannot follow it through a rotation, since a norm's gain comes between.
        let of = |(path, form): &(Path, &Form)| match form {
            form if form.owner().is_some() && rotated.contains(path) => {
                self.plan(path, selected.stored(path)?)
            }
            form => self.plan(path, form),
        };
        weights.iter().map(of).collect()
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
        let selected = Selected::of(weights);
        let mut changes = Changes::default();
        for space in self.spaces(&selected.paths(), wiring)? {
            if self.rotates(space) {
                norm::rotate(space, &selected, evidence, &mut changes)?;
                continue;
            }
            let turns = turns::of(space, &selected, evidence)?;
            for path in space.writers.iter().chain(&space.vectors) {
                changes.of(path).rows = Some(Arc::clone(&turns.written));
            }
            for path in &space.readers {
                changes.of(path).columns = Some(Arc::clone(&turns.read));
            }
            for path in &space.tables {
                changes.of(path).columns = Some(Arc::clone(&turns.written));
            }
        }
        let of = |(path, form): &(Path, &Form)| -> Result<Arc<dyn Method>, Error> {
            Ok(Arc::new(changes.finish(path, form, &selected)?))
        };
        weights.iter().map(of).collect::<Result<_, _>>().map(Some)
    }

    /// Changes the spaces that consist of this weight alone.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([method]) => method.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }
}

impl Method for Change {
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
        self.apply(path, form)
    }
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
