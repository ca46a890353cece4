//! Method `mpo`: the matrix product operator of a weight, as published unless its options say otherwise.

mod placed;

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::size::{Size, size_options};
use placed::{Placed, Rotation};
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_linalg::basis::eigenbasis;
use tenfold_linalg::{Gauge, MpoShape};
use tenfold_weight::{Address, Form, Path, Role, Structure, Wiring};

/// What the method is.
pub static INFO: Info = Info {
    name: "mpo",
    summary: "splits a matrix into a chain of small cores: one large central core and small auxiliary ones",
    equation: "W[i1..in, j1..jn] = T1[i1,j1] T2[i2,j2] ... Tn[in,jn], Tk of shape d(k-1) x ik x jk x dk, \
               dk = min(prod_{m<=k} im jm, prod_{m>k} im jm) or the cap; metric inputs: W D instead of W, D^2 the \
               diagonal of the inputs' second moment C, and D^-1 kept beside it; basis free: W Q^T instead of W, \
               C = Q^T diag(l) Q over all readers of the residual stream, Q kept once",
    when: "light fine-tuning (train the auxiliary cores, about a tenth of the parameters), sharing one central \
           core over layers or experts",
    when_not: "truncation of trained weights in their stored basis; in a free basis, with the metric of the inputs and \
               refinement it comes closer, but low rank in that metric mostly keeps more at equal size still",
    trains: "all cores",
    sources: &[
        "Liu et al. 2021, Enabling Lightweight Fine-tuning for Pre-trained Language Model Compression based on \
         Matrix Product Operators, section 3",
        "Holtz, Rohwedder and Schneider 2012, The alternating linear scheme for tensor optimization in the tensor train \
         format (refine)",
        "Ashkboos et al. 2024, SliceGPT: Compress Large Language Models by Deleting Rows and Columns (basis)",
        "Oseledets 2011, Tensor-Train Decomposition, algorithm 1",
    ],
    options: &[
        OptionInfo {
            name: "cores",
            kind: Kind::Integer(2, 15),
            default: "5",
            doc: "number of cores n (the papers use 5)",
        },
        ROWS,
        COLS,
        OptionInfo {
            name: "bond-max",
            kind: Kind::Integer(1, i64::MAX),
            default: "full rank",
            doc: "one cap on every bond",
        },
        OptionInfo {
            name: "share",
            kind: Kind::Share,
            default: "full rank",
            doc: "the largest cap whose cores hold at most this share of the matrix's parameters",
        },
        OptionInfo {
            name: "gauge",
            kind: Kind::Choice(&["sequential", "symmetric"]),
            default: "sequential",
            doc: "sequential truncates step by step (TT-SVD); symmetric decomposes at full rank and slices, as the papers' code does",
        },
        OptionInfo {
            name: "metric",
            kind: Kind::Choice(&["weights", "inputs"]),
            default: "weights",
            doc: "what the error is measured in; inputs keeps one factor per column and needs calibration text",
        },
        OptionInfo {
            name: "basis",
            kind: Kind::Choice(&["stored", "free"]),
            default: "stored",
            doc: "free rotates the residual stream into its eigenbasis for all selected readers; the rotation is stored once, \
                  at the first of them, beyond the share of each",
        },
        OptionInfo {
            name: "refine",
            kind: Kind::Integer(0, 100),
            default: "0",
            doc: "passes of alternating least squares over the cores, in the metric",
        },
    ],
};

/// Row factors, of every method that makes operators.
pub(crate) const ROWS: OptionInfo = OptionInfo {
    name: "rows",
    kind: Kind::Factors,
    default: "automatic",
    doc: "row factors i1..in; their product may exceed the rows, the rest is padding",
};

/// Column factors, with them.
pub(crate) const COLS: OptionInfo =
    OptionInfo { name: "cols", kind: Kind::Factors, default: "automatic", doc: "column factors j1..jn" };

/// The number of cores of methods that share the one in the middle.
pub(crate) const CENTERED: OptionInfo = OptionInfo {
    name: "cores",
    kind: Kind::Integer(3, 15),
    default: "5",
    doc: "number of cores n, odd (the paper uses 5)",
};

/// The cap of their bonds.
pub(crate) const BOND_MAX: OptionInfo = OptionInfo {
    name: "bond-max",
    kind: Kind::Integer(1, i64::MAX),
    default: "full rank",
    doc: "one cap on every bond; the paper cuts nothing",
};

/// Row and column factors.
type Factors = (Vec<usize>, Vec<usize>);

