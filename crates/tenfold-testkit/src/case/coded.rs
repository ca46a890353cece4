//! Cases of codes: what the bytes of a scheme stand for, in the forms that hold them.

use super::{Part, contracted, made};
use crate::random;
use tenfold_format::manifest::FormRecord;
use tenfold_linalg::MpoShape;
use tenfold_tensor::{AffineRow, Array, Blocks, Codes, Scheme};
use tenfold_weight::{Address, Form, Path, form};

/// A matrix of codes drawn at random.
pub(super) fn quant(name: &str, rows: usize, cols: usize, scheme: &str) -> Part {
    let codes = codes(name, rows, cols, scheme);
    let matrix = crate::tolerance::widen(codes.values().data());
    Part::new(matrix, Form::quant(codes), (rows, cols))
}

/// The dimensions of its inputs that a form rounds, as its record says: those of codes, alone or beside columns.
pub fn rounded(form: &Form) -> Vec<usize> {
    let of = |record: &FormRecord| matches!(record, FormRecord::Quant { rounds_inputs: true, .. });
    let width = form.shape().last().copied().unwrap_or_default();
    match form.record(&Address::root(Path::new("weight"))) {
        FormRecord::Columns { columns, rest, .. } if of(&rest) => {
            (0..width).filter(|at| !columns.contains(at)).collect()
        }
        record if of(&record) => (0..width).collect(),
        _ => Vec::new(),
    }
}

/// A matrix of codes drawn at random; inputs are rounded to 8 bits.
pub(super) fn rounding(name: &str, rows: usize, cols: usize, scheme: &str) -> Part {
    let codes = codes(name, rows, cols, scheme);
    let matrix = crate::tolerance::widen(codes.values().data());
    let form = Form::Quant(made(form::Quant::rounding_inputs(codes)));
    Part { rounded: (0..cols).collect(), ..Part::new(matrix, form, (rows, cols)) }
}

/// A matrix rounded to blocks.
pub(super) fn blocks(name: &str, rows: usize, cols: usize, blocks: Blocks) -> Part {
    let bytes = made(blocks.nearest_rows(random::array(name, &[rows, cols]).data(), cols));
    let codes = made(Codes::new(Scheme::Blocks(blocks), rows, cols, bytes));
    let matrix = crate::tolerance::widen(codes.values().data());
    Part::new(matrix, Form::quant(codes), (rows, cols))
}

/// A matrix in half precision.
pub(super) fn halves(name: &str, rows: usize, cols: usize) -> Part {
    let codes = made(Codes::halves(random::array(name, &[rows, cols]).data(), rows, cols));
    Part::new(crate::tolerance::widen(codes.values().data()), Form::quant(codes), (rows, cols))
}

/// A matrix of any symbols.
pub(super) fn trellis(name: &str, rows: usize, cols: usize) -> Part {
    let codes = codes(name, rows, cols, "trellis2-w6");
    Part::new(crate::tolerance::widen(codes.values().data()), Form::quant(codes), (rows, cols))
}

/// A matrix whose columns are codes.
pub(super) fn by_columns(name: &str, rows: usize, cols: usize, scheme: &str) -> Part {
    let codes = codes(name, cols, rows, scheme);
    let values = crate::tolerance::widen(codes.values().data());
    let matrix = (0..rows * cols).map(|at| values[at % cols * rows + at / cols]).collect();
    Part::new(matrix, Form::Quant(form::Quant::columns(codes)), (rows, cols))
}

/// Whole numbers with tables of scales and shifts.
pub(super) fn grouped(
    name: &str,
    (rows, cols): (usize, usize),
    scheme: &str,
    scale: Part,
    shift: Option<Part>,
) -> Part {
    let codes = codes(name, rows, cols, scheme);
    let numbers = crate::tolerance::widen(codes.values().data());
    let Scheme::Affine(affine) = codes.scheme() else { panic!("{scheme} names no affine scheme") };
    let width = affine.columns(cols);
    let group = |at: usize| at / cols * affine.groups(cols) + at % cols / width;
    let of = |table: &Part, at: usize| table.matrix[group(at)];
    let entry = |at| numbers[at] * of(&scale, at) + shift.as_ref().map_or(0.0, |shift| of(shift, at));
    let matrix = (0..rows * cols).map(entry).collect();
    let form = made(Form::grouped(codes, scale.form, shift.map(|shift| shift.form)));
    Part::new(matrix, form, (rows, cols))
}

