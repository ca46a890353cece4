//! Hadamard transforms, trellis codes, and repair of what rounding missed.

use tenfold_linalg::quant::{
    Affine, Clip, GptqOptions, Hadamard, Order, Range, Trellis, TrellisOptions, gptq, repair, rtn,
    trellis_ldlq,
};
use tenfold_linalg::{Error, Matrix, Metric, svd_in_metric};

use crate::quant::{cost, moment};
use crate::sample::Random;

#[test]
fn hadamard_transforms_are_orthogonal() {
    for n in [1, 2, 3, 8, 12, 20, 24, 28, 36, 40, 56, 64, 96, 100, 172, 448] {
        let turn = Hadamard::new(n, 7).unwrap();
        let turned = turn.rows(&Matrix::identity(n));
        let square = turned.matmul(&turned.transpose());
        assert!(square.subtract(&Matrix::identity(n)).max_abs() < 1e-12, "{n}");
        let entry = (n as f64).sqrt().recip();
        let hadamard = !matches!(n, 3 | 36 | 100 | 172);
        let even =
            |v: &f64| if hadamard { (v.abs() - entry).abs() < 1e-12 } else { v.abs() < 1.4143 * entry };
        assert!(turned.data().iter().all(even), "{n}");
        assert!(turn.rows_undone(&turned).subtract(&Matrix::identity(n)).max_abs() < 1e-12, "{n}");
    }
    for n in [0, 2049, 8198] {
        assert!(matches!(Hadamard::new(n, 7), Err(Error::BadGrid { .. })), "{n}");
    }
}

#[test]
fn turned_weights_act_on_turned_inputs_as_before_and_look_alike() {
    let mut random = Random(31);
    let (rows, cols) = (96, 224);
    let mut w = random.matrix(rows, cols);
    // A few huge entries.
    for at in [5, 777, 20_000] {
        w.data_mut()[at] = 80.0;
    }
    let (left, right) = (Hadamard::new(rows, 1).unwrap(), Hadamard::new(cols, 2).unwrap());
    let turned = left.rows(&right.rows(&w).transpose()).transpose();
    assert!((turned.frobenius() - w.frobenius()).abs() < 1e-9);
    let top = |m: &Matrix| svd_in_metric(m, &Metric::Weights).unwrap().spectrum()[0];
    assert!((top(&turned) - top(&w)).abs() < 1e-8 * top(&w));
    let incoherence = |m: &Matrix| m.max_abs() * ((rows * cols) as f64).sqrt() / m.frobenius();
    assert!(incoherence(&w) > 40.0 && incoherence(&turned) < 6.0, "{}", incoherence(&turned));
    let x: Vec<f64> = (0..cols).map(|_| random.normal()).collect();
    let mut at = x.clone();
    right.apply(&mut at);
    let mut y: Vec<f64> =
        (0..rows).map(|r| turned.row(r).iter().zip(&at).map(|(a, b)| a * b).sum()).collect();
    left.undo(&mut y);
    for (r, y) in y.iter().enumerate() {
        let want: f64 = w.row(r).iter().zip(&x).map(|(a, b)| a * b).sum();
        assert!((y - want).abs() < 1e-9, "{r}");
    }
    let h = moment(&mut random, cols, 300);
    let (before, after) = (cost(&w, &Matrix::zeros(rows, cols), &h), {
        let turned = right.rows(&w);
        cost(&turned, &Matrix::zeros(rows, cols), &right.moment(&h))
    });
    assert!((before - after).abs() < 1e-9 * before);
}

/// Mean squared error of a code on normal numbers, in sequences of 256.
fn distortion(trellis: &Trellis, random: &mut Random, count: usize) -> f64 {
    let share = (1.0 - (-2.0 * f64::from(trellis.bits())).exp2()).sqrt();
    let mut sum = 0.0;
    for _ in 0..count {
        let x: Vec<f64> = (0..256).map(|_| random.normal()).collect();
        let scaled: Vec<f64> = x.iter().map(|v| v / share).collect();
        let symbols = trellis.encode(&scaled).unwrap();
        assert_eq!(symbols.len(), x.len());
        assert!(symbols.iter().all(|&symbol| u32::from(symbol) < 1 << trellis.bits()));
        let values = trellis.decode(&symbols);
        sum += x.iter().zip(values).map(|(x, v)| (x - v * share).powi(2)).sum::<f64>();
    }
    sum / (256 * count) as f64
}