/// The MPO of a weight with given or automatic factors.
#[derive(Clone, Debug)]
pub struct Mpo {
    cores: usize,
    factors: Option<Factors>,
    size: Size,
    gauge: Gauge,
    /// Whether errors are measured in the outputs.
    inputs: bool,
    /// Whether readers of a stream share its eigenbasis.
    free: bool,
    /// Passes of refinement.
    sweeps: usize,
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let gauge = if options.word("gauge") == Some("symmetric") { Gauge::Symmetric } else { Gauge::Sequential };
    let (cores, factors) = factor_options(options, &INFO)?;
    Ok(Arc::new(Mpo {
        cores,
        factors,
        size: size_options(options, &INFO, "bond-max")?,
        gauge,
        inputs: options.word("metric") == Some("inputs"),
        free: options.word("basis") == Some("free"),
        sweeps: options.count("refine").unwrap_or(0),
    }))
}

/// Row and column factors where both are given, and the number of cores.
fn factor_options(options: &Options, info: &Info) -> Result<(usize, Option<Factors>), Error> {
    let factors = match (options.counts("rows"), options.counts("cols")) {
        (Some(rows), Some(cols)) if rows.len() == cols.len() => Some((rows, cols)),
        (None, None) => None,
        (rows, cols) => {
            let expected = "rows and cols together, of one length".to_owned();
            let got = format!("{rows:?} and {cols:?}");
            return Err(Error::OptionValue { method: info.name, option: "rows", expected, got });
        }
    };
    let cores = factors.as_ref().map_or_else(|| options.count("cores").unwrap_or(5), |(rows, _)| rows.len());
    Ok((cores, factors))
}

impl Mpo {
    /// An MPO in the symmetric gauge with the factors that the options of a method ask for; at full rank unless the method has
    /// an option `bond-max` that says otherwise.
    pub(crate) fn symmetric(options: &Options, info: &Info) -> Result<Self, Error> {
        let (cores, factors) = factor_options(options, info)?;
        let (size, gauge) = (size_options(options, info, "bond-max")?, Gauge::Symmetric);
        Ok(Self { cores, factors, size, gauge, inputs: false, free: false, sweeps: 0 })
    }

    /// The same with a core in the middle.
    ///
    /// # Errors
    /// [`Error::OptionValue`] for an even number of cores.
    pub(crate) fn with_center(options: &Options, info: &Info) -> Result<Self, Error> {
        let operator = Self::symmetric(options, info)?;
        if operator.cores.is_multiple_of(2) {
            return Err(Error::OptionValue {
                method: info.name,
                option: "cores",
                expected: "an odd number, so that there is a core in the middle".to_owned(),
                got: operator.cores.to_string(),
            });
        }
        Ok(operator)
    }

    /// n.
    pub(crate) fn cores(&self) -> usize {
        self.cores
    }

    /// An MPO at full rank with these factor lists.
    pub(crate) fn of_shape(shape: &MpoShape) -> Self {
        let factors = Some((shape.row_factors().to_vec(), shape.col_factors().to_vec()));
        let (cores, size, gauge) = (shape.cores(), Size::Full, Gauge::Symmetric);
        Self { cores, factors, size, gauge, inputs: false, free: false, sweeps: 0 }
    }

    /// The published MPO of `cores` cores with automatic factors that holds at most a share of the matrix's numbers.
    pub fn of_share(cores: usize, share: f64) -> Self {
        let (size, gauge) = (Size::Share(share), Gauge::Sequential);
        Self { cores, factors: None, size, gauge, inputs: false, free: false, sweeps: 0 }
    }

    /// The same in the metric of the inputs, refined by `sweeps` passes of least squares.
    pub fn refined(cores: usize, share: f64, sweeps: usize) -> Self {
        Self { inputs: true, sweeps, ..Self::of_share(cores, share) }
    }

    /// The factor lists for a weight.
    fn shape(&self, path: &Path, rows: usize, cols: usize) -> Result<MpoShape, Error> {
        let Some((row_factors, col_factors)) = &self.factors else {
            return Ok(MpoShape::automatic(rows, cols, self.cores));
        };
        let shape = MpoShape::new(row_factors.clone(), col_factors.clone()).at(path)?;
        let (padded_rows, padded_cols) = (shape.padded_rows(), shape.padded_cols());
        if padded_rows < rows || padded_cols < cols {
            return Err(Error::Factors { path: path.clone(), rows, cols, padded_rows, padded_cols });
        }
        Ok(shape)
    }

    /// The bonds for a weight beside which `spent` numbers are stored already.
    fn bonds(&self, shape: &MpoShape, rows: usize, cols: usize, spent: usize) -> Vec<usize> {
        match self.size {
            Size::Full => shape.full_bonds(),
            Size::Limit(cap) => shape.capped(cap),
            Size::Share(share) => {
                let budget = ((share * (rows * cols) as f64) as usize).saturating_sub(spent);
                shape.capped(shape.cap_for(budget).unwrap_or(1))
            }
        }
    }

