//! Products of matrices, one element after the other.

use tenfold_tensor::Precision;
use tenfold_tensor::device::{Fault, Matrix, Product};

use super::memory::Memory;

const DOING: &str = "multiply";

/// A matrix of a product, known to lie in one block.
struct Operand {
    matrix: Matrix,
    /// Elements from the first to the last.
    span: usize,
    rows: usize,
    cols: usize,
    batch: usize,
}

impl Operand {
    fn new(
        memory: &Memory,
        matrix: Matrix,
        [rows, cols]: [usize; 2],
        batch: usize,
    ) -> Result<Operand, Fault> {
        let (stored_rows, stored_cols) = if matrix.turned { (cols, rows) } else { (rows, cols) };
        if matrix.row_step < stored_cols.max(1) {
            // Libraries for devices refuse it too.
            return Err(fault(format!("rows of {stored_cols} elements begin every {}", matrix.row_step)));
        }
        let empty = rows == 0 || cols == 0 || batch == 0;
        let last = |count: usize, step: usize| count.saturating_sub(1) * step;
        let span = last(batch, matrix.batch_step) + last(stored_rows, matrix.row_step) + stored_cols;
        let span = if empty { 0 } else { span };
        if !matrix.address.is_multiple_of(4) {
            return Err(fault("a matrix is not at a multiple of 4".to_owned()));
        }
        if span > 0 {
            memory.check(matrix.address, span * 4, DOING)?;
        }
        Ok(Operand { matrix, span, rows, cols, batch })
    }

    /// Where an element is, in elements from the first.
    fn index(&self, of: usize, row: usize, col: usize) -> usize {
        let (row, col) = if self.matrix.turned { (col, row) } else { (row, col) };
        of * self.matrix.batch_step + row * self.matrix.row_step + col
    }

    fn pointer(&self, of: usize, row: usize, col: usize) -> *mut f32 {
        (self.matrix.address as usize + 4 * self.index(of, row, col)) as *mut f32
    }

    fn read(&self, of: usize, row: usize, col: usize) -> f32 {
        // SAFETY: the whole matrix lies in a live block, which the caller keeps locked, and is aligned.
        unsafe { self.pointer(of, row, col).read() }
    }

    fn write(&self, of: usize, row: usize, col: usize, value: f32) {
        // SAFETY: as above.
        unsafe { self.pointer(of, row, col).write(value) };
    }

    fn elements(&self) -> impl Iterator<Item = [usize; 3]> {
        let (rows, cols) = (self.rows, self.cols);
        (0..self.batch)
            .flat_map(move |of| (0..rows).flat_map(move |row| (0..cols).map(move |col| [of, row, col])))
    }
}

/// Sums are of `f64`, so that a device's order of summation does not matter.
pub(super) fn multiply(memory: &Memory, product: &Product) -> Result<(), Fault> {
    let &Product { rows, cols, inner, batch, alpha, beta, .. } = product;
    let lhs = Operand::new(memory, product.lhs, [rows, inner], batch)?;
    let rhs = Operand::new(memory, product.rhs, [inner, cols], batch)?;
    let to = Operand::new(memory, product.to, [rows, cols], batch)?;
    if to.matrix.turned {
        return Err(fault("a result cannot be turned".to_owned()));
    }
    check_apart(&lhs, &rhs, &to)?;
    let rounded =
        |value: f32| f64::from(if product.precision == Precision::Bf16 { bf16(value) } else { value });
    for of in 0..batch {
        let columns: Vec<f64> = (0..cols)
            .flat_map(|col| (0..inner).map(move |k| (k, col)))
            .map(|(k, col)| rounded(rhs.read(of, k, col)))
            .collect();
        for row in 0..rows {
            let line: Vec<f64> = (0..inner).map(|k| rounded(lhs.read(of, row, k))).collect();
            for col in 0..cols {
                let column = &columns[col * inner..][..inner];
                let sum: f64 = line.iter().zip(column).map(|(a, b)| a * b).sum();
                let before =
                    if beta == 0.0 { 0.0 } else { f64::from(beta) * f64::from(to.read(of, row, col)) };
                to.write(of, row, col, (f64::from(alpha) * sum + before) as f32);
            }
        }
    }
    Ok(())
}

/// No element is written twice, or read as an operand and written: a device would do so in any order.
fn check_apart(lhs: &Operand, rhs: &Operand, to: &Operand) -> Result<(), Fault> {
    let mut written = vec![false; to.span];
    for [of, row, col] in to.elements() {
        if std::mem::replace(&mut written[to.index(of, row, col)], true) {
            return Err(fault("matrices of the result overlap".to_owned()));
        }
    }
    for operand in [lhs, rhs] {
        let (from, start) = (operand.matrix.address, to.matrix.address);
        if from + 4 * operand.span as u64 <= start || start + 4 * to.span as u64 <= from {
            continue;
        }
        let overlap = |[of, row, col]: [usize; 3]| {
            let address = operand.pointer(of, row, col) as u64;
            address >= start && written.get((address - start) as usize / 4).copied().unwrap_or(false)
        };
        if operand.elements().any(overlap) {
            return Err(fault("the result overlaps an operand".to_owned()));
        }
    }
    Ok(())
}

/// To nearest, ties to even.
pub(crate) fn bf16(value: f32) -> f32 {
    if value.is_nan() {
        return value;
    }
    let bits = value.to_bits();
    f32::from_bits((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
}

fn fault(reason: String) -> Fault {
    Fault::Failed { doing: DOING, reason }
}
