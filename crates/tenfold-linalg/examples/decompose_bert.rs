//! Full-rank MPO with spectra (symmetric gauge, five cores) of every matrix of BERT-base, timed per shape.
//!
//! Measured: from f32 weights in memory to f64 cores and spectra, one matrix per thread, the embedding with
//! all threads inside. Weights are random normal numbers: the work does not depend on the values, unless an
//! unfolding is so ill-conditioned that it takes the slower careful route, which neither these nor trained
//! weights do. What would mislead: another program on the machine, and timing a debug build.
//!
//! `decompose_bert [--only NAME] [--threads N] [--check] [--json]`, NAME one of the group names printed.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)] // a program

use std::time::Instant;

use tenfold_linalg::{Bonds, Gauge, Matrix, Mpo, MpoShape, cost, decompose, parallel};

/// Name, rows, columns, how many.
const GROUPS: [(&str, usize, usize, usize); 4] = [
    ("attention", 768, 768, 49), // query, key, value, output of 12 layers, and the pooler
    ("ffn-in", 3072, 768, 12),
    ("ffn-out", 768, 3072, 12),
    ("embedding", 30720, 768, 1),
];

fn main() {
    let options = Options::parse();
    if let Some(threads) = options.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().unwrap();
    }
    let mut total = 0.0;
    let mut lines = Vec::new();
    for (name, rows, cols, count) in GROUPS {
        if options.only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let shape = MpoShape::automatic(rows, cols, 5);
        let weights: Vec<Vec<f32>> = (0..count).map(|i| normal(rows * cols, i as u64)).collect();
        let start = Instant::now();
        let summaries = parallel::map(
            &weights,
            |_| cost(&shape),
            |w| {
                let w = Matrix::from_f32(w, rows, cols).unwrap();
                let mpo = decompose(&w, &shape, &Bonds::Full, Gauge::Symmetric).unwrap();
                let error = options.check.then(|| mpo.rebuild().subtract(&w).frobenius() / w.frobenius());
                Summary::of(&mpo, error)
            },
        );
        let seconds = start.elapsed().as_secs_f64();
        total += seconds;
        let parameters: usize = summaries.iter().map(|s| s.parameters).sum();
        let entropy = summaries.iter().map(|s| s.entropy).sum::<f64>() / count as f64;
        lines.push(format!(
            r#"{{"group":"{name}","rows":{rows},"cols":{cols},"count":{count},"seconds":{seconds:.4},"parameters":{parameters},"central_entropy":{entropy:.6}}}"#
        ));
        if !options.json {
            println!(
                "{name:10} {count:3} x {rows:5} x {cols:4}  {seconds:8.3} s  {:8.2} ms each  entropy {entropy:.4}",
                1e3 * seconds / count as f64
            );
        }
        if let Some(worst) = summaries.iter().filter_map(|s| s.error).reduce(f64::max) {
            eprintln!("{name}: worst relative rebuild error {worst:.2e}");
        }
    }
    let peak = peak_mebibytes();
    let threads = rayon::current_num_threads();
    if options.json {
        println!(
            r#"{{"program":"tenfold-linalg","threads":{threads},"seconds":{total:.4},"peak_mib":{peak:.0},"groups":[{}]}}"#,
            lines.join(",")
        );
    } else {
        println!("total {total:.3} s on {threads} threads, peak resident {peak:.0} MiB");
    }
}

struct Summary {
    parameters: usize,
    entropy: f64,
    error: Option<f64>,
}

impl Summary {
    fn of(mpo: &Mpo, error: Option<f64>) -> Self {
        Self { parameters: mpo.parameters(), entropy: mpo.entropy()[mpo.shape.central() - 1], error }
    }
}

#[derive(Default)]
struct Options {
    only: Option<String>,
    threads: Option<usize>,
    check: bool,
    json: bool,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self::default();
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--only" => options.only = args.next(),
                "--threads" => options.threads = args.next().and_then(|n| n.parse().ok()),
                "--check" => options.check = true,
                "--json" => options.json = true,
                other => panic!("unknown option {other}"),
            }
        }
        options
    }
}

/// Standard normal values times 0.04, the spread of BERT's weights.
fn normal(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF1;
    let mut unit = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..len)
        .map(|_| {
            let radius = (-2.0 * (1.0 - unit()).ln()).sqrt();
            (0.04 * radius * (std::f64::consts::TAU * unit()).cos()) as f32
        })
        .collect()
}

/// Highest resident size of this process; 0 where the system does not say.
fn peak_mebibytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)).and_then(|v| v.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}
