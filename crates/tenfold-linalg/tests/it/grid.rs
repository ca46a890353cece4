//! Laws of grids, and input that cannot be rounded.

use tenfold_linalg::quant::{Affine, Clip, GptqOptions, Grid, Nf4, Range, gptq, rtn};
use tenfold_linalg::{Error, Matrix};

use crate::quant::{affine, cost, moment};
use crate::sample::Random;

#[test]
fn refits_and_searches_lower_the_cost() {
    let mut random = Random(12);
    let (w, h) = (random.matrix(64, 256), moment(&mut random, 256, 512));
    let importance: Vec<f64> = (0..256).map(|i| h.get(i, i)).collect();
    for bits in [2, 3, 4] {
        for range in [Range::Asymmetric, Range::Symmetric, Range::Absmax, Range::Full] {
            let grid = affine(bits, 64, range);
            let searched = Affine { clip: Some(Clip::default()), ..grid };
            let loss = |grid: &Affine, refits| {
                gptq(&w, &h, grid, &GptqOptions { refits, ..GptqOptions::default() }).unwrap().loss
            };
            assert!(loss(&grid, 3) < loss(&grid, 0), "{bits} {range:?}");
            // Within each group the whole range is one of those tried.
            let (whole, best) =
                (rtn(&w, &grid, None).unwrap(), rtn(&w, &searched, Some(&importance)).unwrap());
            for r in 0..64 {
                for group in 0..4 {
                    let error = |q: &Matrix| -> f64 {
                        (group * 64..(group + 1) * 64)
                            .map(|c| importance[c] * (w.get(r, c) - q.get(r, c)).powi(2))
                            .sum()
                    };
                    assert!(error(&best.values) <= error(&whole.values) * (1.0 + 1e-12));
                }
            }
        }
    }
}

#[test]
fn more_bits_lose_less_and_a_grid_that_holds_the_weights_nothing() {
    let mut random = Random(13);
    let (w, h) = (random.matrix(40, 128), moment(&mut random, 128, 400));
    for range in [Range::Asymmetric, Range::Symmetric, Range::Absmax, Range::Full] {
        let losses: Vec<f64> = (1..=8)
            .map(|bits| gptq(&w, &h, &affine(bits, 32, range), &GptqOptions::default()).unwrap().loss)
            .collect();
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0]), "{range:?} {losses:?}");
    }
    // Every group has both ends of the range.
    let on_grid = Matrix::from_fn(10, 64, |r, c| match c % 16 {
        0 => 3.75,
        1 => -3.75,
        _ => 0.5 * ((r * 7 + c * 5) % 15) as f64 - 3.5,
    });
    let got = gptq(&on_grid, &Matrix::identity(64), &Affine::new(4, 16), &GptqOptions::default()).unwrap();
    let plain = rtn(&on_grid, &Affine::new(4, 16), None).unwrap();
    assert_eq!(got.codes, plain.codes);
    let given = plain.values;
    let (h, grid) = (moment(&mut random, 64, 100), Affine::new(4, 16));
    let again = gptq(&given, &h, &grid, &GptqOptions::default()).unwrap();
    assert!(again.loss < 1e-18 * cost(&given, &Matrix::zeros(10, 64), &h), "{}", again.loss);
}

#[test]
fn dead_and_singular_inputs_are_handled() {
    let mut random = Random(16);
    let w = random.matrix(9, 40);
    let mut x = random.matrix(6, 40);
    x.data_mut().chunks_exact_mut(40).for_each(|row| row[7] = 0.0);
    let h = x.transpose().matmul(&x);
    for damping in [0.0, 0.01] {
        let got =
            gptq(&w, &h, &Affine::new(4, 8), &GptqOptions { damping, ..GptqOptions::default() }).unwrap();
        assert!(got.values.data().iter().all(|v| v.is_finite()) && got.loss.is_finite());
        assert!(got.damping >= damping && got.damping < 1.0, "{}", got.damping);
        assert!((0..9).all(|r| got.values.get(r, 7) == 0.0));
    }
    // Sums in f32 make a moment that is not quite one.
    let rounded = Matrix::from_f32(&h.to_f32(), 40, 40).unwrap();
    let got = gptq(&w, &rounded, &Affine::new(2, 8), &GptqOptions { damping: 0.0, ..GptqOptions::default() });
    assert!(got.unwrap().values.data().iter().all(|v| v.is_finite()));
    // Nothing was ever seen: plain rounding.
    let blind = gptq(&w, &Matrix::zeros(40, 40), &Affine::new(4, 8), &GptqOptions::default()).unwrap();
    assert_eq!(blind, rtn(&w, &Affine::new(4, 8), None).unwrap());
}

