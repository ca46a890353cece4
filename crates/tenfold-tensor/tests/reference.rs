//! Values of every op against plain loops in `f64`, at odd sizes and at every level; errors and edge shapes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tenfold_tensor::op::{Angles, Pairing};
use tenfold_tensor::{Activation, Array, Error, Offsets, Var, op};

#[allow(dead_code)]
#[path = "reference/attention.rs"]
mod attention;
#[allow(dead_code)]
#[path = "reference/coded.rs"]
mod coded;
#[path = "common/codes.rs"]
mod codes;
#[path = "reference/grouped.rs"]
mod grouped;
#[path = "common/levels.rs"]
mod levels;

use attention::{
    attention, attention_to_a_source, attention_with_biases, grouped_attention, prefixed_attention,
};

const SIZES: [usize; 5] = [1, 7, 31, 33, 130];

fn array(seed: usize, shape: &[usize]) -> Array {
    let len = shape.iter().product();
    let values =
        (0..len).map(|i| ((i * 7919 + seed * 104_729 + i * i) % 2003) as f32 / 700.0 - 1.4).collect();
    Array::from_vec(values, shape)
}

fn constant(seed: usize, shape: &[usize]) -> Var {
    Var::constant(array(seed, shape))
}

fn wide(var: &Var) -> Vec<f64> {
    var.value().data().iter().map(|&x| f64::from(x)).collect()
}

#[track_caller]
fn assert_close(name: &str, got: &Var, want: &[f64]) {
    assert_eq!(got.value().len(), want.len(), "{name}");
    let top = want.iter().fold(1e-3f64, |top, x| top.max(x.abs()));
    for (i, (got, &want)) in wide(got).into_iter().zip(want).enumerate() {
        assert!((got - want).abs() <= 1e-5 * top, "{name} at {i}: {got}, expected {want}");
    }
}

fn at_every_level(f: impl Fn(usize)) {
    levels::at_every_level(|_| SIZES.into_iter().for_each(&f));
}

/// erf by its Maclaurin series, or the continued fraction of erfc where the series would cancel.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a < 2.5 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let fraction = (1..60).rev().fold(a, |below, k| a + k as f64 / 2.0 / below);
        (1.0 - (-a * a).exp() / fraction / std::f64::consts::PI.sqrt()).copysign(x)
    }
}

fn activate(z: f64, act: Activation) -> f64 {
    match act {
        Activation::Identity => z,
        Activation::Gelu => 0.5 * z * (1.0 + erf(z / 2f64.sqrt())),
        Activation::GeluTanh => {
            0.5 * z * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (z + 0.044715 * z * z * z)).tanh())
        }
        Activation::Silu => z / (1.0 + (-z).exp()),
        Activation::Relu => z.max(0.0),
        Activation::Tanh => z.tanh(),
    }
}

