//! Laws of rounding with and without feedback, and values from NumPy.

use serde_json::Value;
use tenfold_linalg::Matrix;
use tenfold_linalg::quant::{
    Affine, AffineGroup, Clip, GptqOptions, Grid, Order, Quantized, Range, gptq, rtn,
};

use crate::sample::Random;

/// Inputs that are correlated and have four channels of large magnitude, and their second moment.
pub(crate) fn moment(random: &mut Random, cols: usize, samples: usize) -> Matrix {
    let mix = random.matrix(8, cols);
    let mut x = random.matrix(samples, 8).matmul(&mix);
    for row in x.data_mut().chunks_exact_mut(cols) {
        row.iter_mut().for_each(|v| *v += 0.7 * random.normal());
        for outlier in [3, 17, 40, 77] {
            row[outlier % cols] *= 12.0;
        }
    }
    x.transpose().matmul(&x)
}

/// tr((w - q) h (w - q)^T).
pub(crate) fn cost(w: &Matrix, q: &Matrix, h: &Matrix) -> f64 {
    let missed = w.subtract(q);
    missed.matmul(h).data().iter().zip(missed.data()).map(|(a, b)| a * b).sum()
}

pub(crate) fn affine(bits: u32, group: usize, range: Range) -> Affine {
    Affine { range, ..Affine::new(bits, group) }
}

fn cases() -> Vec<Value> {
    let path = format!("{}/tests/golden/quant/cases.json", env!("CARGO_MANIFEST_DIR"));
    let value: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    value["cases"].as_array().unwrap().clone()
}

#[test]
fn codes_and_losses_are_those_of_the_explicit_formulas() {
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let list = |key: &str| -> Vec<f64> {
            case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
        };
        let (rows, cols) = (size("rows"), size("cols"));
        let w = Matrix::new(rows, cols, list("w")).unwrap();
        let h = Matrix::new(cols, cols, list("h")).unwrap();
        let range = match case["kind"].as_str().unwrap() {
            "asymmetric" => Range::Asymmetric,
            "symmetric" => Range::Symmetric,
            _ => Range::Full,
        };
        let grid = affine(size("bits") as u32, size("span"), range);
        for block in [1, 5, 128] {
            let options = GptqOptions {
                order: if case["act_order"] == true { Order::Falling } else { Order::Stored },
                fixed_groups: case["fixed"] == true,
                damping: case["damping"].as_f64().unwrap(),
                block,
                ..GptqOptions::default()
            };
            let got = gptq(&w, &h, &grid, &options).unwrap();
            let codes: Vec<f64> = got.codes.iter().map(|&code| f64::from(code)).collect();
            assert_eq!(codes, list("codes"), "{name}, blocks of {block}");
            let values = Matrix::new(rows, cols, list("values")).unwrap();
            assert!(got.values.subtract(&values).max_abs() < 1e-9, "{name}");
            let loss = case["loss"].as_f64().unwrap();
            assert!((got.loss - loss).abs() < 1e-9 * loss, "{name}: {} {loss}", got.loss);
        }
    }
}

/// GPTQ as LDLQ: H = U D U^T with a unit upper U, and column k rounds what it is plus the errors of the columns before it
/// times column k of U.
fn ldlq(w: &Matrix, h: &Matrix, damping: f64, plain: &Quantized<AffineGroup>, grid: &Affine) -> Vec<i16> {
    let n = w.cols();
    let mean = (0..n).map(|i| h.get(i, i)).sum::<f64>() / n as f64;
    let mut rest = Matrix::from_fn(n, n, |i, j| h.get(i, j) + if i == j { damping * mean } else { 0.0 });
    let mut upper = Matrix::zeros(n, n);
    for k in (0..n).rev() {
        let pivot = rest.get(k, k);
        for i in 0..k {
            upper.data_mut()[i * n + k] = rest.get(i, k) / pivot;
        }
        for i in 0..k {
            for j in 0..k {
                let taken = rest.get(i, k) * rest.get(j, k) / pivot;
                rest.data_mut()[i * n + j] -= taken;
            }
        }
    }
    let groups = plain.groups_per_row();
    let mut codes = vec![0; w.rows() * n];
    for r in 0..w.rows() {
        let mut missed = vec![0.0; n];
        for k in 0..n {
            let target = w.get(r, k) + (0..k).map(|j| missed[j] * upper.get(j, k)).sum::<f64>();
            let cell = grid.cell(&plain.groups[r * groups + plain.group_of[k]], 0);
            let level = grid.nearest(&cell, target);
            missed[k] = w.get(r, k) - grid.value(&cell, level);
            codes[r * n + k] = grid.code(&cell, level);
        }
    }
    codes
}

