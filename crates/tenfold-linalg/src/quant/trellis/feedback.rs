//! Trellis codes of tiles of a matrix, with feedback of errors from tile to tile.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef};

use super::Trellis;
use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::parallel::{self, threads_for};
use crate::quant::factor::Factor;
use crate::quant::gptq::diagonal;
use crate::quant::grid::half;

/// Columns between two updates of those behind them.
const BLOCK: usize = 64;

/// How [`trellis_ldlq`] goes about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrellisOptions {
    /// Rows and columns of a tile, which is one sequence, row after row. The columns of a tile do not make up for each
    /// other's errors, so narrow ones cost less.
    pub tile: (usize, usize),
    /// Added to the diagonal of the moment, as in [`GptqOptions`](crate::quant::GptqOptions).
    pub damping: f64,
    /// Whether factors of rows are rounded to half precision, as files store them.
    pub half: bool,
    /// Whether the factor of each row is fitted again to its values, in the metric of the damped moment; the better is kept.
    pub refit: bool,
}

impl Default for TrellisOptions {
    /// Tiles of 256 x 1, damping .01, factors in single precision as they were first.
    fn default() -> Self {
        Self { tile: (256, 1), damping: 0.01, half: false, refit: false }
    }
}

/// A matrix in a trellis code.
#[derive(Clone, Debug, PartialEq)]
pub struct TrellisCoded {
    /// What the symbols stand for, O x I.
    pub values: Matrix,
    /// Tiles by columns, then rows; in each its symbols, row after row. One per weight, below 2^k.
    pub symbols: Vec<u8>,
    /// Factor of each row, as f32 holds it.
    pub scales: Vec<f64>,
    /// Half of tr((W - Q) H (W - Q)^T) for the damped moment.
    pub loss: f64,
    /// The damping that was used, as in [`Quantized`](crate::quant::Quantized).
    pub damping: f64,
}

/// Codes a matrix tile by tile; columns behind a tile make up for its errors, in the metric of inputs with second moment
/// `h`. Weights should look normal, which a [`Hadamard`](crate::quant::Hadamard) transform of W and `h` sees to.
///
/// The last tile of a row or column may be smaller. A moment that is zero throughout counts as the identity.
///
/// # Errors
/// As [`gptq`](crate::quant::gptq); [`Error::BadGrid`] for tiles without weights.
///
/// # Source
/// Block LDLQ of QuIP# (Tseng et al. 2024, arXiv 2402.04396), section 4, in the form of GPTQ; tiles as in QTIP.
pub fn trellis_ldlq(
    w: &Matrix,
    h: &Matrix,
    trellis: &Trellis,
    options: &TrellisOptions,
) -> Result<TrellisCoded> {
    w.check()?;
    diagonal(w, h)?;
    let (rows, cols) = (w.rows(), w.cols());
    let (high, wide) = options.tile;
    if high == 0 || wide == 0 {
        return Err(Error::BadGrid { what: "a tile without weights" });
    }
    if !(options.damping.is_finite() && options.damping >= 0.0) {
        return Err(Error::BadGrid { what: "a damping that is negative or not finite" });
    }
    let order: Vec<usize> = (0..cols).collect();
    let factor = Factor::new(h, &order, options.damping);
    let mut current = w.clone();
    if let Some(factor) = &factor {
        let dead: Vec<usize> = (0..cols).filter(|&col| factor.dead[col]).collect();
        for row in current.data_mut().chunks_exact_mut(cols) {
            dead.iter().for_each(|&col| row[col] = 0.0);
        }
    }
    // Values of a good code have the variance of the weights less that of the errors.
    let share = (1.0 - (-2.0 * f64::from(trellis.bits())).exp2()).sqrt();
    let scale = |row: &[f64]| {
        let square = row.iter().map(|v| v * v).sum::<f64>() / cols as f64;
        options.stored(share * square.sqrt())
    };
    let scales: Vec<f64> = current.data().chunks_exact(cols).map(scale).collect();
    let mut done = TrellisCoded {
        values: Matrix::zeros(rows, cols),
        symbols: Vec::with_capacity(rows * cols),
        scales,
        loss: 0.0,
        damping: factor.as_ref().map_or(0.0, |factor| factor.damping),
    };
    // What many tiles leave to the columns behind them goes there in one product.
    let block = BLOCK.next_multiple_of(wide);
    for first in (0..cols).step_by(block) {
        let end = (first + block).min(cols);
        let mut left = vec![0.0; rows * (end - first)];
        for from in (first..end).step_by(wide) {
            let to = (from + wide).min(end);
            let mut missed = done.tiles(&current, trellis, high, from, to)?;
            let Some(factor) = &factor else { continue };
            done.loss += 0.5 * freed(&mut missed, factor, from, to);
            pass_on(&mut current, factor, (&missed, to - from), from, to..end);
            for (left, missed) in left.chunks_exact_mut(end - first).zip(missed.chunks_exact(to - from)) {
                left[from - first..to - first].copy_from_slice(missed);
            }
        }
        if let Some(factor) = &factor {
            pass_on(&mut current, factor, (&left, end - first), first, end..cols);
        }
    }
    if let Some(factor) = factor.filter(|_| options.refit) {
        done.refit(w, &factor.moment(h, &order), options);
    }
    Ok(done)
}