#[test]
fn distortion_falls_with_the_state_and_stays_above_the_limit() {
    let mut random = Random(32);
    let found =
        [6, 8, 10, 12].map(|state| distortion(&Trellis::normal(state, 2, 5).unwrap(), &mut random, 40));
    assert!(found.windows(2).all(|pair| pair[1] < pair[0]), "{found:?}");
    // The best scalar code has .1175, rate-distortion theory .0625.
    assert!(found[1] < 0.1 && found[3] < 0.075 && found[3] > 0.0625, "{found:?}");
    // Even values are worse than normal ones for normal numbers, and better than a scalar code.
    let even =
        |state: u32| ((state.wrapping_mul(0x9e37_79b1) >> 8) as f32 / 8_388_608.0 - 1.0) * 3.0f32.sqrt();
    let found = distortion(&Trellis::with_values(12, 2, even).unwrap(), &mut random, 40);
    assert!(found < 0.1 && found > 0.0625, "{found}");
    for (bits, limit) in [(1, 0.25), (3, 1.0 / 64.0)] {
        let found = distortion(&Trellis::normal(11, bits, 5).unwrap(), &mut random, 20);
        assert!(found > limit && found < 1.35 * limit, "{bits}: {found}");
    }
}

#[test]
fn scalar_codes_have_their_published_distortion() {
    let mut random = Random(33);
    let w = random.matrix(64, 4096);
    let error = |grid: &Affine| {
        let q = rtn(&w, grid, None).unwrap().values;
        w.subtract(&q).frobenius().powi(2) / w.data().len() as f64
    };
    for (group, want) in [(128, 0.256), (64, 0.210), (32, 0.166), (16, 0.123)] {
        let found = error(&Affine::new(2, group));
        assert!((found / want - 1.0).abs() < 0.02, "{group}: {found} {want}");
    }
    for (group, want) in [(128, 0.136), (64, 0.127), (32, 0.112), (16, 0.091)] {
        let clip = Some(Clip { steps: 26, least: 0.3 });
        let found = error(&Affine { clip, ..Affine::new(2, group) });
        assert!(found < 1.02 * want, "{group}: {found} {want}");
    }
    // One scale for a whole row: the best uniform code.
    let clip = Some(Clip { steps: 60, least: 0.2 });
    let uniform = error(&Affine { clip, range: Range::Symmetric, ..Affine::new(2, usize::MAX) });
    assert!(uniform > 0.1175, "{uniform}");
}

#[test]
fn shapes_that_no_trellis_holds_are_refused() {
    for (state, bits) in [(2, 2), (17, 2), (8, 0), (8, 5)] {
        assert!(matches!(Trellis::normal(state, bits, 1), Err(Error::BadGrid { .. })));
    }
    let trellis = Trellis::normal(8, 2, 3).unwrap();
    assert!(matches!(trellis.encode(&[]), Err(Error::BadGrid { .. })));
    let (w, h) = (Matrix::identity(16), Matrix::identity(16));
    let small = TrellisOptions { tile: (0, 2), ..TrellisOptions::default() };
    assert!(matches!(trellis_ldlq(&w, &h, &trellis, &small), Err(Error::BadGrid { .. })));
}

/// Fewer weights than a window holds: it runs around them more than once, and the best sequence is found among all.
#[test]
fn short_sequences_are_coded_as_well_as_they_can_be() {
    let mut random = Random(37);
    let trellis = Trellis::normal(8, 2, 3).unwrap();
    for count in 1..4 {
        let x: Vec<f64> = (0..count).map(|_| random.normal()).collect();
        let error = |symbols: &[u8]| {
            trellis.decode(symbols).iter().zip(&x).map(|(value, x)| (value - x).powi(2)).sum::<f64>()
        };
        let found = trellis.encode(&x).unwrap();
        assert_eq!(found.len(), count);
        for other in 0..1u32 << (2 * count) {
            let other: Vec<u8> = (0..count).map(|at| (other >> (2 * at)) as u8 & 3).collect();
            assert!(error(&found) <= error(&other), "{x:?}");
        }
        // A sequence that repeats itself has the values of a longer one.
        let twice = [found.as_slice(), &found].concat();
        assert_eq!(trellis.decode(&twice)[count..], trellis.decode(&found));
    }
}