#[test]
fn with_fixed_groups_it_is_ldlq() {
    let mut random = Random(5);
    for (bits, range) in [(2, Range::Full), (3, Range::Asymmetric), (4, Range::Symmetric)] {
        let (w, h) = (random.matrix(13, 80), moment(&mut random, 80, 200));
        let grid = affine(bits, 16, range);
        let plain = rtn(&w, &grid, None).unwrap();
        let options = GptqOptions { fixed_groups: true, block: 24, ..GptqOptions::default() };
        let got = gptq(&w, &h, &grid, &options).unwrap();
        assert_eq!(got.groups, plain.groups);
        assert_eq!(got.codes, ldlq(&w, &h, 0.01, &plain, &grid));
    }
}

#[test]
fn blocks_and_threads_change_nothing() {
    let mut random = Random(6);
    let (w, h) = (random.matrix(261, 300), moment(&mut random, 300, 500));
    for (span, order) in
        [(32, Order::Stored), (48, Order::Grouped), (64, Order::Falling), (usize::MAX, Order::Falling)]
    {
        let grid = Affine { clip: Some(Clip::default()), half: true, ..Affine::new(3, span) };
        let run = |block, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = GptqOptions { order, block, guard: true, ..GptqOptions::default() };
            pool.install(|| gptq(&w, &h, &grid, &options).unwrap())
        };
        let one = run(128, 1);
        assert_eq!(one, run(128, 2), "{span} {order:?}");
        assert_eq!(one, run(128, 3), "{span} {order:?}");
        for block in [1, 7, 50, 1000] {
            assert_eq!(one.codes, run(block, 2).codes, "{span} {order:?}, blocks of {block}");
        }
    }
}

#[test]
fn the_reported_loss_is_half_the_damped_cost() {
    let mut random = Random(7);
    let (w, h) = (random.matrix(20, 90), moment(&mut random, 90, 300));
    for order in [Order::Stored, Order::Falling, Order::Grouped] {
        let options = GptqOptions { order, damping: 0.03, refits: 2, polish: 2, ..GptqOptions::default() };
        let got = gptq(&w, &h, &Affine::new(3, 32), &options).unwrap();
        let mean = (0..90).map(|i| h.get(i, i)).sum::<f64>() / 90.0;
        let damped = Matrix::from_fn(90, 90, |i, j| h.get(i, j) + if i == j { 0.03 * mean } else { 0.0 });
        let want = 0.5 * cost(&w, &got.values, &damped);
        assert!((got.loss - want).abs() < 1e-9 * want, "{order:?}: {} {want}", got.loss);
        assert_eq!((got.damping, got.guarded), (0.03, 0));
    }
}

#[test]
fn without_correlations_it_is_plain_rounding() {
    let mut random = Random(8);
    let w = random.matrix(17, 70);
    let grid = Affine::new(3, 32);
    let plain = rtn(&w, &grid, None).unwrap();
    let uneven = Matrix::from_fn(70, 70, |i, j| if i == j { 1.0 + i as f64 } else { 0.0 });
    let even = Matrix::from_fn(70, 70, |i, j| if i == j { 4.0 } else { 0.0 });
    for h in [uneven, even] {
        for order in [Order::Stored, Order::Grouped] {
            let got = gptq(&w, &h, &grid, &GptqOptions { order, ..GptqOptions::default() }).unwrap();
            assert_eq!((&got.codes, &got.groups), (&plain.codes, &plain.groups), "{order:?}");
        }
    }
}

