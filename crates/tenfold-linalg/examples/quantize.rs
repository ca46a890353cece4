//! GPTQ of matrices of the sizes of small decoders, timed, on a moment and weights read from a folder.
//!
//! Measured: from f64 weights and moment in memory to codes, parameters and values; asymmetric 4-bit groups of 128, blocks of 128,
//! damping .01. `bench/peers/gptq_torch.py` writes the folder and times the same work in PyTorch. What would mislead: another
//! program on the machine, and timing a debug build.
//!
//! `quantize DIRECTORY [--threads N] [--runs N] [--bits N]`
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)] // a program

use std::time::Instant;

use tenfold_linalg::Matrix;
use tenfold_linalg::quant::{Affine, Block, BlockFormat, GptqOptions, Grid, Order, gptq, rtn};

/// Rows and columns.
const SIZES: [(usize, usize); 3] = [(768, 768), (2048, 512), (4096, 1024)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| {
        let at = arguments.iter().position(|a| a == name);
        at.map_or(default, |at| arguments[at + 1].parse().unwrap())
    };
    let folder = arguments.first().filter(|a| !a.starts_with("--")).unwrap();
    let (runs, bits) = (number("--runs", 3), number("--bits", 4) as u32);
    rayon::ThreadPoolBuilder::new().num_threads(number("--threads", 2)).build_global().unwrap();
    let plain = GptqOptions::default();
    for (rows, cols) in SIZES {
        let w = read(&format!("{folder}/w-{rows}x{cols}.f32"), rows, cols);
        let h = read(&format!("{folder}/h-{cols}.f32"), cols, cols);
        let grid = Affine::new(bits, 128);
        let base = cost(&w, &rtn(&w, &grid, None).unwrap().values, &h);
        let report = |name: &str, seconds: f64, values: &Matrix| {
            let cost = cost(&w, values, &h);
            println!(
                r#"{{"rows":{rows},"cols":{cols},"name":"{name}","seconds":{seconds:.4},"cost":{cost:.6e},"of_rtn":{:.5}}}"#,
                cost / base
            );
        };
        let (seconds, values) = timed(runs, &w, &h, &grid, &plain);
        report("gptq", seconds, &values);
        let (seconds, values) = timed(runs, &w, &h, &grid, &GptqOptions { order: Order::Falling, ..plain });
        report("gptq, act-order", seconds, &values);
        let best = GptqOptions { order: Order::Grouped, refits: 1, polish: 3, ..plain };
        let (seconds, values) = timed(1, &w, &h, &grid, &best);
        report("gptq, grouped order, refit, polished", seconds, &values);
        let importance: Vec<f64> = (0..cols).map(|i| h.get(i, i)).collect();
        for (name, format) in [("Q2_K", BlockFormat::Q2_K), ("Q4_K", BlockFormat::Q4_K)] {
            let block = Block::new(format);
            let start = Instant::now();
            let values = rtn(&w, &block, Some(&importance)).unwrap().values;
            report(&format!("{name}, search alone"), start.elapsed().as_secs_f64(), &values);
            let (seconds, values) = timed(1, &w, &h, &block, &plain);
            report(&format!("{name}, feedback"), seconds, &values);
            let (seconds, values) = timed(1, &w, &h, &block, &best);
            report(&format!("{name}, feedback, refit, polished"), seconds, &values);
        }
    }
}

fn timed<S: Grid>(runs: usize, w: &Matrix, h: &Matrix, grid: &S, options: &GptqOptions) -> (f64, Matrix) {
    let mut best = f64::MAX;
    let mut values = Matrix::zeros(1, 1);
    for _ in 0..runs {
        let start = Instant::now();
        values = gptq(w, h, grid, options).unwrap().values;
        best = best.min(start.elapsed().as_secs_f64());
    }
    (best, values)
}

/// tr((w - q) h (w - q)^T).
fn cost(w: &Matrix, q: &Matrix, h: &Matrix) -> f64 {
    let missed = w.subtract(q);
    missed.matmul(h).data().iter().zip(missed.data()).map(|(a, b)| a * b).sum()
}

fn read(path: &str, rows: usize, cols: usize) -> Matrix {
    let bytes = std::fs::read(path).unwrap();
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    Matrix::from_f32(&values, rows, cols).unwrap()
}
