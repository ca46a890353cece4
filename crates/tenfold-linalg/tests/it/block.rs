//! Blocks with scales on two levels: the search against the procedure of ggml, and feedback inside a block.

use tenfold_linalg::Matrix;
use tenfold_linalg::quant::{Block, BlockFormat, BlockScales, GptqOptions, Grid, Order, gptq, half, rtn};

use crate::quant::{cost, moment};
use crate::sample::Random;

const FORMATS: [(&str, BlockFormat); 8] = [
    ("Q4_0", BlockFormat::Q4_0),
    ("Q5_0", BlockFormat::Q5_0),
    ("Q8_0", BlockFormat::Q8_0),
    ("Q2_K", BlockFormat::Q2_K),
    ("Q3_K", BlockFormat::Q3_K),
    ("Q4_K", BlockFormat::Q4_K),
    ("Q5_K", BlockFormat::Q5_K),
    ("Q6_K", BlockFormat::Q6_K),
];

/// Codes, step and taken min of a strip as ggml's search with an importance matrix finds them: ranges around the extremes, each
/// with a least-squares fit to its codes; errors are those of the codes before another rounding.
fn strip_of_reference(x: &[f64], w: &[f64], largest: f64) -> (f64, f64) {
    let low = x.iter().fold(0.0f64, |m, v| m.min(*v));
    let high = x.iter().fold(f64::MIN, |m, v| m.max(*v));
    if high <= low {
        return (0.0, -low);
    }
    let code = |inverse: f64, v: f64| (inverse * (v - low)).round().clamp(0.0, largest);
    let error = |codes: &[f64], step: f64, min: f64| -> f64 {
        codes.iter().zip(x).zip(w).map(|((l, x), w)| w * (step * l + min - x).powi(2)).sum()
    };
    let inverse = largest / (high - low);
    let codes: Vec<f64> = x.iter().map(|v| code(inverse, *v)).collect();
    let mut best = (error(&codes, 1.0 / inverse, low), 1.0 / inverse, low);
    for i in 0..=36 {
        let inverse = (-0.9 + 0.05 * f64::from(i) + largest) / (high - low);
        let codes: Vec<f64> = x.iter().map(|v| code(inverse, *v)).collect();
        let sum = |f: &dyn Fn(usize) -> f64| (0..x.len()).map(|k| w[k] * f(k)).sum::<f64>();
        let (sw, sx) = (sum(&|_| 1.0), sum(&|k| x[k]));
        let (sl, sl2, sxl) = (sum(&|k| codes[k]), sum(&|k| codes[k] * codes[k]), sum(&|k| codes[k] * x[k]));
        let determinant = sw * sl2 - sl * sl;
        if determinant > 0.0 {
            let mut step = (sw * sxl - sx * sl) / determinant;
            let mut min = (sl2 * sx - sl * sxl) / determinant;
            if min > 0.0 {
                (step, min) = (sxl / sl2, 0.0);
            }
            let found = error(&codes, step, min);
            if found < best.0 {
                best = (found, step, min);
            }
        }
    }
    (best.1, -best.2)
}

/// Unit and multiples as the reference's weighted search for numbers of at least zero finds them.
fn units_of_reference(x: &[f64], w: &[f64], largest: f64) -> (f64, Vec<f64>) {
    let most = x.iter().fold(0.0f64, |m, v| m.max(*v));
    if most <= 0.0 {
        return (0.0, vec![0.0; x.len()]);
    }
    let multiples =
        |inverse: f64| -> Vec<f64> { x.iter().map(|v| (inverse * v).round().clamp(0.0, largest)).collect() };
    let error = |unit: f64, l: &[f64]| -> f64 {
        x.iter().zip(w).zip(l).map(|((x, w), l)| w * (x - unit * l).powi(2)).sum()
    };
    let mut best = (f64::MAX, 0.0);
    for i in -4..=4 {
        let inverse = (largest + 0.1 * f64::from(i)) / most;
        let found = error(1.0 / inverse, &multiples(inverse));
        if found < best.0 {
            best = (found, inverse);
        }
    }
    let mut l = multiples(best.1);
    let sums = |l: &[f64], f: &dyn Fn(usize) -> f64| (0..x.len()).map(|k| w[k] * l[k] * f(k)).sum::<f64>();
    for _ in 0..5 {
        let mut changed = false;
        for k in 0..x.len() {
            let lx = sums(&l, &|k| x[k]) - w[k] * l[k] * x[k];
            let ll = sums(&l, &|k| l[k]) - w[k] * l[k] * l[k];
            if lx > 0.0 && ll > 0.0 {
                let new = (x[k] * ll / lx).round().clamp(0.0, largest);
                let (a, b) = (lx + w[k] * new * x[k], ll + w[k] * new * new);
                let (c, d) = (lx + w[k] * l[k] * x[k], ll + w[k] * l[k] * l[k]);
                if new != l[k] && a * a * d > c * c * b {
                    l[k] = new;
                    changed = true;
                }
            }
        }
        if !changed {
            break;
        }
    }
    (sums(&l, &|k| x[k]) / sums(&l, &|k| l[k]), l)
}