    /// What becomes of each weight: whether its columns are scaled, and which rotation of its inputs it has.
    fn place<'p>(&self, paths: &[&'p Path], wiring: &Wiring) -> Vec<Placement<'p>> {
        let mut owners: BTreeMap<usize, &Path> = BTreeMap::new();
        let mut of = |path: &'p Path| {
            let table = wiring.spaces.iter().any(|space| space.tables.contains(path));
            let stream = |(at, space): (usize, &tenfold_weight::Space)| {
                let reads = space.structure == Structure::Stream && space.readers.contains(path);
                reads.then_some(at)
            };
            let space = wiring.spaces.iter().enumerate().find_map(stream).filter(|_| self.free);
            let owner = space.map(|space| *owners.entry(space).or_insert(path));
            Placement { scaled: self.inputs && !table, space, owner }
        };
        paths.iter().map(|path| of(path)).collect()
    }

    fn planned(&self, path: &Path, form: &Form, placement: &Placement<'_>) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let shape = self.shape(path, rows, cols)?;
        let scales = if placement.scaled { cols } else { 0 };
        let bonds = self.bonds(&shape, rows, cols, scales);
        let inner: Vec<String> = bonds[1..bonds.len() - 1].iter().map(usize::to_string).collect();
        let mut form = format!("mpo {} cores, bonds {}", shape.cores(), inner.join("-"));
        let central = shape.core_shapes(&bonds)[shape.central()].iter().product();
        let mut roles = vec![(Role::Central, central), (Role::Auxiliary, shape.parameters(&bonds) - central)];
        if placement.scaled {
            roles.push((Role::Scale, scales));
            form = format!("scaled {form}");
        }
        if let Some(owner) = placement.owner {
            let shared = owner != path;
            if !shared {
                roles.push((Role::Down, cols * cols));
            }
            let down =
                if shared { format!("; down shared with {}", rotation_of(owner)) } else { String::new() };
            form = format!("low rank {cols} (up {form}{down})");
        }
        Ok(Planned::certain(form, roles))
    }
}

/// What surrounds the operator of one weight.
struct Placement<'p> {
    /// Whether one factor per column is stored.
    scaled: bool,
    /// Index of the stream whose basis it takes.
    space: Option<usize>,
    /// The weight that stores the rotation.
    owner: Option<&'p Path>,
}

/// Where a weight keeps the rotation of its inputs.
fn rotation_of(owner: &Path) -> Address {
    Address::root(owner.clone()).part("down")
}

impl Method for Mpo {
    fn info(&self) -> &'static Info {
        &INFO
    }

    /// The stream that all layers read is turned once for all of them.
    fn spans_layers(&self) -> bool {
        self.free
    }

    fn needs_inputs(&self) -> bool {
        self.inputs || self.free
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let placement = Placement { scaled: self.inputs, space: None, owner: None };
        let planned = self.planned(path, form, &placement)?;
        // Whether it is a table, and reads a stream, only a wiring says.
        Ok(Planned { exact: planned.exact && !self.needs_inputs(), ..planned })
    }

    fn plan_together(&self, weights: &[(Path, &Form)], wiring: &Wiring) -> Result<Vec<Planned>, Error> {
        if wiring.spaces.is_empty() {
            return weights.iter().map(|(path, form)| self.plan(path, form)).collect();
        }
        let placements = self.place(&weights.iter().map(|(path, _)| path).collect::<Vec<_>>(), wiring);
        weights
            .iter()
            .zip(&placements)
            .map(|((path, form), placement)| self.planned(path, form, placement))
            .collect()
    }

    fn settle(
        &self,
        weights: &[(Path, &Form)],
        evidence: &Evidence,
    ) -> Result<Option<Vec<Arc<dyn Method>>>, Error> {
        let paths: Vec<&Path> = weights.iter().map(|(path, _)| path).collect();
        let placements = self.place(&paths, evidence.wiring());
        let mut rotations = BTreeMap::new();
        for (at, placement) in placements.iter().enumerate() {
            let (Some(space), Some(_)) = (placement.space, placement.owner) else { continue };
            if rotations.contains_key(&space) {
                continue;
            }
            let readers = paths.iter().zip(&placements).filter(|(_, other)| other.space == Some(space));
            let moment = evidence.joint_moment(readers.map(|(path, _)| *path))?;
            rotations.insert(space, Arc::new(eigenbasis(&moment).at(paths[at])?.rotation));
        }
        let of = |placement: &Placement<'_>| -> Arc<dyn Method> {
            let rotation = placement.space.and_then(|space| rotations.get(&space)).zip(placement.owner);
            Arc::new(Placed {
                mpo: self.clone(),
                scaled: placement.scaled,
                rotation: rotation.map(|(q, owner)| Rotation { q: Arc::clone(q), owner: owner.clone() }),
            })
        };
        Ok(Some(placements.iter().map(of).collect()))
    }

    /// Rewrites a single weight as if it were the only one.
    fn rewrite(&self, path: &Path, form: &Form, evidence: &Evidence) -> Result<Form, Error> {
        match self.settle(&[(path.clone(), form)], evidence)?.as_deref() {
            Some([method]) => method.rewrite(path, form, evidence),
            _ => Ok(form.clone()),
        }
    }
}