#[test]
fn bad_input_is_a_typed_error() {
    let (w, h) = (Matrix::from_fn(3, 4, |r, c| (r + c) as f64), Matrix::identity(4));
    let grid = Affine::new(4, 2);
    let run = |w: &Matrix, h: &Matrix| gptq(w, h, &grid, &GptqOptions::default()).unwrap_err();
    let with = |m: &Matrix, at: usize, value: f64| {
        let mut m = m.clone();
        m.data_mut()[at] = value;
        m
    };
    assert!(matches!(run(&with(&w, 5, f64::NAN), &h), Error::NonFinite { row: 1, col: 1, .. }));
    assert!(matches!(run(&w, &with(&h, 2, f64::INFINITY)), Error::NonFinite { row: 0, col: 2, .. }));
    assert_eq!(run(&w, &with(&h, 5, -1.0)), Error::BadImportance { col: 1, value: -1.0 });
    assert!(matches!(
        run(&w, &Matrix::identity(3)),
        Error::ShapeMismatch { expected_rows: 4, got_rows: 3, .. }
    ));
    assert!(matches!(run(&Matrix::zeros(0, 4), &h), Error::EmptyMatrix { .. }));
    for bad in [Affine::new(0, 2), Affine::new(9, 2), Affine::new(4, 0)] {
        assert!(matches!(rtn(&w, &bad, None), Err(Error::BadGrid { .. })));
    }
    for (damping, block) in [(-1.0, 128), (f64::NAN, 128), (0.01, 0)] {
        let options = GptqOptions { damping, block, ..GptqOptions::default() };
        assert!(matches!(gptq(&w, &h, &grid, &options), Err(Error::BadGrid { .. })));
    }
    let negative = rtn(&w, &grid, Some(&[1.0, -2.0, 0.0, 0.0]));
    assert_eq!(negative.unwrap_err(), Error::BadImportance { col: 1, value: -2.0 });
    assert!(matches!(rtn(&w, &grid, Some(&[1.0])), Err(Error::BufferLength { expected: 4, got: 1, .. })));
}

#[test]
fn scaled_weights_give_scaled_values_and_rounded_ones_stay() {
    let mut random = Random(17);
    let w = random.matrix(8, 50);
    for range in [Range::Asymmetric, Range::Symmetric, Range::Absmax, Range::Full] {
        for clip in [None, Some(Clip::default())] {
            let grid = Affine { clip, ..affine(3, 16, range) };
            let got = rtn(&w, &grid, None).unwrap();
            for factor in [0.125, 64.0] {
                let scaled = Matrix::from_fn(8, 50, |r, c| factor * w.get(r, c));
                let other = rtn(&scaled, &grid, None).unwrap();
                assert_eq!(other.codes, got.codes);
                let back = Matrix::from_fn(8, 50, |r, c| other.values.get(r, c) / factor);
                assert_eq!(back, got.values);
            }
            let cells = got.groups.iter().map(|group| grid.cell(group, 0)).collect::<Vec<_>>();
            for (i, &value) in got.values.data().iter().enumerate() {
                let cell = &cells[i / 50 * got.groups_per_row() + i % 50 / 16];
                assert_eq!(grid.code(cell, grid.nearest(cell, value)), got.codes[i]);
            }
        }
    }
    let turned = Matrix::from_fn(8, 50, |r, c| -w.get(r, c));
    let grid = affine(3, 16, Range::Full);
    let (one, other) = (rtn(&w, &grid, None).unwrap(), rtn(&turned, &grid, None).unwrap());
    assert_eq!(one.codes, other.codes);
    assert!(one.groups.iter().zip(&other.groups).all(|(a, b)| a.scale == -b.scale));
    let nf4 = rtn(&w, &Nf4 { block: 16 }, None).unwrap();
    assert_eq!(rtn(&nf4.values, &Nf4 { block: 16 }, None).unwrap(), nf4);
    assert!(nf4.codes.iter().all(|code| (0..16).contains(code)));
}

#[test]
fn full_range_grids_hold_the_largest_weight_exactly() {
    let mut random = Random(18);
    let w = random.matrix(20, 64);
    for bits in 1..=8 {
        let got = rtn(&w, &affine(bits, 32, Range::Full), None).unwrap();
        for r in 0..20 {
            for group in [0..32, 32..64] {
                let c = group.max_by(|&a, &b| w.get(r, a).abs().total_cmp(&w.get(r, b).abs())).unwrap();
                assert_eq!((got.values.get(r, c), got.codes[r * 64 + c]), (w.get(r, c), 0));
            }
        }
    }
}