impl TrellisOptions {
    /// A factor as it is stored.
    fn stored(&self, factor: f64) -> f64 {
        if self.half { half(factor) } else { f64::from(factor as f32) }
    }
}

/// Takes from the columns `behind` their share of what the `wide` columns from `from` on missed.
fn pass_on(
    current: &mut Matrix,
    factor: &Factor,
    (missed, wide): (&[f64], usize),
    from: usize,
    behind: Range<usize>,
) {
    let (rows, cols) = (current.rows(), current.cols());
    if behind.is_empty() || factor.damping.is_infinite() {
        return;
    }
    let unit = MatRef::from_row_major_slice(factor.unit.data(), cols, cols);
    let shares = unit.submatrix(from, behind.start, wide, behind.len());
    let missed = MatRef::from_row_major_slice(missed, rows, wide);
    let whole = MatMut::from_row_major_slice_mut(current.data_mut(), rows, cols);
    let behind = whole.submatrix_mut(0, behind.start, rows, behind.len());
    let work = rows * wide * behind.ncols();
    matmul(behind, Accum::Add, missed, shares, -1.0, threads_for(work));
}

impl TrellisCoded {
    /// Gives each row the factor with which its values come nearest to the weights, where that costs less.
    fn refit(&mut self, w: &Matrix, moment: &Matrix, options: &TrellisOptions) {
        let cols = w.cols();
        let through = self.values.matmul(moment);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        for row in 0..w.rows() {
            let values = &mut self.values.data_mut()[row * cols..(row + 1) * cols];
            let (with, own) = (dot(w.row(row), through.row(row)), dot(values, through.row(row)));
            if own <= 0.0 {
                continue;
            }
            let fitted = options.stored(self.scales[row] * with / own);
            let ratio = fitted / self.scales[row];
            // What the cost changes by: -2 (ratio - 1) w H v + (ratio^2 - 1) v H v.
            let change = own * (ratio * ratio - 1.0) - 2.0 * with * (ratio - 1.0);
            if change < 0.0 {
                let before = self.scales[row];
                values.iter_mut().for_each(|value| *value = *value / before * fitted);
                self.scales[row] = fitted;
                self.loss += 0.5 * change;
            }
        }
    }

    /// Codes the columns `from..to` and gives what they miss, row by row.
    fn tiles(
        &mut self,
        current: &Matrix,
        trellis: &Trellis,
        high: usize,
        from: usize,
        to: usize,
    ) -> Result<Vec<f64>> {
        let (rows, wide) = (current.rows(), to - from);
        let mut found: Vec<Result<Vec<u8>>> = (0..rows).step_by(high).map(|_| Ok(Vec::new())).collect();
        let scales = &self.scales;
        let work = (rows * wide) << trellis.state_bits();
        parallel::for_each(found.iter_mut().enumerate(), work, |(tile, slot)| {
            let span = tile * high..((tile + 1) * high).min(rows);
            let scaled = span.flat_map(|r| {
                let scale = if scales[r] > 0.0 { scales[r] } else { 1.0 };
                current.row(r)[from..to].iter().map(move |x| x / scale)
            });
            *slot = trellis.encode(&scaled.collect::<Vec<f64>>());
        });
        let mut missed = Vec::with_capacity(rows * wide);
        for (tile, symbols) in found.into_iter().enumerate() {
            let symbols = symbols?;
            for (at, value) in trellis.decode(&symbols).into_iter().enumerate() {
                let (r, c) = (tile * high + at / wide, from + at % wide);
                let value = value * self.scales[r];
                missed.push(current.get(r, c) - value);
                let cols = current.cols();
                self.values.data_mut()[r * cols + c] = value;
            }
            self.symbols.extend(symbols);
        }
        Ok(missed)
    }
}

/// Takes from each column what the ones before it in the tile already pass on; gives the cost.
fn freed(missed: &mut [f64], factor: &Factor, from: usize, to: usize) -> f64 {
    let mut cost = 0.0;
    for row in missed.chunks_exact_mut(to - from) {
        for k in 0..row.len() {
            let (here, later) = row[k..].split_at_mut(1);
            cost += factor.diagonal[from + k] * here[0] * here[0];
            let shares = &factor.unit.row(from + k)[from + k + 1..to];
            later.iter_mut().zip(shares).for_each(|(x, share)| *x -= here[0] * share);
        }
    }
    cost
}