fn softmax(row: &mut [f64]) {
    let max = row.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
    row.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// One test for all, because the level is a setting of the whole process.
#[test]
fn values_agree_with_plain_loops() {
    at_every_level(linear);
    at_every_level(coded::coded);
    at_every_level(coded::coded_each);
    at_every_level(grouped::grouped);
    at_every_level(coded::rounded);
    at_every_level(attention);
    at_every_level(grouped_attention);
    at_every_level(prefixed_attention);
    at_every_level(attention_with_biases);
    at_every_level(attention_to_a_source);
    at_every_level(layer_norm);
    at_every_level(rms_norm);
    at_every_level(rotary);
    at_every_level(gated);
    at_every_level(losses);
    at_every_level(rows);
    at_every_level(moves);
    at_every_level(mpo_rebuild);
}

fn linear(n: usize) {
    let (x, w, b) = (constant(1, &[n, 33]), constant(2, &[n + 3, 33]), constant(3, &[n + 3]));
    let (xs, ws, bs) = (wide(&x), wide(&w), wide(&b));
    for act in Activation::ALL {
        let want: Vec<f64> = (0..n * (n + 3))
            .map(|i| {
                let (row, col) = (i / (n + 3), i % (n + 3));
                activate(dot(&xs[row * 33..][..33], &ws[col * 33..][..33]) + bs[col], act)
            })
            .collect();
        assert_close(&format!("linear {act:?} {n}"), &op::linear(&x, &w, Some(&b), act), &want);
        let shaped: Vec<f64> =
            xs.iter().enumerate().map(|(i, x)| activate(x * 2.0 + ws[i % 33], act)).collect();
        let bias = Var::constant(Array::from_slice(&w.value().data()[..33], &[33]));
        assert_close("bias_act", &op::bias_act(&op::scale(&x, 2.0), Some(&bias), act), &shaped);
    }
    let product: Vec<f64> =
        (0..n * n).map(|i| (0..33).map(|k| xs[i / n * 33 + k] * ws[(i % n) * 33 + k]).sum()).collect();
    let w = Var::constant(Array::from_slice(&w.value().data()[..n * 33], &[n, 33]));
    assert_close("matmul", &op::matmul(&x, &op::permute(&w, &[1, 0])), &product);
}

fn rms_norm(n: usize) {
    let (x, r, gain) = (constant(1, &[9, n]), constant(2, &[9, n]), constant(3, &[n]));
    let gs = wide(&gain);
    for residual in [None, Some(&r)] {
        let mut want = wide(&x);
        if let Some(residual) = residual {
            want.iter_mut().zip(wide(residual)).for_each(|(x, r)| *x += r);
        }
        for row in want.chunks_exact_mut(n) {
            let square = row.iter().map(|x| x * x).sum::<f64>() / n as f64;
            row.iter_mut().zip(&gs).for_each(|(x, g)| *x *= g / (square + 1e-3).sqrt());
        }
        assert_close("rms_norm", &op::rms_norm(&x, residual, &gain, 1e-3), &want);
    }
}

fn rotary(n: usize) {
    let (size, heads, positions) = (2 * n, 3, [0, 1, 5, 511]);
    let x = constant(1, &[positions.len(), heads * size]);
    let xs = wide(&x);
    let angles = Angles::new(&positions, size, 500.0);
    for pairing in [Pairing::Halves, Pairing::Neighbors] {
        let mut want = vec![0.0; xs.len()];
        for (row, position) in positions.iter().enumerate() {
            for head in 0..heads {
                for j in 0..n {
                    let angle = f64::from(*position) * 500f64.powf(-2.0 * j as f64 / size as f64);
                    let start = (row * heads + head) * size;
                    let (a, b) = match pairing {
                        Pairing::Halves => (start + j, start + j + n),
                        Pairing::Neighbors => (start + 2 * j, start + 2 * j + 1),
                    };
                    want[a] = xs[a] * angle.cos() - xs[b] * angle.sin();
                    want[b] = xs[a] * angle.sin() + xs[b] * angle.cos();
                }
            }
        }
        assert_close(&format!("rotary {pairing:?}"), &op::rotary(&x, &angles, pairing), &want);
    }
}

fn gated(n: usize) {
    let (gate, value) = (constant(1, &[n, 3]), constant(2, &[n, 3]));
    for act in Activation::ALL {
        let want: Vec<f64> =
            wide(&gate).iter().zip(wide(&value)).map(|(g, v)| activate(*g, act) * v).collect();
        assert_close(&format!("gated {act:?}"), &op::gated(&gate, &value, act), &want);
    }
}

fn layer_norm(n: usize) {
    let (x, r) = (constant(1, &[9, n]), constant(2, &[9, n]));
    let (gain, bias) = (constant(3, &[n]), constant(4, &[n]));
    let (gs, bs) = (wide(&gain), wide(&bias));
    for residual in [None, Some(&r)] {
        let mut want = wide(&x);
        if let Some(residual) = residual {
            want.iter_mut().zip(wide(residual)).for_each(|(x, r)| *x += r);
        }
        for row in want.chunks_exact_mut(n) {
            let mean = row.iter().sum::<f64>() / n as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
            for ((x, g), b) in row.iter_mut().zip(&gs).zip(&bs) {
                *x = (*x - mean) / (variance + 1e-3).sqrt() * g + b;
            }
        }
        assert_close("layer_norm", &op::layer_norm(&x, residual, &gain, &bias, 1e-3), &want);
    }
}

fn losses(n: usize) {
    let (x, target) = (constant(1, &[5, n]), array(2, &[5, n]));
    let (xs, ts) = (wide(&x), wide(&Var::constant(target.clone())));
    let squares: f64 = xs.iter().zip(&ts).map(|(x, t)| (x - t).powi(2)).sum();
    assert_close("mse", &op::mse(&x, &target), &[squares / xs.len() as f64]);
    let (mut entropy, mut cosine, mut divergence) = (0.0, 0.0, 0.0);
    let targets: Vec<u32> = (0..5).map(|i| (i * 11 % n) as u32).collect();
    for ((x, t), &class) in xs.chunks_exact(n).zip(ts.chunks_exact(n)).zip(&targets) {
        let mut p: Vec<f64> = x.iter().map(|x| x * 30.0).collect();
        softmax(&mut p);
        entropy -= p[class as usize].max(1e-300).ln() / 5.0;
        let (mut q, mut p) = (x.to_vec(), t.to_vec());
        softmax(&mut q);
        softmax(&mut p);
        divergence += p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum::<f64>() / 5.0;
        cosine += (1.0 - dot(x, t) / (dot(x, x) * dot(t, t)).sqrt()) / 5.0;
    }
    assert_close("cross_entropy", &op::cross_entropy(&op::scale(&x, 30.0), &targets).unwrap(), &[entropy]);
    assert_close("divergence", &op::divergence(&x, &target).unwrap(), &[divergence]);
    assert_eq!(op::divergence(&constant(1, &[0, 3]), &array(2, &[0, 3])).err(), Some(Error::EmptyBatch));
    assert_close("cosine_loss", &op::cosine_loss(&x, &target), &[cosine]);
    assert_close("sum", &op::sum(&x), &[xs.iter().sum()]);
}

fn rows(n: usize) {
    let offsets = Offsets::from_lengths(&[n, 0, 1]);
    let x = constant(1, &[offsets.tokens(), n]);
    let xs = wide(&x);
    let row = |i: usize| xs[i * n..(i + 1) * n].to_vec();
    let mean: Vec<f64> = (0..n).map(|j| (0..n).map(|i| xs[i * n + j]).sum::<f64>() / n as f64).collect();
    let zeros = vec![0.0; n];
    assert_close("segment_mean", &op::segment_mean(&x, &offsets), &[mean, zeros.clone(), row(n)].concat());
    assert_close("segment_first", &op::segment_first(&x, &offsets), &[row(0), zeros, row(n)].concat());
    let unit: Vec<f64> = xs
        .chunks_exact(n)
        .flat_map(|row| {
            let norm = dot(row, row).sqrt();
            row.iter().map(move |x| x / norm)
        })
        .collect();
    assert_close("l2_normalize", &op::l2_normalize(&x, 1e-9), &unit);
    let ids = [n as u32, 0, n as u32];
    assert_close("embedding", &op::embedding(&x, &ids).unwrap(), &[row(n), row(0), row(n)].concat());
}

fn moves(n: usize) {
    let (x, y) = (constant(1, &[n, 3, 5]), constant(2, &[n, 3, 5]));
    let (xs, ys) = (wide(&x), wide(&y));
    let zip = |f: fn(f64, f64) -> f64| xs.iter().zip(&ys).map(|(&x, &y)| f(x, y)).collect::<Vec<_>>();
    assert_close("add", &op::add(&x, &y), &zip(|x, y| x + y));
    assert_close("sub", &op::sub(&x, &y), &zip(|x, y| x - y));
    assert_close("mul", &op::mul(&x, &y), &zip(|x, y| x * y));
    assert_close("scale", &op::scale(&x, -3.0), &zip(|x, _| -3.0 * x));
    let by: Vec<f64> = wide(&constant(5, &[n * 3]));
    let rows: Vec<f64> = xs.iter().enumerate().map(|(i, x)| x * by[i / 5]).collect();
    assert_close("scale_rows", &op::scale_rows(&x, &constant(5, &[n * 3])), &rows);
    let mut divisor = array(2, &[n, 3, 5]);
    divisor.data_mut()[1] = 0.0;
    let quotient = |(i, (x, y)): (usize, (&f64, &f64))| if i == 1 { 0.0 } else { x / y };
    let quotients: Vec<f64> = xs.iter().zip(&ys).enumerate().map(quotient).collect();
    assert_close("divide", &op::divide(&x, &divisor), &quotients);
    let norms: Vec<f64> = xs.chunks_exact(5).map(|row| dot(row, row).sqrt()).collect();
    assert_close("row_norms", &Var::constant(x.value().row_norms()), &norms);
    let turned = op::permute(&x, &[2, 0, 1]);
    assert_eq!(turned.shape(), [5, n, 3]);
    let want: Vec<f64> = (0..5).flat_map(|k| (0..n * 3).map(move |ij| ij * 5 + k)).map(|i| xs[i]).collect();
    assert_close("permute", &turned, &want);
    let flat = op::reshape(&x, &[n * 3, 5]);
    let block: Vec<f64> = (0..n).flat_map(|i| (0..2).map(move |j| i * 5 + j)).map(|i| xs[i]).collect();
    assert_close("crop", &op::crop(&flat, n, 2), &block);
    let at = [1, 2, 4];
    let some: Vec<f64> = (0..n * 3).flat_map(|i| at.map(|j| xs[i * 5 + j])).collect();
    let (at, others) = (at.map(|j| j as u32).into(), [0, 3].into());
    let (kept, rest) = (op::columns(&x, &at), op::columns(&x, &others));
    assert_close("columns", &kept, &some);
    assert_close("join_columns", &op::join_columns(&kept, &at, &rest, &others), &xs);
    assert_eq!(op::columns(&x, &Vec::new().into()).shape(), [n * 3, 0]);
}

fn mpo_rebuild(n: usize) {
    let shapes: &[[usize; 4]] = match n {
        1 => &[[1, 3, 4, 1]],
        7 => &[[1, 3, 2, 5], [5, 2, 3, 1]],
        31 => &[[1, 2, 3, 6], [6, 1, 4, 7], [7, 3, 2, 1]],
        _ => &[[1, 2, 2, 4], [4, 3, 2, 11], [11, 2, 3, 9], [9, 2, 4, 3], [3, 2, 1, 1]],
    };
    let cores: Vec<Var> = shapes.iter().enumerate().map(|(i, shape)| constant(i, shape)).collect();
    let rows: usize = shapes.iter().map(|s| s[1]).product();
    let cols: usize = shapes.iter().map(|s| s[2]).product();
    let mut want = vec![0.0; rows * cols];
    for row in 0..rows {
        for col in 0..cols {
            // A row vector over the bond, multiplied by one slice of every core.
            let (mut i, mut j) = (row, col);
            let mut digits = Vec::new();
            for s in shapes.iter().rev() {
                digits.push((i % s[1], j % s[2]));
                (i, j) = (i / s[1], j / s[2]);
            }
            let mut bond = vec![1.0];
            for ((core, s), &(i, j)) in cores.iter().zip(shapes).zip(digits.iter().rev()) {
                let data = wide(core);
                let entry = |a: usize, b: usize| data[((a * s[1] + i) * s[2] + j) * s[3] + b];
                bond = (0..s[3]).map(|b| (0..s[0]).map(|a| bond[a] * entry(a, b)).sum()).collect();
            }
            want[row * cols + col] = bond[0];
        }
    }
    let w = op::mpo_rebuild(&cores);
    assert_eq!(w.shape(), [rows, cols]);
    assert_close("mpo_rebuild", &w, &want);
    let ids: Vec<u32> = (0..2 * rows).map(|at| (at * at * 5 % rows) as u32).collect();
    let picked: Vec<f64> = ids.iter().flat_map(|id| &want[*id as usize * cols..][..cols]).copied().collect();
    for middle in 0..cores.len() {
        assert_close("mpo_rows", &op::mpo_rows(&cores, middle, &ids).unwrap(), &picked);
    }
    assert_eq!(op::mpo_rows(&cores, 0, &[]).unwrap().shape(), [0, cols]);
}

#[test]
fn groups_become_blocks_without_rounding() {
    coded::transcoding();
    coded::halves();
}

#[test]
fn faults_of_the_data_are_typed_errors() {
    coded::faults();
    let table = constant(1, &[4, 3]);
    let outside = Error::IdOutOfRange { id: 4, position: 1, rows: 4 };
    assert_eq!(op::embedding(&table, &[3, 4]).err(), Some(outside));
    let cores = [constant(2, &[1, 2, 3, 2]), constant(3, &[2, 2, 1, 1])];
    let outside = Error::IdOutOfRange { id: 4, position: 0, rows: 4 };
    assert_eq!(op::mpo_rows(&cores, 1, &[4, 1]).err(), Some(outside));
    let wrong = Error::TargetOutOfRange { target: 3, row: 2, classes: 3 };
    assert_eq!(op::cross_entropy(&table, &[0, 2, 3, 1]).err(), Some(wrong));
    let count = Error::TargetCount { expected: 4, got: 3 };
    assert_eq!(op::cross_entropy(&table, &[0, 2, 1]).err(), Some(count));
    assert_eq!(op::cross_entropy(&constant(1, &[0, 3]), &[]).err(), Some(Error::EmptyBatch));
}

#[test]
fn empty_batches_pass_through() {
    let none = Offsets::from_lengths(&[]);
    let x = constant(1, &[0, 6]);
    assert_eq!(op::attention(&x, &x, &x, &none, 2, false).shape(), [0, 6]);
    assert_eq!(op::segment_mean(&x, &none).shape(), [0, 6]);
    assert_eq!(
        op::linear(&x, &constant(2, &[4, 6]), Some(&constant(3, &[4])), Activation::Gelu).shape(),
        [0, 4]
    );
    assert_eq!(op::layer_norm(&x, Some(&x), &constant(2, &[6]), &constant(3, &[6]), 1e-5).shape(), [0, 6]);
    assert_eq!(op::embedding(&constant(1, &[4, 6]), &[]).unwrap().shape(), [0, 6]);
    assert_eq!(op::sum(&x).value().item(), 0.0);
}

#[test]
fn dropout_keeps_the_mean_and_repeats_by_seed() {
    let ones = Var::constant(Array::full(&[200, 500], 1.0));
    let y = op::dropout(&ones, 0.25, 3);
    let dropped = y.value().data().iter().filter(|&&x| x == 0.0).count() as f64 / 1e5;
    assert!((dropped - 0.25).abs() < 0.006, "{dropped}"); // four standard deviations
    assert!(y.value().data().iter().all(|&x| x == 0.0 || x == 1.0 / 0.75));
    assert_eq!(y.value(), op::dropout(&ones, 0.25, 3).value());
    let other = op::dropout(&ones, 0.25, 4);
    let same = y.value().data().iter().zip(other.value().data()).filter(|(a, b)| a == b).count() as f64 / 1e5;
    assert!((same - 0.625).abs() < 0.007, "{same}"); // 0.75^2 + 0.25^2
    assert!(op::dropout(&ones, 0.0, 4).value().same_storage(ones.value()));
}
