//! Time of a linear layer whose matrix is a matrix product operator, rebuilt once per step, against the dense layer.
//!
//! What is measured: forward + backward (gradients of input and leaves) + AdamW of a 768 x 3072 layer at 512 and 2048
//! rows, dense and as five cores with bonds of at most 32 and 64; the two alternate, medians are compared.
//! Data: fixed pseudo-random values; the time does not depend on them.
//! What would mislead you: another process on the machine, or a build without `--release`.
//!
//! usage: mpo_layer [--repeat N]; one line of JSON per case on stdout.
#![allow(clippy::print_stdout, reason = "a bench reports by printing")]

use std::process::ExitCode;
use std::time::Instant;

use tenfold_tensor::optim::{AdamW, AdamWState};
use tenfold_tensor::{Activation, Array, Error, Tape, Var, cpu, op};

const ROW_FACTORS: [usize; 5] = [4, 4, 3, 4, 4]; // 768
const COL_FACTORS: [usize; 5] = [4, 4, 6, 8, 4]; // 3072

/// Core shapes with every bond as large as the matrix allows, up to `cap`.
fn core_shapes(cap: usize) -> Vec<[usize; 4]> {
    let sizes: Vec<usize> = ROW_FACTORS.iter().zip(COL_FACTORS).map(|(i, j)| i * j).collect();
    let bond = |k: usize| {
        let (left, right): (usize, usize) = (sizes[..k].iter().product(), sizes[k..].iter().product());
        left.min(right).min(cap)
    };
    (0..5).map(|k| [bond(k), ROW_FACTORS[k], COL_FACTORS[k], bond(k + 1)]).collect()
}

/// Multiplications and additions of one rebuild in the cheapest order, times two.
fn rebuild_flops(shapes: &[[usize; 4]]) -> f64 {
    let n = shapes.len();
    let size =
        |from: usize, to: usize| shapes[from..to].iter().map(|s| (s[1] * s[2]) as f64).product::<f64>();
    let mut cost = vec![vec![0.0f64; n + 1]; n + 1];
    for len in 2..=n {
        for from in 0..=n - len {
            let to = from + len;
            let outer = 2.0 * size(from, to) * (shapes[from][0] * shapes[to - 1][3]) as f64;
            cost[from][to] = (from + 1..to)
                .map(|cut| cost[from][cut] + cost[cut][to] + outer * shapes[cut][0] as f64)
                .fold(f64::INFINITY, f64::min);
        }
    }
    cost[0][n]
}

struct Layer {
    leaves: Vec<Array>,
    states: Vec<AdamWState>,
}

impl Layer {
    fn new(shapes: &[Vec<usize>]) -> Layer {
        Layer {
            leaves: shapes.iter().enumerate().map(|(i, shape)| random(shape, i as u64 + 1)).collect(),
            states: shapes.iter().map(|shape| AdamWState::new(shape)).collect(),
        }
    }

    /// One step; returns milliseconds.
    fn step(&mut self, x: &Array, direction: &Array, step: u64) -> Result<f64, Error> {
        let start = Instant::now();
        let tape = Tape::new();
        let input = tape.leaf(x.clone());
        let vars: Vec<Var> = self.leaves.drain(..).map(|leaf| tape.leaf(leaf)).collect();
        let w = if vars.len() == 1 { vars[0].clone() } else { op::mpo_rebuild(&vars) };
        let y = op::linear(&input, &w, None, Activation::Identity);
        drop(w);
        let mut gradients = tape.backward(&op::mse(&y, direction))?;
        for (var, state) in vars.into_iter().zip(&mut self.states) {
            let gradient = gradients.take(&var);
            let mut value = var.value().clone();
            drop(var);
            if let Some(gradient) = gradient {
                AdamW::default().step(&mut value, &gradient, state, step, 1e-4, 0.0, 1.0);
            }
            self.leaves.push(value);
        }
        Ok(start.elapsed().as_secs_f64() * 1e3)
    }
}

fn compare(rows: usize, cap: usize, repeat: usize) -> Result<(), Error> {
    let shapes = core_shapes(cap);
    let mut dense = Layer::new(&[vec![768, 3072]]);
    let mut mpo = Layer::new(&shapes.iter().map(|s| s.to_vec()).collect::<Vec<_>>());
    let (x, direction) = (random(&[rows, 3072], 8), random(&[rows, 768], 9));
    let (mut dense_times, mut mpo_times) = (Vec::new(), Vec::new());
    for i in 0..repeat as u64 + 2 {
        let times = (dense.step(&x, &direction, i + 1)?, mpo.step(&x, &direction, i + 1)?);
        if i >= 2 {
            dense_times.push(times.0);
            mpo_times.push(times.1);
        }
    }
    dense_times.sort_by(f64::total_cmp);
    mpo_times.sort_by(f64::total_cmp);
    let (a, b) = (dense_times[repeat / 2], mpo_times[repeat / 2]);
    println!(
        "{{\"what\": \"mpo_layer\", \"engine\": \"tenfold\", \"rows\": {rows}, \"bond_max\": {cap}, \"threads\": {}, \
         \"level\": \"{:?}\", \"repeat\": {repeat}, \"dense_gflop\": {:.3}, \"rebuild_gflop\": {:.3}, \
         \"dense_ms\": {a:.3}, \"mpo_ms\": {b:.3}, \"ratio\": {:.3}, \"dense_min_ms\": {:.3}, \"mpo_min_ms\": {:.3}, \
         \"ratio_min\": {:.3}}}",
        rayon::current_num_threads(),
        cpu::active(),
        6e-9 * (rows * 768 * 3072) as f64,
        3e-9 * rebuild_flops(&shapes),
        b / a,
        dense_times[0],
        mpo_times[0],
        mpo_times[0] / dense_times[0],
    );
    Ok(())
}

/// Pseudo-random numbers in (-0.1, 0.1).
fn random(shape: &[usize], seed: u64) -> Array {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values = (0..shape.iter().product::<usize>())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * 0.1
        })
        .collect();
    Array::from_vec(values, shape)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let repeat = match arguments.as_slice() {
        [] => 21,
        [name, value] if name == "--repeat" && value.parse::<usize>().is_ok_and(|n| n > 0) => {
            value.parse().unwrap_or(1)
        }
        _ => {
            println!("usage: mpo_layer [--repeat N]");
            return ExitCode::from(2);
        }
    };
    for (rows, cap) in [(512, 32), (512, 64), (2048, 32), (2048, 64)] {
        if let Err(error) = compare(rows, cap, repeat) {
            println!("{error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
