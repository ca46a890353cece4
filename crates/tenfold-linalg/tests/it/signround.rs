//! Laws of rounding tuned by signs of gradients, and steps taken by PyTorch.

use serde_json::Value;
use tenfold_linalg::quant::{
    Affine, AffineGroup, Clip, GptqOptions, Order, Quantized, Range, SignOptions, gptq, rtn, signround,
};
use tenfold_linalg::{Error, Matrix};

use crate::quant::{affine, cost, moment};
use crate::sample::Random;

const OPTIONS: SignOptions = SignOptions { iterations: 60, ends: true };

fn searched(bits: u32, group: usize, range: Range) -> Affine {
    Affine { clip: Some(Clip::default()), half: true, ..affine(bits, group, range) }
}

fn plain(w: &Matrix, h: &Matrix, grid: &Affine) -> Quantized<AffineGroup> {
    let importance: Vec<f64> = (0..h.cols()).map(|at| h.get(at, at)).collect();
    rtn(w, grid, Some(&importance)).unwrap()
}

/// Cost of each row.
fn rows(w: &Matrix, q: &Matrix, h: &Matrix) -> Vec<f64> {
    let row = |m: &Matrix, at: usize| Matrix::new(1, m.cols(), m.row(at).to_vec()).unwrap();
    (0..w.rows()).map(|at| cost(&row(w, at), &row(q, at), h)).collect()
}

#[test]
fn steps_are_those_of_automatic_derivatives() {
    let path = format!("{}/tests/golden/signround/cases.json", env!("CARGO_MANIFEST_DIR"));
    let value: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in value["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let list = |key: &str| -> Vec<f64> {
            case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        let (count, cols) = (size("rows"), size("cols"));
        let w = Matrix::new(count, cols, list("w")).unwrap();
        let h = Matrix::new(cols, cols, list("h")).unwrap();
        let range = if case["kind"] == "asymmetric" { Range::Asymmetric } else { Range::Symmetric };
        let grid = affine(size("bits") as u32, size("span"), range);
        let options = SignOptions { iterations: size("iterations"), ends: case["ends"] == true };
        let start = rtn(&w, &grid, None).unwrap();
        let tuned = signround(&w, &h, &grid, &start, &options).unwrap();
        for (got, want) in rows(&w, &tuned.values, &h).iter().zip(list("costs")) {
            assert!((got - want).abs() <= 1e-9 * want, "{name}: {got}, {want}");
        }
        let codes: Vec<f64> = tuned.codes.iter().map(|&code| f64::from(code)).collect();
        assert_eq!(codes, list("codes"), "{name}");
        assert!(tuned.loss < 0.9 * 0.5 * cost(&w, &start.values, &h), "{name}: hardly better");
    }
}

/// Every row of every start; what comes back is on the grid, and its loss is half of its cost.
#[test]
fn no_row_ends_above_its_start() {
    for seed in 0..12 {
        let mut random = Random(seed + 1);
        let (w, h) = (random.matrix(20, 96), moment(&mut random, 96, 200));
        let ranges = [Range::Asymmetric, Range::Symmetric, Range::Full];
        let (bits, range) = (2 + seed as u32 % 3, ranges[seed as usize / 3 % 3]);
        let group = [32, 40, usize::MAX][seed as usize % 3];
        let grid = searched(bits, group, range);
        let order = if seed % 2 == 0 { Order::Grouped } else { Order::Falling };
        let feedback = GptqOptions { order, fixed_groups: seed % 2 == 1, ..GptqOptions::default() };
        for start in [plain(&w, &h, &grid), gptq(&w, &h, &grid, &feedback).unwrap()] {
            let tuned = signround(&w, &h, &grid, &start, &OPTIONS).unwrap();
            let (before, after) = (rows(&w, &start.values, &h), rows(&w, &tuned.values, &h));
            for (row, (before, after)) in before.iter().zip(&after).enumerate() {
                assert!(*after <= before * (1.0 + 1e-12), "seed {seed}, row {row}: {after} after {before}");
            }
            assert!(after.iter().sum::<f64>() < before.iter().sum(), "seed {seed}: nothing found");
            assert!((tuned.loss - 0.5 * after.iter().sum::<f64>()).abs() < 1e-9 * tuned.loss);
            let width = group.min(96);
            for (at, (value, code)) in tuned.values.data().iter().zip(&tuned.codes).enumerate() {
                let group = tuned.groups[at / 96 * 96_usize.div_ceil(width) + at % 96 / width];
                assert!((0..1 << bits).contains(code), "seed {seed}: code {code}");
                assert_eq!(*value, group.scale * (f64::from(*code) - f64::from(group.zero)), "seed {seed}");
            }
        }
    }
}