#[test]
fn trellis_with_feedback_is_the_best_of_two_bits() {
    let mut random = Random(34);
    let (w, h) = (random.matrix(80, 128), moment(&mut random, 128, 300));
    let turn = Hadamard::new(128, 3).unwrap();
    let (turned, h2) = (turn.rows(&w), turn.moment(&h));
    let trellis = Trellis::normal(10, 2, 9).unwrap();
    let coded = trellis_ldlq(&turned, &h2, &trellis, &TrellisOptions::default()).unwrap();
    let mean = (0..128).map(|i| h2.get(i, i)).sum::<f64>() / 128.0;
    let damped = Matrix::from_fn(128, 128, |i, j| h2.get(i, j) + if i == j { 0.01 * mean } else { 0.0 });
    let want = 0.5 * cost(&turned, &coded.values, &damped);
    assert!((coded.loss - want).abs() < 1e-9 * want, "{} {want}", coded.loss);
    assert_eq!(coded.symbols.len(), w.data().len());
    // The symbols and scales say everything.
    for tile in [(80, 1), (32, 8)] {
        let options = TrellisOptions { tile, ..TrellisOptions::default() };
        let coded = trellis_ldlq(&turned, &h2, &trellis, &options).unwrap();
        let mut rest = coded.symbols.as_slice();
        for from in (0..128).step_by(tile.1) {
            for top in (0..80).step_by(tile.0) {
                let here = (80 - top).min(tile.0) * tile.1;
                for (at, value) in trellis.decode(&rest[..here]).into_iter().enumerate() {
                    let (r, c) = (top + at / tile.1, from + at % tile.1);
                    assert_eq!(coded.values.get(r, c), value * coded.scales[r]);
                }
                rest = &rest[here..];
            }
        }
        assert!(rest.is_empty());
    }
    // Factors fitted again cost less, by what the loss says, also where they are stored in half precision.
    for half in [false, true] {
        let options = |refit| TrellisOptions { refit, half, ..TrellisOptions::default() };
        let [first, fitted] =
            [false, true].map(|refit| trellis_ldlq(&turned, &h2, &trellis, &options(refit)).unwrap());
        assert!(fitted.loss < first.loss && fitted.symbols == first.symbols);
        let want = 0.5 * cost(&turned, &fitted.values, &damped);
        assert!((fitted.loss - want).abs() < 1e-9 * want, "{} {want}", fitted.loss);
        assert!(!half || fitted.scales.iter().all(|&scale| tenfold_linalg::quant::half(scale) == scale));
    }
    let without =
        trellis_ldlq(&turned, &Matrix::identity(128), &trellis, &TrellisOptions::default()).unwrap();
    let options = GptqOptions { order: Order::Grouped, ..GptqOptions::default() };
    let grid = Affine { clip: Some(Clip::default()), ..Affine::new(2, 64) };
    let plain = gptq(&w, &h, &grid, &options).unwrap();
    let ours = cost(&turned, &coded.values, &h2);
    assert!(ours < 0.8 * cost(&turned, &without.values, &h2));
    assert!(ours < cost(&w, &plain.values, &h), "{ours} {}", cost(&w, &plain.values, &h));
    // Odd sizes, dead columns and nothing seen.
    let odd = random.matrix(19, 37);
    let mut h = moment(&mut random, 37, 60);
    for i in 0..37 {
        h.data_mut()[5 * 37 + i] = 0.0;
        h.data_mut()[i * 37 + 5] = 0.0;
    }
    for h in [h, Matrix::zeros(37, 37)] {
        let coded = trellis_ldlq(&odd, &h, &trellis, &TrellisOptions::default()).unwrap();
        assert!(coded.values.data().iter().all(|v| v.is_finite()) && coded.symbols.len() == 19 * 37);
    }
}

#[test]
fn threads_change_no_bit_of_a_trellis_code() {
    let mut random = Random(36);
    let (w, h) = (random.matrix(300, 280), moment(&mut random, 280, 400));
    let trellis = Trellis::normal(6, 2, 3).unwrap();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trellis_ldlq(&w, &h, &trellis, &TrellisOptions::default()).unwrap())
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn repair_is_the_best_of_its_rank_in_the_metric() {
    let mut random = Random(35);
    let (w, h) = (random.matrix(20, 32), moment(&mut random, 32, 80));
    let q = rtn(&w, &Affine::new(2, 16), None).unwrap().values;
    let left = |up: &Matrix, down: &Matrix, h: &Matrix| {
        let product = up.matmul(down);
        let whole = Matrix::from_fn(20, 32, |r, c| q.get(r, c) + product.get(r, c));
        cost(&w, &whole, h)
    };
    let plain = svd_in_metric(&w.subtract(&q), &Metric::Weights).unwrap().truncate(4);
    let even = repair(&w, &q, &Matrix::identity(32), 4).unwrap();
    let identity = Matrix::identity(32);
    let (a, b) = (left(&plain.up, &plain.down, &identity), left(&even.up, &even.down, &identity));
    assert!((a - b).abs() < 1e-9 * a);
    let fitted = repair(&w, &q, &h, 4).unwrap();
    let best = left(&fitted.up, &fitted.down, &h);
    assert!(best < left(&plain.up, &plain.down, &h));
    for _ in 0..20 {
        // Another matrix of the rank: the same directions of outputs, moved a little, and their best partners.
        let up = Matrix::from_fn(20, 4, |r, c| fitted.up.get(r, c) + 0.1 * random.normal());
        assert!(best <= left(&up, &fitted.down, &h));
    }
    let mut last = cost(&w, &q, &h);
    for rank in 1..=20 {
        let step = repair(&w, &q, &h, rank).unwrap();
        let now = left(&step.up, &step.down, &h);
        assert!(now <= last + 1e-9);
        last = now;
    }
    assert!(last < 1e-9);
    assert!(repair(&w, &q, &Matrix::zeros(32, 32), 2).is_ok());
    assert!(matches!(repair(&w, &Matrix::zeros(2, 2), &h, 2), Err(Error::ShapeMismatch { .. })));
}
