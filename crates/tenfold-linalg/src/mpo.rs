//! A matrix as a chain of cores: decomposition, what truncation costs, and the way back.

mod allocate;
mod around;
mod basis;
mod canonical;
mod chain;
mod interleave;
mod refine;
mod sequential;
mod symmetric;

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::shape::{Bonds, MpoShape};
use crate::spectrum;

pub use around::moment_around;
use basis::Side;
pub use refine::{RefineOptions, Refined, refine};

/// How truncation proceeds, and with it how the scale of the matrix is spread over the cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gauge {
    /// TT-SVD from the left, truncating at every step what the steps before left over. All cores but the last
    /// have orthonormal columns. A little more accurate at equal bonds (by 2 % on average).
    Sequential,
    /// Each bond carries the square root of its singular values on either side; truncation slices. Lowering a
    /// bond further needs no new decomposition ([`Mpo::sliced`]), and all cores have comparable scale.
    Symmetric,
}

/// One core, values in order (left, row, col, right).
#[derive(Clone, Debug, PartialEq)]
pub struct Core {
    /// Left bond.
    pub left: usize,
    /// Row factor.
    pub row: usize,
    /// Column factor.
    pub col: usize,
    /// Right bond.
    pub right: usize,
    /// `left * row * col * right` values, the right bond fastest.
    pub data: Vec<f64>,
}

impl Core {
    /// `[left, row, col, right]`.
    pub fn shape(&self) -> [usize; 4] {
        [self.left, self.row, self.col, self.right]
    }
}

/// A matrix product operator: the contraction of its cores, de-interleaved and cut to `rows x cols`, is the
/// matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Mpo {
    /// Factor lists.
    pub shape: MpoShape,
    /// Rows of the matrix, without padding.
    pub rows: usize,
    /// Columns of the matrix, without padding.
    pub cols: usize,
    /// n + 1 bonds, 1 at both ends.
    pub bonds: Vec<usize>,
    /// n cores.
    pub cores: Vec<Core>,
    /// Singular values, falling, of the n - 1 unfoldings of the matrix that was decomposed, before any
    /// truncation.
    pub spectra: Vec<Vec<f64>>,
    /// Frobenius norm cut away at each bond by [`Gauge::Sequential`]; the steps are orthogonal, so the root
    /// of the sum of their squares is the exact error. Empty in other gauges.
    pub steps: Vec<f64>,
}

/// Decomposes a matrix.
///
/// With [`Bonds::Full`] the result is exact to rounding, also for rank-deficient, zero and padded matrices:
/// bonds always have the size that [`Bonds::resolve`] predicts, and directions without weight are carried
/// with a floored scale ([`Gauge::Symmetric`] never divides by a small singular value).
///
/// # Accuracy
/// f64 throughout; spectra to 1e-10 of the largest value, reconstruction to 1e-13 of the norm.
///
/// # Errors
/// [`Error::EmptyMatrix`], [`Error::NonFinite`], [`Error::ShapeTooSmall`], the errors of [`Bonds::resolve`],
/// and [`Error::NoConvergence`] (entries beyond about 1e150 end there).
///
/// # Source
/// MPOP (ACL 2021) algorithm 1, with the index interleaving and the gauge of its released code.
pub fn decompose(w: &Matrix, shape: &MpoShape, bonds: &Bonds, gauge: Gauge) -> Result<Mpo> {
    let x = tensor(w, shape)?;
    let bonds = bonds.resolve(shape)?;
    let parts = match gauge {
        Gauge::Symmetric => symmetric::decompose(x, shape, &bonds)?,
        Gauge::Sequential => sequential::decompose(x, shape, &bonds)?,
    };
    let cores = assemble(shape, &bonds, parts.cores);
    Ok(Mpo {
        shape: shape.clone(),
        rows: w.rows(),
        cols: w.cols(),
        bonds,
        cores,
        spectra: parts.spectra,
        steps: parts.steps,
    })
}

