//! Times products of few rows with quantized matrices: nanoseconds and bytes of codes per second, by scheme and precision.
//!
//! usage: coded [ROWS COLS [INPUTS [SCHEME]]]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::time::Instant;
use tenfold_tensor::{Activation, Array, Codes, Precision, Scheme, Var, op, placed};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let size = |at: usize, usual: usize| arguments.get(at).map_or(usual, |word| word.parse().unwrap());
    let only = arguments.get(3).map(String::as_str);
    let schemes = SCHEMES.into_iter().filter(|scheme| only.is_none_or(|only| only == *scheme));
    placed(|| schemes.for_each(|scheme| time(scheme, size(0, 4096), size(1, 4096), size(2, 1))));
}

const SCHEMES: [&str; 11] = [
    "q8_0",
    "q6_k",
    "q5_k",
    "q4_k",
    "q4_0",
    "q3_k",
    "q2_k",
    "int8-g128",
    "int4-g128",
    "int3-g128",
    "int2-g64",
];

fn time(word: &str, rows: usize, cols: usize, inputs: usize) {
    let x = (0..inputs * cols).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let x = Var::constant(Array::from_vec(x, &[inputs, cols]));
    let scheme = Scheme::parse(word).unwrap();
    let size = rows * scheme.row_bytes(cols).unwrap();
    let bytes: Vec<u8> = (0..size).map(|i| (i * 89 % 251) as u8 & 0xbf).collect();
    let codes = Codes::new(scheme, rows, cols, bytes).unwrap();
    for precision in [Precision::F32, Precision::Int8] {
        let mut best = f64::INFINITY;
        let start = Instant::now();
        while start.elapsed().as_secs_f64() < 0.4 {
            let start = Instant::now();
            let y = op::coded(precision, &x, &codes, None, Activation::Identity);
            best = best.min(start.elapsed().as_secs_f64());
            assert_eq!(y.shape(), [inputs, rows]);
        }
        let (bytes, weights) = (codes.bytes().len() as f64 / best / 1e9, (rows * cols) as f64 / best / 1e9);
        println!(
            "{inputs} x {cols} by {rows} {word:>10} {precision:>5} {:9.1} us {bytes:6.2} GB/s {weights:6.2} weights/ns",
            best * 1e6
        );
    }
}
