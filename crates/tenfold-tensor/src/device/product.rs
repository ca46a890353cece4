//! Matrix products.

use super::elementwise::behind;
use super::{Argument, Device, Matrix, Product};
use crate::{Array, Precision};

/// A matrix inside an array.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    array: &'a Array,
    /// Elements before it.
    start: usize,
    /// Rows and columns as stored.
    rows: usize,
    cols: usize,
    turned: bool,
    /// Elements from the matrix of one member of a batch to that of the next; 0 where all have the same.
    step: usize,
}

impl<'a> Part<'a> {
    /// All of an array as a matrix.
    pub(crate) fn of(array: &'a Array, rows: usize, cols: usize) -> Part<'a> {
        Part { array, start: 0, rows, cols, turned: false, step: 0 }
    }

    /// Some rows of it.
    pub(crate) fn rows(self, range: std::ops::Range<usize>) -> Part<'a> {
        Part { start: self.start + range.start * self.cols, rows: range.len(), ..self }
    }

    /// The first of as many matrices as a batch has members, one behind the other; the only one where there is no other.
    pub(crate) fn each(self, members: usize) -> Part<'a> {
        Part { step: if members > 1 { self.rows * self.cols } else { 0 }, ..self }
    }

    /// Its transpose.
    pub(crate) fn t(self) -> Part<'a> {
        Part { turned: !self.turned, ..self }
    }

    /// Its transpose where that is meant.
    pub(crate) fn t_if(self, turned: bool) -> Part<'a> {
        if turned { self.t() } else { self }
    }

    /// Rows and columns as meant.
    fn shape(&self) -> [usize; 2] {
        if self.turned { [self.cols, self.rows] } else { [self.rows, self.cols] }
    }

    fn matrix(&self) -> Matrix {
        Matrix { batch_step: self.step, ..matrix(self.array.read(), self.start, self.cols, self.turned) }
    }
}

fn matrix(first: Argument, start: usize, row_step: usize, turned: bool) -> Matrix {
    let address = match behind(first, start) {
        Argument::Address(address) => address,
        Argument::Whole(_) | Argument::Number(_) => 0,
    };
    Matrix { address, row_step, batch_step: 0, turned }
}

impl Device {
    /// Rows from `first` on of what `to` holds (+)= lhs rhs.
    ///
    /// # Panics
    /// When the shapes do not fit together.
    #[track_caller]
    pub(crate) fn multiply(
        &self,
        precision: Precision,
        to: (&mut Array, usize),
        add: bool,
        lhs: Part<'_>,
        rhs: Part<'_>,
    ) {
        self.multiply_each(precision, 1, to, add, lhs, rhs);
    }

    /// The same for every member of a batch, whose results lie one behind the other.
    ///
    /// # Panics
    /// When the shapes do not fit together.
    #[track_caller]
    pub(crate) fn multiply_each(
        &self,
        precision: Precision,
        batch: usize,
        (to, first): (&mut Array, usize),
        add: bool,
        lhs: Part<'_>,
        rhs: Part<'_>,
    ) {
        let ([rows, inner], [depth, cols]) = (lhs.shape(), rhs.shape());
        assert!(
            inner == depth && (first + batch * rows) * cols <= to.len(),
            "product of {rows} x {inner} and {depth} x {cols} into {:?}",
            to.shape()
        );
        if batch * rows * cols == 0 {
            return;
        }
        if inner == 0 {
            if !add {
                self.fill(to, 0.0);
            }
            return;
        }
        let (lhs, rhs) = (lhs.matrix(), rhs.matrix());
        let to = Matrix { batch_step: rows * cols, ..matrix(to.write(), first * cols, cols, false) };
        if self.works() {
            let beta = f32::from(u8::from(add));
            let product = Product { rows, cols, inner, batch, lhs, rhs, to, alpha: 1.0, beta, precision };
            self.note(self.driver.multiply(&product));
        }
    }
}