/// Weighted error of a block that the reference fits, with its codes rounded for the stored units.
fn error_of_reference(format: &BlockFormat, x: &[f64], w: &[f64]) -> f64 {
    let largest = f64::from(format.codes.1);
    let most = f64::from(format.mins.unwrap());
    let fits: Vec<(f64, f64)> = x
        .chunks(format.strip)
        .zip(w.chunks(format.strip))
        .map(|(x, w)| strip_of_reference(x, w, largest))
        .collect();
    let weights: Vec<f64> = w.chunks(format.strip).map(|w| w.iter().sum()).collect();
    let (d, scales) = units_of_reference(&fits.iter().map(|f| f.0).collect::<Vec<_>>(), &weights, most);
    let (dmin, mins) = units_of_reference(&fits.iter().map(|f| f.1).collect::<Vec<_>>(), &weights, most);
    let (d, dmin) = (half(d), half(dmin));
    let mut error = 0.0;
    for (k, (x, w)) in x.iter().zip(w).enumerate() {
        let (step, min) = (d * scales[k / format.strip], dmin * mins[k / format.strip]);
        let code = if step > 0.0 { ((x + min) / step).round().clamp(0.0, largest) } else { 0.0 };
        error += w * (step * code - min - x).powi(2);
    }
    error
}

fn error(block: &Block, x: &[f64], w: &[f64]) -> f64 {
    let found = block.fit(x, w);
    x.iter()
        .zip(w)
        .enumerate()
        .map(|(k, (x, w))| {
            let cell = block.cell(&found, k / block.format.strip);
            w * (x - block.value(&cell, block.nearest(&cell, *x))).powi(2)
        })
        .sum()
}

#[test]
fn the_search_is_not_above_the_procedure_of_ggml() {
    let mut random = Random(21);
    for format in [BlockFormat::Q2_K, BlockFormat::Q4_K, BlockFormat::Q5_K] {
        for heavy in [false, true] {
            let (mut ours, mut reference, mut lost) = (0.0, 0.0, 0);
            for _ in 0..60 {
                let x: Vec<f64> = (0..256)
                    .map(|_| {
                        let tail = (0..3).map(|_| random.normal().powi(2)).sum::<f64>() / 3.0;
                        random.normal() * 0.04 / if heavy { tail.sqrt() } else { 1.0 }
                    })
                    .collect();
                let mean = x.iter().map(|v| v * v).sum::<f64>() / 256.0;
                let w: Vec<f64> =
                    x.iter().map(|v| (0.1 + random.normal().powi(2)) * (2.0 * mean + v * v).sqrt()).collect();
                let (a, b) = (error(&Block::new(format), &x, &w), error_of_reference(&format, &x, &w));
                (ours, reference) = (ours + a, reference + b);
                lost += usize::from(a > b);
            }
            assert!(ours < 0.99 * reference, "{format:?} heavy {heavy}: {ours} {reference}");
            assert!(lost <= 6, "{format:?} heavy {heavy}: above in {lost} of 60 blocks");
        }
    }
}

