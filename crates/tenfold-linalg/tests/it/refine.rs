//! Refinement never raises the error, finds exact operators again, and leaves well alone.

use super::sample::Random;
use tenfold_linalg::{
    Bonds, Error, Gauge, Matrix, Metric, MpoShape, RefineOptions, decompose, output_error, refine,
};

fn options(sweeps: usize) -> RefineOptions {
    RefineOptions { sweeps, tolerance: 0.0, ..RefineOptions::default() }
}

/// A second moment with very unequal directions.
fn moment(n: usize, random: &mut Random) -> Matrix {
    let x = random.matrix(3 * n, n);
    let x = Matrix::from_fn(3 * n, n, |r, c| x.get(r, c) / (1.0 + c as f64));
    let sum = x.transpose().matmul(&x);
    Matrix::from_fn(n, n, |i, j| sum.get(i, j) / (3 * n) as f64)
}

#[test]
fn the_error_never_rises_and_is_what_is_measured() {
    let mut random = Random(17);
    for (rows, cols, row_factors, col_factors) in [
        (24, 20, vec![4, 6], vec![5, 4]),
        (24, 24, vec![2, 3, 4], vec![4, 3, 2]),
        (23, 17, vec![2, 3, 4], vec![3, 3, 2]),
        (32, 32, vec![2, 2, 2, 2, 2], vec![2, 2, 2, 2, 2]),
        (12, 10, vec![12], vec![10]),
    ] {
        let w = random.matrix(rows, cols);
        let shape = MpoShape::new(row_factors, col_factors).unwrap();
        let c = moment(cols, &mut random);
        let weights: Vec<f64> = (0..rows).map(|r| (r % 4) as f64).collect();
        for metric in [Metric::Weights, Metric::Inputs(&c), Metric::Rows(&weights)] {
            for gauge in [Gauge::Sequential, Gauge::Symmetric] {
                let start = decompose(&w, &shape, &Bonds::Cap(3), gauge).unwrap();
                let refined = refine(&w, &start, &metric, None, &options(5)).unwrap();
                let what = format!("{rows} x {cols}, {metric:?}");
                assert!(refined.errors.is_sorted_by(|a, b| a >= b), "{what}: {:?}", refined.errors);
                let last = *refined.errors.last().unwrap();
                let direct = output_error(&w, &refined.mpo.rebuild(), &metric);
                assert!((direct - last).abs() < 1e-9, "{what}: {direct} and {last}");
                assert_eq!(refined.mpo.parameters(), start.parameters(), "{what}");
            }
        }
        // In a metric that truncation did not know there is much to gain.
        let start = decompose(&w, &shape, &Bonds::Cap(3), Gauge::Sequential).unwrap();
        let refined = refine(&w, &start, &Metric::Inputs(&c), None, &options(5)).unwrap();
        if shape.cores() > 1 {
            assert!(refined.errors.last() < refined.errors.first(), "{:?}", refined.errors);
        }
    }
}

#[test]
fn the_error_in_the_metric_is_that_of_the_outputs() {
    let mut random = Random(19);
    let (w, x) = (random.matrix(18, 12), random.matrix(50, 12));
    let c = x.transpose().matmul(&x);
    let shape = MpoShape::automatic(18, 12, 3);
    let start = decompose(&w, &shape, &Bonds::Cap(4), Gauge::Sequential).unwrap();
    let refined = refine(&w, &start, &Metric::Inputs(&c), None, &options(3)).unwrap();
    let (y, approx) = (x.matmul(&w.transpose()), x.matmul(&refined.mpo.rebuild().transpose()));
    let measured = y.subtract(&approx).frobenius() / y.frobenius();
    assert!((measured - refined.errors.last().unwrap()).abs() < 1e-6 * measured);
}

#[test]
fn an_operator_of_these_bonds_is_found_again() {
    let mut random = Random(23);
    let shape = MpoShape::new(vec![3, 4, 2], vec![2, 3, 4]).unwrap();
    let exact = decompose(&random.matrix(24, 24), &shape, &Bonds::Cap(3), Gauge::Symmetric).unwrap();
    let w = exact.rebuild();
    let mut start = exact.clone();
    for core in &mut start.cores {
        core.data.iter_mut().for_each(|value| *value += 0.2 * random.normal());
    }
    let refined = refine(&w, &start, &Metric::Weights, None, &options(60)).unwrap();
    assert!(refined.errors[0] > 0.1 && *refined.errors.last().unwrap() < 1e-4, "{:?}", refined.errors);
    // What is exact already stays so.
    let kept = refine(&w, &exact, &Metric::Weights, None, &options(4)).unwrap();
    assert!(output_error(&w, &kept.mpo.rebuild(), &Metric::Weights) < 1e-12);
}

#[test]
fn sweeps_stop_where_the_held_out_error_rises() {
    let mut random = Random(29);
    let w = random.matrix(24, 24);
    // Three samples in 24 dimensions: easily fitted, at the cost of everything else.
    let x = random.matrix(3, 24);
    let (few, all) = (x.transpose().matmul(&x), Matrix::identity(24));
    let shape = MpoShape::automatic(24, 24, 3);
    let start = decompose(&w, &shape, &Bonds::Cap(6), Gauge::Sequential).unwrap();
    let (fit, unseen) = (Metric::Inputs(&few), Metric::Inputs(&all));
    let refined = refine(&w, &start, &fit, Some(&unseen), &options(8)).unwrap();
    assert!(refined.held_out.is_sorted_by(|a, b| a >= b), "{:?}", refined.held_out);
    let kept = output_error(&w, &refined.mpo.rebuild(), &unseen);
    assert!((kept - refined.held_out.last().unwrap()).abs() < 1e-12);
    assert!(refined.errors.len() < 9);
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let mut random = Random(31);
    let w = random.matrix(6, 4);
    let shape = MpoShape::new(vec![2, 3], vec![2, 2]).unwrap();
    let start = decompose(&w, &shape, &Bonds::Cap(2), Gauge::Sequential).unwrap();
    let wrong = Matrix::identity(5);
    let refined = refine(&w, &start, &Metric::Inputs(&wrong), None, &options(1));
    assert!(matches!(refined, Err(Error::ShapeMismatch { expected_rows: 4, .. })));
    let zero = refine(&Matrix::zeros(6, 4), &start, &Metric::Weights, None, &options(2)).unwrap();
    assert!(zero.mpo.rebuild().max_abs() < 1e-6);
}

/// At this size each pass must take seconds, not minutes, or the suite is felt to be slow.
#[test]
fn a_feed_forward_matrix_is_refined() {
    let mut random = Random(37);
    let w = random.matrix(1536, 384);
    let c = moment(384, &mut random);
    let shape = MpoShape::automatic(1536, 384, 5);
    let start = decompose(&w, &shape, &Bonds::Cap(40), Gauge::Sequential).unwrap();
    let refined = refine(&w, &start, &Metric::Inputs(&c), None, &options(1)).unwrap();
    assert!(refined.errors[1] < refined.errors[0], "{:?}", refined.errors);
}