/// A part behind the transform of a seed: W = inner H S, whose rows are those of inner turned back.
pub(super) fn rotated(name: &str, inner: Part) -> Part {
    let seed = name.bytes().map(u64::from).sum();
    let turn = made(tenfold_linalg::quant::Hadamard::new(inner.cols, seed));
    let matrix = made(tenfold_linalg::Matrix::new(inner.rows, inner.cols, inner.matrix));
    // By the matrix of the transform, one product of rows at a time.
    let identity = turn.rows(&tenfold_linalg::Matrix::identity(inner.cols)).transpose();
    let matrix = matrix.matmul(&identity).into_data();
    let form = Form::Rotated(made(form::Rotated::new(inner.form, seed)));
    Part::new(matrix, form, (inner.rows, inner.cols))
}

fn codes(name: &str, rows: usize, cols: usize, word: &str) -> Codes {
    let scheme = Scheme::parse(word);
    if let Some(Scheme::Trellis(trellis)) = scheme {
        let mut bytes = Vec::new();
        for row in 0..rows {
            let numbers = random::array(&format!("{name} symbols {row}"), &[cols]);
            let symbols: Vec<u8> = numbers.data().iter().map(|value| (value.abs() * 997.0) as u8).collect();
            let start = bytes.len();
            bytes.resize(start + trellis.row_bytes(cols), 0);
            trellis.pack(&symbols, &mut bytes[start..]);
        }
        return made(Codes::new(Scheme::Trellis(trellis), rows, cols, bytes));
    }
    let Some(Scheme::Affine(affine)) = scheme else { panic!("{word} names no affine scheme") };
    let (groups, top) = (affine.groups(cols), (1u32 << affine.bits()) as f32);
    let below = |value: &f32| ((value.abs() * top) as u32).min(top as u32 - 1) as u8;
    let mut bytes = Vec::new();
    for row in 0..rows {
        let numbers = |what: &str, count| random::array(&format!("{name} {what} {row}"), &[count]);
        let zero = |value: &f32| if affine.is_symmetric() { 1 << (affine.bits() - 1) } else { below(value) };
        let parts = AffineRow {
            codes: numbers("codes", cols).data().iter().map(below).collect(),
            scales: numbers("scales", groups).data().iter().map(|value| value / top).collect(),
            zeros: numbers("zeros", groups).data().iter().map(zero).collect(),
        };
        let start = bytes.len();
        bytes.resize(start + affine.row_bytes(cols), 0);
        affine.pack(&parts, &mut bytes[start..]);
    }
    made(Codes::new(Scheme::Affine(affine), rows, cols, bytes))
}

/// A chain of which every core is codes.
pub(super) fn quantized_cores() -> Part {
    let shape = made(MpoShape::new(vec![3, 4], vec![4, 2]));
    let codes = |k: usize, size: &[usize; 4]| {
        let len: usize = size.iter().product();
        codes(&format!("qc {k}"), 2, len / 2, "int4-g8")
    };
    let sizes = shape.core_shapes(&shape.capped(4));
    let codes: Vec<Codes> = sizes.iter().enumerate().map(|(k, size)| codes(k, size)).collect();
    let cores: Vec<Array> =
        codes.iter().zip(&sizes).map(|(codes, size)| codes.values().reshape(size)).collect();
    let matrix = contracted(&shape, &cores, (12, 8));
    let parts = codes
        .into_iter()
        .zip(sizes)
        .map(|(codes, size)| Form::Quant(made(form::Quant::new(codes, size.to_vec()))));
    Part::new(matrix, Form::Mpo(made(form::Mpo::from_forms(shape, 12, 8, parts.collect()))), (12, 8))
}