#[test]
fn values_are_what_codes_and_scales_say() {
    let mut random = Random(22);
    // A short last block, and a strip of zeros.
    let mut w = random.matrix(9, 600);
    w.data_mut()[64..96].fill(0.0);
    let h = moment(&mut random, 600, 700);
    let mean = (0..600).map(|i| h.get(i, i)).sum::<f64>() / 600.0;
    let damped = Matrix::from_fn(600, 600, |i, j| h.get(i, j) + if i == j { 0.01 * mean } else { 0.0 });
    for (name, format) in FORMATS {
        let block = Block::new(format);
        let options = GptqOptions { order: Order::Grouped, refits: 1, polish: 2, ..GptqOptions::default() };
        let polished = gptq(&w, &h, &block, &options).unwrap();
        let want = 0.5 * cost(&w, &polished.values, &damped);
        assert!((polished.loss - want).abs() < 1e-9 * want, "{name}: {} {want}", polished.loss);
        let results = [
            rtn(&w, &block, None).unwrap(),
            rtn(&w, &Block { magnitude: true, ..block }, None).unwrap(),
            polished.clone(),
        ];
        for got in results {
            let per_row = got.groups_per_row();
            assert_eq!(per_row, 600usize.div_ceil(format.block), "{name}");
            for r in 0..9 {
                for c in 0..600 {
                    let group: &BlockScales = &got.groups[r * per_row + c / format.block];
                    let strip = c % format.block / format.strip;
                    let code = got.codes[r * 600 + c];
                    assert!((format.codes.0..=format.codes.1).contains(&code), "{name} {code}");
                    let (low, high) = format.scales.unwrap_or((1, 1));
                    assert!((low..=high).contains(&group.scales[strip]), "{name}");
                    assert!((0..=format.mins.unwrap_or(0)).contains(&group.mins[strip]), "{name}");
                    assert_eq!((half(group.d), half(group.dmin)), (group.d, group.dmin), "{name}");
                    let want = group.d * f64::from(group.scales[strip]) * f64::from(code)
                        - group.dmin * f64::from(group.mins[strip]);
                    assert!((got.values.get(r, c) - want).abs() < 1e-12, "{name}");
                }
            }
        }
    }
}

#[test]
fn feedback_inside_the_block_lowers_the_cost() {
    let mut random = Random(23);
    let (w, h) = (random.matrix(24, 512), moment(&mut random, 512, 1024));
    let importance: Vec<f64> = (0..512).map(|i| h.get(i, i)).collect();
    for (name, format) in FORMATS {
        let block = Block::new(format);
        let plain = cost(&w, &rtn(&w, &block, Some(&importance)).unwrap().values, &h);
        let run = |refits, order| {
            let options = GptqOptions { refits, order, ..GptqOptions::default() };
            gptq(&w, &h, &block, &options).unwrap()
        };
        let once = run(0, Order::Stored);
        assert!(cost(&w, &once.values, &h) < 0.7 * plain, "{name}: {} {plain}", cost(&w, &once.values, &h));
        let refitted = run(2, Order::Stored);
        assert!(refitted.loss < once.loss, "{name}: {} {}", refitted.loss, once.loss);
        assert!(run(2, Order::Grouped).loss < plain, "{name}");
        let polished = |refits| {
            let options = GptqOptions { refits, polish: 2, ..GptqOptions::default() };
            gptq(&w, &h, &block, &options).unwrap().loss
        };
        assert!(polished(2) < refitted.loss, "{name}");
        // Scales of strips move too, where there are any.
        assert!(polished(1) < polished(0), "{name}");
    }
}

#[test]
fn more_bits_lose_less_and_zeros_nothing() {
    let mut random = Random(24);
    let w = random.matrix(12, 256);
    let error = |format| w.subtract(&rtn(&w, &Block::new(format), None).unwrap().values).frobenius();
    let falling = [
        BlockFormat::Q2_K,
        BlockFormat::Q3_K,
        BlockFormat::Q4_0,
        BlockFormat::Q4_K,
        BlockFormat::Q5_K,
        BlockFormat::Q6_K,
        BlockFormat::Q8_0,
    ]
    .map(error);
    assert!(falling.windows(2).all(|pair| pair[1] < pair[0]), "{falling:?}");
    for (name, format) in FORMATS {
        let zero = rtn(&Matrix::zeros(2, 256), &Block::new(format), None).unwrap();
        assert!(zero.values.max_abs() == 0.0, "{name}");
    }
}

#[test]
fn impossible_formats_are_refused() {
    let w = Matrix::zeros(1, 32);
    for format in [
        BlockFormat { strip: 0, ..BlockFormat::Q4_0 },
        BlockFormat { block: 48, ..BlockFormat::Q4_0 },
        BlockFormat { block: 1024, ..BlockFormat::Q4_0 },
        BlockFormat { codes: (1, 3), ..BlockFormat::Q4_0 },
        BlockFormat { mins: Some(15), ..BlockFormat::Q6_K },
    ] {
        assert!(rtn(&w, &Block::new(format), None).is_err(), "{format:?}");
    }
}
