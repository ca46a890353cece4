//! Spectral norms by iteration against decompositions, and what stable ranks must satisfy.

use crate::sample::{Random, kron};
use tenfold_linalg::top::{TopOptions, lanczos, power, stable_rank_of};
use tenfold_linalg::{Matrix, Metric, stable_rank, svd_in_metric};

fn spectrum(w: &Matrix) -> Vec<f64> {
    svd_in_metric(w, &Metric::Weights).unwrap().spectrum().to_vec()
}

fn gaussian(rows: usize, cols: usize, seed: u64) -> Matrix {
    Random(seed).matrix(rows, cols)
}

/// Singular values as given, in random directions.
fn with_spectrum(rows: usize, cols: usize, values: &[f64], seed: u64) -> Matrix {
    let mut random = Random(seed);
    let (left, right) = (random.orthogonal(rows), random.orthogonal(cols));
    let middle = Matrix::from_fn(rows, cols, |i, j| if i == j { values[i] } else { 0.0 });
    left.matmul(&middle).matmul(&right)
}

fn close(got: f64, want: f64, tolerance: f64) {
    assert!((got - want).abs() <= tolerance * want.abs().max(1e-300), "{got}, expected {want}");
}

#[test]
fn both_iterations_find_what_a_decomposition_finds() {
    let options = TopOptions { tolerance: 1e-9, products: 4000 };
    for (rows, cols) in [(1, 1), (1, 9), (9, 1), (12, 12), (40, 17), (17, 40), (96, 64)] {
        let w = gaussian(rows, cols, (rows * 100 + cols) as u64);
        let want = spectrum(&w)[0];
        let (slow, fast) = (power(&w, None, &options), lanczos(&w, None, &options).unwrap());
        close(slow.value, want, 1e-9);
        close(fast.value, want, 1e-9);
        assert!(slow.residual <= 1e-8 && fast.residual <= 1e-6, "{slow:?} {fast:?}");
        assert!(fast.products <= slow.products + 4, "{} and {}", fast.products, slow.products);
    }
}

#[test]
fn estimates_rise_from_below() {
    let w = gaussian(60, 50, 3);
    let want = spectrum(&w)[0];
    let estimate = |products| power(&w, None, &TopOptions { tolerance: 0.0, products }).value;
    let found: Vec<f64> = (1..30).map(|n| estimate(2 * n)).collect();
    assert!(found.is_sorted_by(|a, b| *a <= b * (1.0 + 1e-14)), "{found:?}");
    assert!(found.iter().all(|value| *value <= want * (1.0 + 1e-14)), "{found:?} above {want}");
    // So the stable rank comes down to its value.
    assert!(stable_rank_of(&w, found[0]) >= stable_rank(&spectrum(&w)));
}

#[test]
fn a_start_from_before_saves_products() {
    let values: Vec<f64> = (0..40).map(|k| if k == 0 { 1.3 } else { 1.0 / (1.0 + 0.1 * k as f64) }).collect();
    let w = with_spectrum(60, 40, &values, 7);
    let options = TopOptions::default();
    let before = power(&w, None, &options);
    // One small step of training.
    let step = gaussian(60, 40, 8);
    let moved = Matrix::from_fn(60, 40, |i, j| w.get(i, j) + 1e-4 * step.get(i, j));
    let (warm, cold) = (power(&moved, Some(&before.right), &options), power(&moved, None, &options));
    close(warm.value, spectrum(&moved)[0], 1e-9);
    assert!(2 * warm.products <= cold.products + 2, "{} warm, {} cold", warm.products, cold.products);
}

#[test]
fn zero_and_extreme_matrices_have_answers() {
    let options = TopOptions::default();
    let zero = Matrix::zeros(3, 4);
    assert_eq!(
        (power(&zero, None, &options).value, lanczos(&zero, None, &options).unwrap().value),
        (0.0, 0.0)
    );
    assert_eq!(stable_rank_of(&zero, 0.0), 0.0);
    let nan = Matrix::from_fn(3, 3, |_, _| f64::NAN);
    assert!(lanczos(&nan, None, &options).is_err());
    let start = [0.0; 4];
    assert_eq!(power(&Matrix::identity(4), Some(&start), &options).value, 1.0);
}