#[test]
fn no_iterations_give_the_start_back() {
    let mut random = Random(3);
    let (w, h) = (random.matrix(9, 64), moment(&mut random, 64, 150));
    let grid = searched(3, 16, Range::Asymmetric);
    let start = plain(&w, &h, &grid);
    let none = SignOptions { iterations: 0, ends: true };
    let back = signround(&w, &h, &grid, &start, &none).unwrap();
    assert_eq!((&back.values, &back.codes, &back.groups), (&start.values, &start.codes, &start.groups));
    assert!((back.loss - 0.5 * cost(&w, &start.values, &h)).abs() < 1e-9 * back.loss);
}

/// Without correlations each weight is on its own and the nearest level is best: offsets alone find nothing, moving ends may.
#[test]
fn offsets_cannot_improve_on_rounding_without_correlations() {
    let mut random = Random(11);
    let w = random.matrix(12, 64);
    let h = Matrix::from_fn(64, 64, |i, j| if i == j { 0.5 + (i % 7) as f64 } else { 0.0 });
    let grid = searched(2, 16, Range::Asymmetric);
    let start = plain(&w, &h, &grid);
    let fixed = signround(&w, &h, &grid, &start, &SignOptions { ends: false, ..OPTIONS }).unwrap();
    assert_eq!((&fixed.codes, &fixed.values), (&start.codes, &start.values));
    let min_max = rtn(&w, &affine(2, 16, Range::Asymmetric), None).unwrap();
    let moved = signround(&w, &h, &affine(2, 16, Range::Asymmetric), &min_max, &OPTIONS).unwrap();
    assert!(cost(&w, &moved.values, &h) < 0.9 * cost(&w, &min_max.values, &h), "clipping at 2 bits pays");
}

#[test]
fn rows_and_the_scale_of_the_moment_are_independent() {
    let mut random = Random(17);
    let (w, h) = (random.matrix(150, 32), moment(&mut random, 32, 90));
    let grid = searched(3, 16, Range::Asymmetric);
    let run = |w: &Matrix, h: &Matrix| {
        signround(w, h, &grid, &plain(w, h, &grid), &SignOptions { iterations: 20, ends: true }).unwrap()
    };
    let (all, double) = (run(&w, &h), Matrix::from_fn(32, 32, |i, j| 4.0 * h.get(i, j)));
    assert_eq!(all.codes, run(&w, &double).codes);
    // A row that lies in the second band.
    let one = Matrix::new(1, 32, w.row(140).to_vec()).unwrap();
    assert_eq!(run(&one, &h).codes, all.codes[140 * 32..141 * 32]);
}

/// Dead columns, groups of zeros, and a moment of nothing come through; what does not fit is named.
#[test]
fn odd_input_is_harmless_or_refused() {
    let mut random = Random(23);
    let (mut w, mut h) = (random.matrix(6, 32), moment(&mut random, 32, 90));
    w.data_mut()[..16].fill(0.0);
    for at in 0..32 {
        h.data_mut()[5 * 32 + at] = 0.0;
        h.data_mut()[at * 32 + 5] = 0.0;
    }
    let grid = searched(2, 16, Range::Asymmetric);
    for h in [&h, &Matrix::zeros(32, 32)] {
        let start = gptq(&w, h, &grid, &GptqOptions::default()).unwrap();
        let tuned = signround(&w, h, &grid, &start, &OPTIONS).unwrap();
        assert!(tuned.values.data().iter().all(|value| value.is_finite()));
        assert_eq!(tuned.values.data()[..16], [0.0; 16]);
    }
    let start = plain(&w, &h, &grid);
    let wrong = signround(&random.matrix(5, 32), &h, &grid, &start, &OPTIONS);
    assert!(matches!(wrong, Err(Error::ShapeMismatch { expected_rows: 5, got_rows: 6, .. })));
    let falling = GptqOptions { order: Order::Falling, ..GptqOptions::default() };
    let apart = gptq(&w, &h, &grid, &falling).unwrap();
    assert!(matches!(signround(&w, &h, &grid, &apart, &OPTIONS), Err(Error::BadGrid { .. })));
    let mut nan = h.clone();
    nan.data_mut()[3] = f64::NAN;
    assert!(matches!(signround(&w, &nan, &grid, &start, &OPTIONS), Err(Error::NonFinite { .. })));
}