#[test]
fn the_scale_of_the_moment_and_the_order_of_rows_do_not_matter() {
    let mut random = Random(9);
    let (w, h) = (random.matrix(24, 64), moment(&mut random, 64, 20));
    let grid = Affine { clip: Some(Clip::default()), ..Affine::new(2, 16) };
    let options = GptqOptions { order: Order::Falling, ..GptqOptions::default() };
    let got = gptq(&w, &h, &grid, &options).unwrap();
    for factor in [1e-9, 0.25, 1e12] {
        let scaled = Matrix::from_fn(64, 64, |i, j| factor * h.get(i, j));
        assert_eq!(got.codes, gptq(&w, &scaled, &grid, &options).unwrap().codes, "{factor}");
    }
    let turned = Matrix::from_fn(24, 64, |r, c| w.get(23 - r, c));
    let other = gptq(&turned, &h, &grid, &options).unwrap();
    let rows: Vec<_> = got.codes.chunks(64).rev().flatten().copied().collect();
    assert_eq!(other.codes, rows);
    let alone = Matrix::from_fn(1, 64, |_, c| w.get(5, c));
    assert_eq!(gptq(&alone, &h, &grid, &options).unwrap().codes, got.codes[5 * 64..6 * 64]);
}

#[test]
fn falling_order_is_stored_order_of_permuted_columns() {
    let mut random = Random(10);
    let (w, h) = (random.matrix(12, 60), moment(&mut random, 60, 150));
    for (grid, fixed) in [(Affine::new(3, 16), false), (Affine::new(4, usize::MAX), true)] {
        let falling = GptqOptions { order: Order::Falling, fixed_groups: fixed, ..GptqOptions::default() };
        let got = gptq(&w, &h, &grid, &falling).unwrap();
        let order = got.order.clone();
        assert!(order.windows(2).all(|pair| h.get(pair[0], pair[0]) >= h.get(pair[1], pair[1])));
        let turned = Matrix::from_fn(12, 60, |r, c| w.get(r, order[c]));
        let moment = Matrix::from_fn(60, 60, |i, j| h.get(order[i], order[j]));
        let plain = GptqOptions { fixed_groups: fixed, ..GptqOptions::default() };
        let other = gptq(&turned, &moment, &grid, &plain).unwrap();
        for r in 0..12 {
            for c in 0..60 {
                assert_eq!(got.codes[r * 60 + order[c]], other.codes[r * 60 + c]);
            }
        }
        assert!((0..60).all(|c| got.group_of[order[c]] == other.group_of[c]));
        assert!((got.loss - other.loss).abs() < 1e-9 * got.loss);
    }
}

#[test]
fn feedback_beats_plain_rounding_on_correlated_inputs() {
    let mut random = Random(11);
    let mut sums = [[0.0; 3]; 3];
    for _ in 0..20 {
        let (w, h) = (random.matrix(32, 256), moment(&mut random, 256, 512));
        for (at, bits) in [2, 3, 4].into_iter().enumerate() {
            let grid = Affine::new(bits, 128);
            let plain = cost(&w, &rtn(&w, &grid, None).unwrap().values, &h);
            for (which, order) in [Order::Stored, Order::Grouped, Order::Falling].into_iter().enumerate() {
                let got = gptq(&w, &h, &grid, &GptqOptions { order, ..GptqOptions::default() }).unwrap();
                let ratio = cost(&w, &got.values, &h) / plain;
                assert!(ratio < 1.0, "{bits} bit, {order:?}: {ratio}");
                sums[at][which] += ratio / 20.0;
            }
        }
    }
    for [stored, grouped, falling] in sums {
        assert!(stored < 0.45 && grouped < stored && falling < stored, "{sums:?}");
    }
}

