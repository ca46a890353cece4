//! Rounding of a matrix, plain and with feedback of errors.

use std::ops::Range as Span;

use super::factor::Factor;
use super::grid::{Grid, check_importance};
use super::sweep::{BAND, Band, Plan, Stretch};
use super::visit::{Order, Visit};
use super::wide::widest;
use crate::error::{Error, Result};
use crate::kernel;
use crate::matrix::Matrix;
use crate::parallel;

/// How [`gptq`] goes about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GptqOptions {
    /// In which order columns are rounded.
    pub order: Order,
    /// Fits all groups before any column is rounded, to the weights as they are given. With [`Order::Falling`] groups are
    /// then neighbors in storage.
    pub fixed_groups: bool,
    /// Added to the diagonal of the moment, as a share of its mean over live columns. Grows tenfold until the moment can
    /// be factored safely.
    pub damping: f64,
    /// Columns between two updates of the columns behind them, at most; changes the time only. With `refits` it is
    /// enlarged to the columns of a group.
    pub block: usize,
    /// How often the parameters of a group are fitted again, by least squares, to the codes that they led to; the better
    /// is kept. Whole-row groups are not.
    pub refits: usize,
    /// How often all codes are gone over once more at the end, each moving to the best level while the others stay, and with
    /// `refits` the small scales of blocks before them; the loss never rises. Each time costs about twice what the pass before it did.
    pub polish: usize,
    /// Rounds plainly too and keeps in each row what costs less in the metric of the moment: twice the time.
    pub guard: bool,
}

impl Default for GptqOptions {
    /// Stored order, groups fitted on the way, damping .01, blocks of 128, no refits, no polish, no guard.
    fn default() -> Self {
        Self {
            order: Order::Stored,
            fixed_groups: false,
            damping: 0.01,
            block: 128,
            refits: 0,
            polish: 0,
            guard: false,
        }
    }
}

/// A rounded matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized<G> {
    /// What the codes stand for, O x I.
    pub values: Matrix,
    /// Codes, O x I row by row, columns as they are stored; their range is that of the grid.
    pub codes: Vec<i16>,
    /// Parameters, row by row, as many per row as there are groups.
    pub groups: Vec<G>,
    /// The group of each column.
    pub group_of: Vec<usize>,
    /// Columns in the order in which they were rounded.
    pub order: Vec<usize>,
    /// Half of tr((W - Q) H (W - Q)^T) for the damped moment H, with W zero in dead columns: what the solver
    /// minimizes; for rows that plain rounding gave, that of `h` itself. 0 where no moment was given or none was seen.
    pub loss: f64,
    /// The damping that was used, as a share of the mean diagonal; infinite where only the diagonal of the moment could
    /// be used, so that every column was on its own.
    pub damping: f64,
    /// Rows that plain rounding gave, because it cost less.
    pub guarded: usize,
}

impl<G: Copy> Quantized<G> {
    /// Groups in a row.
    pub fn groups_per_row(&self) -> usize {
        self.groups.len() / self.values.rows().max(1)
    }
}

/// Rounds every weight to the nearest level of its group.
///
/// `importance` has one number per column, for grids that search: the mean square of the input, for instance.
///
/// # Errors
/// [`Error::BadGrid`], [`Error::EmptyMatrix`], [`Error::NonFinite`] for the matrix; [`Error::BufferLength`] and
/// [`Error::BadImportance`] for the importance.
pub fn rtn<S: Grid>(w: &Matrix, grid: &S, importance: Option<&[f64]>) -> Result<Quantized<S::Group>> {
    grid.check()?;
    w.check()?;
    let ones = vec![1.0; w.cols()];
    let importance = importance.unwrap_or(&ones);
    check_importance(importance, w.cols())?;
    let visit = Visit::new(Order::Stored, false, importance, grid.span());
    let plan = Plan {
        w,
        grid,
        visit: &visit,
        importance,
        factor: None,
        fixed: false,
        block: 128,
        refits: 0,
        polish: None,
    };
    Ok(collect(&plan, bands(&plan), 0))
}

/// Rounds column by column and lets the columns to come make up for each error, for inputs with second moment `h` (I x I,
/// any positive multiple).
///
/// Columns whose diagonal entry is zero have never had an input: their weights become zero. A moment that is zero
/// throughout (no calibration rows) says nothing, and the result is that of [`rtn`].
///
/// # Accuracy
/// f64 throughout; codes are those of the explicit formulas of optimal brain quantization but for ties within 1e-12.
///
/// # Errors
/// As [`rtn`]; [`Error::ShapeMismatch`], [`Error::NonFinite`] and [`Error::BadImportance`] (a negative diagonal
/// entry) for the moment; [`Error::BadGrid`] for a damping that is negative or not finite, or a block of no columns.
///
/// # Source
/// GPTQ (Frantar et al. 2023, arXiv 2210.17323), algorithm 1. Group parameters are fitted to weights that are up to date, also
/// inside a block. With fixed groups it is LDLQ (QuIP, Chee et al. 2023, theorem 6). Polishing is cyclic coordinate descent as in
/// QuantEase (Behdin et al. 2023, arXiv 2309.01885).
pub fn gptq<S: Grid>(w: &Matrix, h: &Matrix, grid: &S, options: &GptqOptions) -> Result<Quantized<S::Group>> {
    grid.check()?;
    w.check()?;
    let importance = diagonal(w, h)?;
    if !(options.damping.is_finite() && options.damping >= 0.0) {
        return Err(Error::BadGrid { what: "a damping that is negative or not finite" });
    }
    if options.block == 0 {
        return Err(Error::BadGrid { what: "a block of no columns" });
    }
    let visit = Visit::new(options.order, options.fixed_groups, &importance, grid.span());
    let Some(factor) = Factor::new(h, &visit.order, options.damping) else {
        return rtn(w, grid, None);
    };
    let group = grid.span().min(w.cols());
    let refits = if grid.span() > LARGEST_REFIT { 0 } else { options.refits };
    let moment = (options.polish > 0).then(|| factor.moment(h, &visit.order));
    let plan = Plan {
        w,
        grid,
        visit: &visit,
        importance: &importance,
        factor: Some(&factor),
        fixed: options.fixed_groups,
        block: if refits > 0 { options.block.max(group) } else { options.block },
        refits,
        polish: moment.as_ref().map(|moment| (moment, options.polish)),
    };
    let mut found = bands(&plan);
    let mut guarded = 0;
    if options.guard {
        let plain = bands(&Plan { factor: None, refits: 0, polish: None, ..plan });
        guarded = keep_better(w, h, &plan, &mut found, plain);
    }
    let mut done = collect(&plan, found, guarded);
    done.damping = factor.damping;
    Ok(done)
}

