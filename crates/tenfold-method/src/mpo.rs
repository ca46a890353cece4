//! Method `mpo`: the matrix product operator of a weight, as published.

use crate::error::{At, Error};
use crate::evidence::Evidence;
use crate::method::{Info, Method, Planned, matrix_shape};
use crate::option::{Kind, OptionInfo, Options};
use crate::size::{Size, dense_matrix, size_options};
use crate::squeeze::form_of;
use std::sync::Arc;
use tenfold_linalg::{Bonds, Gauge, MpoShape, decompose};
use tenfold_weight::{Form, Path, Role};

/// What the method is.
pub static INFO: Info = Info {
    name: "mpo",
    summary: "splits a matrix into a chain of small cores: one large central core and small auxiliary ones",
    equation: "W[i1..in, j1..jn] = T1[i1,j1] T2[i2,j2] ... Tn[in,jn], Tk of shape d(k-1) x ik x jk x dk, \
               dk = min(prod_{m<=k} im jm, prod_{m>k} im jm) or the cap",
    when: "light fine-tuning (train the auxiliary cores, about a tenth of the parameters), sharing one central \
           core over layers or experts",
    when_not: "truncation of trained weights in their stored basis: low rank in the metric of the inputs keeps more \
               at equal size",
    trains: "all cores",
    sources: &[
        "Liu et al. 2021, Enabling Lightweight Fine-tuning for Pre-trained Language Model Compression based on \
         Matrix Product Operators, section 3",
        "Oseledets 2011, Tensor-Train Decomposition, algorithm 1",
    ],
    options: &[
        OptionInfo {
            name: "cores",
            kind: Kind::Integer(2, 15),
            default: "5",
            doc: "number of cores n (the papers use 5)",
        },
        OptionInfo {
            name: "rows",
            kind: Kind::Factors,
            default: "automatic",
            doc: "row factors i1..in; their product may exceed the rows, the rest is padding",
        },
        OptionInfo { name: "cols", kind: Kind::Factors, default: "automatic", doc: "column factors j1..jn" },
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
    ],
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
}

/// Builds the method from a step's options.
///
/// # Errors
/// Faulty options.
pub fn build(options: &Options) -> Result<Arc<dyn Method>, Error> {
    options.check(&INFO)?;
    let gauge = if options.word("gauge") == Some("symmetric") { Gauge::Symmetric } else { Gauge::Sequential };
    let (cores, factors) = factor_options(options, &INFO)?;
    Ok(Arc::new(Mpo { cores, factors, size: size_options(options, &INFO, "bond-max")?, gauge }))
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
    /// An MPO at full rank with the factors that the options of a method ask for.
    pub(crate) fn full_rank(options: &Options, info: &Info) -> Result<Self, Error> {
        let (cores, factors) = factor_options(options, info)?;
        Ok(Self { cores, factors, size: Size::Full, gauge: Gauge::Symmetric })
    }

    /// An MPO of `cores` cores with automatic factors whose bonds are capped.
    pub fn capped(cores: usize, cap: usize) -> Self {
        Self { cores, factors: None, size: Size::Limit(cap), gauge: Gauge::Sequential }
    }

    /// The factor lists for a weight.
    pub(crate) fn shape(&self, path: &Path, rows: usize, cols: usize) -> Result<MpoShape, Error> {
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

    fn bonds(&self, shape: &MpoShape, rows: usize, cols: usize) -> Vec<usize> {
        match self.size {
            Size::Full => shape.full_bonds(),
            Size::Limit(cap) => shape.capped(cap),
            Size::Share(share) => {
                let budget = (share * (rows * cols) as f64) as usize;
                shape.capped(shape.cap_for(budget).unwrap_or(1))
            }
        }
    }
}

impl Method for Mpo {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn plan(&self, path: &Path, form: &Form) -> Result<Planned, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let shape = self.shape(path, rows, cols)?;
        let bonds = self.bonds(&shape, rows, cols);
        let inner: Vec<String> = bonds[1..bonds.len() - 1].iter().map(usize::to_string).collect();
        let form = format!("mpo {} cores, bonds {}", shape.cores(), inner.join("-"));
        let central = shape.core_shapes(&bonds)[shape.central()].iter().product();
        let roles = vec![(Role::Central, central), (Role::Auxiliary, shape.parameters(&bonds) - central)];
        Ok(Planned::certain(form, roles))
    }

    fn rewrite(&self, path: &Path, form: &Form, _evidence: &Evidence) -> Result<Form, Error> {
        let (rows, cols) = matrix_shape(path, form)?;
        let matrix = dense_matrix(path, form)?;
        let shape = self.shape(path, rows, cols)?;
        let bonds = self.bonds(&shape, rows, cols);
        let mpo = decompose(&matrix, &shape, &Bonds::Each(bonds), self.gauge).at(path)?;
        form_of(&mpo)
    }
}