/// The spec's property 33.
#[test]
fn stable_rank_is_between_one_and_the_rank_and_does_not_depend_on_coordinates() {
    let of = |w: &Matrix| {
        stable_rank_of(w, lanczos(w, None, &TopOptions { tolerance: 1e-12, products: 400 }).unwrap().value)
    };
    let w = gaussian(24, 15, 1);
    let rank = of(&w);
    assert!((1.0..=15.0).contains(&rank), "{rank}");
    close(of(&w.transpose()), rank, 1e-9);
    close(of(&Matrix::from_fn(24, 15, |i, j| -3.5 * w.get(i, j))), rank, 1e-9);
    let turn = with_spectrum(24, 24, &[1.0; 24], 5);
    close(of(&turn.matmul(&w)), rank, 1e-9);
    close(of(&Matrix::from_fn(30, 12, |i, j| f64::from(u8::from(i == j)))), 12.0, 1e-9);
    close(of(&Matrix::from_fn(6, 5, |i, j| (i + 1) as f64 * (j as f64 - 2.5))), 1.0, 1e-9);
    // Blocks on a diagonal: all squares over the largest.
    let other = gaussian(10, 8, 2);
    let blocks = Matrix::from_fn(34, 23, |i, j| match (i < 24, j < 15) {
        (true, true) => w.get(i, j),
        (false, false) => other.get(i - 24, j - 15),
        _ => 0.0,
    });
    let top = spectrum(&w)[0].max(spectrum(&other)[0]);
    close(of(&blocks), (w.frobenius().powi(2) + other.frobenius().powi(2)) / top.powi(2), 1e-9);
    let small = gaussian(3, 4, 9);
    close(of(&kron(&w, &small)), rank * of(&small), 1e-9);
}

/// Properties 34 and 38, and the reference for random matrices.
#[test]
fn stable_rank_falls_with_the_first_direction_and_rises_with_noise() {
    let of = |w: &Matrix| stable_rank(&spectrum(w));
    for seed in 0..20 {
        let w = gaussian(16, 12, seed);
        let values = spectrum(&w);
        let ratio = values[0] / values[1..].iter().map(|s| s * s).sum::<f64>().sqrt();
        close(of(&w), 1.0 + 1.0 / ratio.powi(2), 1e-12);
        // A thin product has at most the stable rank of its inner size.
        assert!(of(&gaussian(16, 3, seed).matmul(&gaussian(3, 12, seed + 50))) <= 3.0);
    }
    let values: Vec<f64> = (0..12).map(|k| 1.0 / (1.0 + k as f64)).collect();
    let trained = with_spectrum(16, 12, &values, 4);
    let top = power(&trained, None, &TopOptions { tolerance: 1e-12, products: 4000 });
    let left: Vec<f64> =
        (0..16).map(|i| (0..12).map(|j| trained.get(i, j) * top.right[j]).sum::<f64>() / top.value).collect();
    let raised = Matrix::from_fn(16, 12, |i, j| trained.get(i, j) + 0.1 * left[i] * top.right[j]);
    let noise = gaussian(16, 12, 77);
    let noisy = Matrix::from_fn(16, 12, |i, j| trained.get(i, j) + 0.05 * noise.get(i, j));
    assert!(of(&raised) < of(&trained) && of(&trained) < of(&noisy));
    let square = gaussian(256, 256, 6);
    let found = lanczos(&square, None, &TopOptions::default()).unwrap();
    let expected = 256.0 * 256.0 / (2.0 * 16.0f64).powi(2);
    close(stable_rank_of(&square, found.value), expected, 0.06);
}