/// Columns of a group beyond which refitting it would need blocks too large for the caches.
const LARGEST_REFIT: usize = 1024;

/// The diagonal of a moment that fits the matrix.
pub(super) fn diagonal(w: &Matrix, h: &Matrix) -> Result<Vec<f64>> {
    let n = w.cols();
    if h.rows() != n || h.cols() != n {
        return Err(Error::ShapeMismatch {
            expected_rows: n,
            expected_cols: n,
            got_rows: h.rows(),
            got_cols: h.cols(),
        });
    }
    h.check()?;
    let diagonal: Vec<f64> = (0..n).map(|i| h.get(i, i)).collect();
    check_importance(&diagonal, n)?;
    Ok(diagonal)
}

/// Rows that are carried through together.
pub(super) fn spans(rows: usize) -> impl Iterator<Item = Span<usize>> {
    (0..rows).step_by(BAND).map(move |first| first..(first + BAND).min(rows))
}

/// All bands of a plan, in order.
fn bands<S: Grid>(plan: &Plan<'_, S>) -> Vec<Band<S>> {
    let mut found: Vec<Option<Band<S>>> = spans(plan.w.rows()).map(|_| None).collect();
    let work = plan.w.rows() * plan.w.cols() * plan.factor.map_or(64, |_| plan.w.cols());
    parallel::for_each(found.iter_mut().zip(spans(plan.w.rows())), work, |(slot, span)| {
        *slot = Some(widest(Stretch { plan, first: span.start, rows: span.len() }));
    });
    found.into_iter().flatten().collect()
}

/// Puts rows of `plain` where they cost less; how many.
fn keep_better<S: Grid>(
    w: &Matrix,
    h: &Matrix,
    plan: &Plan<'_, S>,
    found: &mut [Band<S>],
    plain: Vec<Band<S>>,
) -> usize {
    let (cols, groups) = (w.cols(), plan.visit.members.len());
    let mut taken = vec![0; found.len()];
    let items = found.iter_mut().zip(plain).zip(&mut taken).zip(spans(w.rows()));
    parallel::for_each(items, w.rows() * cols * cols, |(((ours, other), taken), span)| {
        let given = &w.data()[span.start * cols..span.end * cols];
        let (before, after) = (costs(given, &other.values, h), costs(given, &ours.values, h));
        for row in (0..span.len()).filter(|&row| before[row] < after[row]) {
            let (at, group) = (row * cols..(row + 1) * cols, row * groups..(row + 1) * groups);
            ours.values[at.clone()].copy_from_slice(&other.values[at.clone()]);
            ours.codes[at.clone()].copy_from_slice(&other.codes[at]);
            ours.groups[group.clone()].copy_from_slice(&other.groups[group]);
            ours.losses[row] = before[row];
            *taken += 1;
        }
    });
    taken.iter().sum()
}

/// (w - q) H (w - q)^T of each row.
fn costs(w: &[f64], q: &[f64], h: &Matrix) -> Vec<f64> {
    let cols = h.cols();
    let missed: Vec<f64> = w.iter().zip(q).map(|(w, q)| w - q).collect();
    let through = kernel::product(kernel::view(&missed, missed.len() / cols, cols), h.view());
    let dot = |(a, b): (&[f64], &[f64])| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    missed.chunks(cols).zip(through.chunks(cols)).map(dot).collect()
}

fn collect<S: Grid>(plan: &Plan<'_, S>, bands: Vec<Band<S>>, guarded: usize) -> Quantized<S::Group> {
    let (rows, cols) = (plan.w.rows(), plan.w.cols());
    let mut values = Vec::with_capacity(rows * cols);
    let mut codes = Vec::with_capacity(rows * cols);
    let mut groups = Vec::with_capacity(rows * plan.visit.members.len());
    let mut loss = 0.0;
    for band in bands {
        values.extend_from_slice(&band.values);
        codes.extend_from_slice(&band.codes);
        groups.extend_from_slice(&band.groups);
        loss += band.losses.iter().sum::<f64>();
    }
    Quantized {
        values: Matrix::from_vec(rows, cols, values),
        codes,
        groups,
        group_of: plan.visit.group_of.clone(),
        order: plan.visit.order.clone(),
        loss: 0.5 * loss,
        damping: 0.0,
        guarded,
    }
}
