//! Cases of columns that stand apart.

use super::coded::{quant, rounding};
use super::{OTHER, Part, dense, lowrank, made, mpo, sum};
use tenfold_weight::{Form, form};

/// Columns `kept` of random numbers, all others those of `rest`.
fn columns(name: &str, kept: &[usize], rest: Part) -> Part {
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

/// Weights that a case refers to, by path.
type Others<'a> = Vec<(&'a str, Form)>;

/// The cases.
pub(super) fn cases(case: &mut dyn FnMut(&'static str, Part, Others<'_>)) {
    case("columns", columns("ca", &[1, 6], dense("cb", 6, 7)), vec![]);
    case("columns, others low rank", columns("cc", &[0, 3, 8], lowrank("cd", 10, 8, 2)), vec![]);
    case(
        "columns, others a padded mpo",
        columns("ce", &[4], mpo("cf", &[3, 4], &[2, 5], (11, 9), 4)),
        vec![],
    );
    case("columns, others quant", columns("cg", &[2], quant("ch", 6, 9, "int4-g4")), vec![]);
    let owner = dense("ci", 6, 7);
    case(
        "columns, others of another",
        columns("cj", &[1, 6], owner.shared(OTHER)),
        vec![(OTHER, owner.form)],
    );
    let both = sum(lowrank("ck", 6, 9, 1), columns("cl", &[0, 1], dense("cm", 6, 7)));
    case("sum with columns", both, vec![]);
    case("quant that rounds inputs", rounding("ra", 7, 40, "int8-row-sym"), vec![]);
    case("quant in groups that rounds inputs", rounding("rg", 7, 40, "int4-g16"), vec![]);
    case(
        "columns, others round inputs",
        columns("rh", &[0, 5], rounding("ri", 7, 19, "int8-row-sym")),
        vec![],
    );
}
