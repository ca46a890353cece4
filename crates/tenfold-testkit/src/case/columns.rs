//! Cases of columns that stand apart.

use super::{Part, dense, made};
use tenfold_weight::{Form, form};

/// Columns `kept` of random numbers, all others those of `rest`.
pub(super) fn columns(name: &str, kept: &[usize], rest: Part) -> Part {
    let value = dense(&format!("{name} kept"), rest.rows, kept.len());
    let cols = kept.len() + rest.cols;
    let entry = |at: usize| {
        let (row, col) = (at / cols, at % cols);
        match kept.iter().position(|one| *one == col) {
            Some(of) => value.matrix[row * kept.len() + of],
            None => rest.matrix[row * rest.cols + col - kept.iter().filter(|one| **one < col).count()],
        }
    };
    let matrix = (0..rest.rows * cols).map(entry).collect();
    let others: Vec<usize> = (0..cols).filter(|col| !kept.contains(col)).collect();
    let rounded = rest.rounded.iter().map(|at| others[*at]).collect();
    let form = Form::Columns(made(form::Columns::new(kept, value.form, rest.form)));
    Part { rounded, ..Part::new(matrix, form, (rest.rows, cols)) }
}