/// Decomposes many matrices, one per thread (a matrix that outweighs the others gets all threads). Results in
/// order.
pub fn decompose_many(jobs: &[(Matrix, MpoShape)], bonds: &Bonds, gauge: Gauge) -> Vec<Result<Mpo>> {
    crate::parallel::map(jobs, |(_, shape)| cost(shape), |(w, shape)| decompose(w, shape, bonds, gauge))
}

/// Multiply-adds of a full decomposition, roughly: for weighing jobs against each other in
/// [`crate::parallel::map`].
pub fn cost(shape: &MpoShape) -> u64 {
    let size = shape.padded_rows() as u64 * shape.padded_cols() as u64;
    shape.full_bonds().into_iter().map(|d| (d as u64).saturating_mul(size)).fold(0, u64::saturating_add)
}

/// Singular values, falling, of the n - 1 interleaved unfoldings, without vectors or cores.
///
/// # Errors
/// As [`decompose`].
pub fn spectra(w: &Matrix, shape: &MpoShape) -> Result<Vec<Vec<f64>>> {
    let x = tensor(w, shape)?;
    let blocks = shape.blocks();
    let wide = wide_bonds(&blocks);
    let left = basis::bases(&x, &blocks, Side::Left, wide, false)?;
    let right = basis::bases(&x, &blocks, Side::Right, blocks.len() - 1 - wide, false)?;
    Ok(left.into_iter().chain(right.into_iter().rev()).map(|b| b.spectrum).collect())
}

/// Cores as flat buffers, with what was learnt on the way.
struct Parts {
    cores: Vec<Vec<f64>>,
    spectra: Vec<Vec<f64>>,
    steps: Vec<f64>,
}

fn tensor(w: &Matrix, shape: &MpoShape) -> Result<Vec<f64>> {
    w.check()?;
    if shape.padded_rows() < w.rows() || shape.padded_cols() < w.cols() {
        return Err(Error::ShapeTooSmall {
            padded_rows: shape.padded_rows(),
            padded_cols: shape.padded_cols(),
            rows: w.rows(),
            cols: w.cols(),
        });
    }
    Ok(interleave::interleave(w, shape))
}

/// How many bonds, from the left, have a wide (or square) unfolding; the core after them holds the bulk.
fn wide_bonds(blocks: &[usize]) -> usize {
    let mut right: usize = blocks.iter().product();
    let mut left = 1;
    let inner = &blocks[..blocks.len() - 1];
    inner
        .iter()
        .take_while(|&&m| {
            left *= m;
            right /= m;
            left <= right
        })
        .count()
}

fn assemble(shape: &MpoShape, bonds: &[usize], buffers: Vec<Vec<f64>>) -> Vec<Core> {
    shape
        .core_shapes(bonds)
        .into_iter()
        .zip(buffers)
        .map(|([left, row, col, right], data)| Core { left, row, col, right, data })
        .collect()
}

impl Mpo {
    /// An MPO from cores, for instance trained ones, brought into [`Gauge::Symmetric`]; its spectra are those
    /// of the matrix that these cores make. Costs about sum(d^3 i j), far less than decomposing that matrix.
    /// Bonds that the cores beside them cannot carry become smaller.
    ///
    /// # Errors
    /// [`Error::CoreShape`] when the cores do not chain or do not match the shape, [`Error::FactorCount`]
    /// when their number is wrong, [`Error::ShapeTooSmall`] for too many rows or columns,
    /// [`Error::NonFinite`] (row: the core, column: the position in it), [`Error::NoConvergence`].
    pub fn from_cores(shape: &MpoShape, rows: usize, cols: usize, cores: Vec<Core>) -> Result<Self> {
        chain::check(shape, rows, cols, &cores)?;
        let (bonds, parts) = canonical::symmetric(shape, cores)?;
        let cores = assemble(shape, &bonds, parts.cores);
        Ok(Self {
            shape: shape.clone(),
            rows,
            cols,
            bonds,
            cores,
            spectra: parts.spectra,
            steps: parts.steps,
        })
    }