#[test]
fn polishing_never_raises_the_loss_and_ends_where_no_code_can_move() {
    let mut random = Random(19);
    let (w, h) = (random.matrix(70, 200), moment(&mut random, 200, 300));
    for bits in [2, 3, 4] {
        let grid = Affine { clip: Some(Clip::default()), ..Affine::new(bits, 64) };
        let run = |polish, threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = GptqOptions { order: Order::Grouped, polish, ..GptqOptions::default() };
            pool.install(|| gptq(&w, &h, &grid, &options).unwrap())
        };
        let losses = [0, 1, 2, 4, 500].map(|polish| run(polish, 2).loss);
        assert!(losses.windows(2).all(|pair| pair[1] < pair[0] * (1.0 + 1e-12)), "{bits} {losses:?}");
        assert!(losses[2] < 0.98 * losses[0], "{bits} {losses:?}");
        let done = run(500, 1);
        assert_eq!(done, run(500, 3));
        // No neighbor of any code is better.
        let mean = (0..200).map(|i| h.get(i, i)).sum::<f64>() / 200.0;
        let damped = Matrix::from_fn(200, 200, |i, j| h.get(i, j) + if i == j { 0.01 * mean } else { 0.0 });
        let slopes = w.subtract(&done.values).matmul(&damped);
        for r in 0..70 {
            for c in 0..200 {
                let group = &done.groups[r * done.groups_per_row() + done.group_of[c]];
                let (cell, value) = (grid.cell(group, 0), done.values.get(r, c));
                for step in [-1.0, 1.0] {
                    let other = grid.value(&cell, grid.nearest(&cell, value + step * group.scale));
                    let t = other - value;
                    let change = t * (t * damped.get(c, c) - 2.0 * slopes.get(r, c));
                    assert!(change > -1e-9 * done.loss, "{bits} at {r}, {c}: {change}");
                }
            }
        }
    }
}

#[test]
fn strong_damping_tends_to_plain_rounding() {
    let mut random = Random(14);
    let (w, h) = (random.matrix(16, 64), moment(&mut random, 64, 200));
    let grid = Affine::new(3, 32);
    let plain = rtn(&w, &grid, None).unwrap();
    let differing = |damping| {
        let got = gptq(&w, &h, &grid, &GptqOptions { damping, ..GptqOptions::default() }).unwrap();
        got.codes.iter().zip(&plain.codes).filter(|(a, b)| a != b).count()
    };
    assert!(differing(0.01) > differing(10.0) && differing(10.0) > differing(900.0));
    assert_eq!(differing(1e9), 0);
}

#[test]
fn the_guard_never_costs_more_than_plain_rounding() {
    let mut random = Random(15);
    // Weights on a coarse grid: plain rounding is exact in most rows.
    let w = Matrix::from_fn(30, 48, |r, c| match (r % 2, c % 16) {
        (0, 0) => 1.5,
        (0, 1) => -1.5,
        (0, _) => ((r + c * c) % 3) as f64 - 0.5,
        _ => random.normal(),
    });
    let h = moment(&mut random, 48, 30);
    let grid = Affine::new(2, 16);
    for order in [Order::Stored, Order::Grouped, Order::Falling] {
        let options = GptqOptions { order, fixed_groups: true, guard: true, ..GptqOptions::default() };
        let got = gptq(&w, &h, &grid, &options).unwrap();
        let plain = rtn(&w, &grid, None).unwrap();
        for r in 0..30 {
            let row = |m: &Matrix| Matrix::new(1, 48, m.row(r).to_vec()).unwrap();
            let (ours, other) =
                (cost(&row(&w), &row(&got.values), &h), cost(&row(&w), &row(&plain.values), &h));
            assert!(ours <= other * (1.0 + 1e-9), "{order:?} {r}: {ours} {other}");
        }
    }
}