    /// The matrix, without padding.
    pub fn rebuild(&self) -> Matrix {
        let values = chain::contract(&self.cores);
        interleave::deinterleave(&values, &self.shape, self.rows, self.cols)
    }

    /// Stored values of all cores.
    pub fn parameters(&self) -> usize {
        self.cores.iter().map(|c| c.data.len()).sum()
    }

    /// This MPO with every bond lowered to at most the given one. In [`Gauge::Symmetric`] this is the
    /// truncation; in other gauges convert with [`Mpo::from_cores`] first. The spectra stay those of the
    /// matrix decomposed.
    ///
    /// # Panics
    /// When `bonds` does not have n + 1 entries.
    #[track_caller]
    pub fn sliced(&self, bonds: &[usize]) -> Self {
        assert_eq!(bonds.len(), self.bonds.len(), "bonds of an MPO of {} cores", self.cores.len());
        let kept: Vec<usize> = self.bonds.iter().zip(bonds).map(|(d, b)| (*d).min((*b).max(1))).collect();
        let cores =
            self.cores.iter().enumerate().map(|(k, core)| chain::slice(core, kept[k], kept[k + 1])).collect();
        Self { bonds: kept, cores, steps: Vec::new(), ..self.without_cores() }
    }

    fn without_cores(&self) -> Self {
        Self {
            shape: self.shape.clone(),
            rows: self.rows,
            cols: self.cols,
            bonds: Vec::new(),
            cores: Vec::new(),
            spectra: self.spectra.clone(),
            steps: Vec::new(),
        }
    }

    /// Frobenius norm of the matrix decomposed, from its spectra (of the cores, when there is only one).
    pub fn norm(&self) -> f64 {
        match self.spectra.first() {
            Some(s) => spectrum::tail(s, 0),
            None => self.cores.iter().flat_map(|c| &c.data).map(|v| v * v).sum::<f64>().sqrt(),
        }
    }

    /// Entanglement entropy at each inner bond, in nats.
    pub fn entropy(&self) -> Vec<f64> {
        self.spectra.iter().map(|s| spectrum::entropy(s)).collect()
    }

    /// The bonds that a budget of stored values buys: none larger than now, never with a larger
    /// [`Mpo::bound`] than the best single cap ([`MpoShape::cap_for`]). Starting from all bonds, the singular
    /// value with the least square per value saved goes first. `None` when even bonds of 1 exceed the budget.
    pub fn bonds_for(&self, parameters: usize) -> Option<Vec<usize>> {
        allocate::bonds(self, parameters)
    }

    /// Local truncation error eps_k of each inner bond: the norm of the singular values that these bonds
    /// drop.
    ///
    /// # Panics
    /// When `bonds` does not have n + 1 entries.
    ///
    /// # Source
    /// MPOP (ACL 2021) equation 3, with the lower index d' + 1 and the squares that its appendix uses.
    #[track_caller]
    pub fn tails(&self, bonds: &[usize]) -> Vec<f64> {
        assert_eq!(bonds.len(), self.shape.cores() + 1, "bonds of an MPO of {} cores", self.shape.cores());
        self.spectra.iter().zip(&bonds[1..]).map(|(s, &kept)| spectrum::tail(s, kept)).collect()
    }

    /// Upper bound on the Frobenius error of truncating to these bonds, in either gauge: root of the sum of
    /// squared tails. The largest tail is a lower bound.
    ///
    /// # Panics
    /// When `bonds` does not have n + 1 entries.
    #[track_caller]
    pub fn bound(&self, bonds: &[usize]) -> f64 {
        self.tails(bonds).iter().map(|t| t * t).sum::<f64>().sqrt()
    }
}
