//! Times of single ops at the shapes of real layers, with their floating-point operations and bytes, and which share that is of
//! what the machine can do: of its multiply-adds or of its reads from memory, whichever is larger (above 100 % what stays in cache).
//!
//! What is measured: the least wall time of many repetitions, because a single op is shorter than a quiet moment of a
//! busy machine, and the mean processor time of all threads, which other programs disturb less. Data: fixed pseudo-random values. What would mislead you: a build without `--release`; operands that stay
//! in cache between repetitions, as they do for the smaller shapes.
//!
//! usage: kernels [filter]; a table on stdout.
#![allow(clippy::print_stdout, reason = "a bench reports by printing")]
#![allow(unsafe_code, reason = "the ceilings use instructions by name")]

mod ceiling;

use ceiling::Ceiling;
use std::time::Instant;

use tenfold_tensor::product::{Threads, View, ViewMut, gemm};
use tenfold_tensor::{Activation, Array, Offsets, Precision, Tape, Var, op, placed};

struct Bench {
    filter: String,
    ceiling: Ceiling,
}

impl Bench {
    fn run(&self, name: &str, flops: f64, bytes: f64, mut f: impl FnMut()) {
        if !name.contains(&self.filter) {
            return;
        }
        f();
        let (start, cpu) = (Instant::now(), processor_seconds());
        let (mut least, mut rounds) = (f64::INFINITY, 0);
        while rounds < 5 || start.elapsed().as_secs_f64() < 1.0 {
            let t = Instant::now();
            f();
            least = least.min(t.elapsed().as_secs_f64());
            rounds += 1;
        }
        let cpu = (processor_seconds() - cpu) / f64::from(rounds);
        let most = match name {
            _ if name.contains("bf16x3") => self.ceiling.bf16 / 3.0,
            _ if name.contains("bf16") => self.ceiling.bf16,
            _ => self.ceiling.f32,
        };
        let share = (flops / least / most).max(bytes / least / self.ceiling.bytes);
        println!(
            "{name:48} {:9.3} ms {:9.3} cpu ms {:7.1} Gflop/s {:6.1} GB/s {:4.0} %",
            least * 1e3,
            cpu * 1e3,
            flops / least / 1e9,
            bytes / least / 1e9,
            100.0 * share
        );
    }
}

/// Processor time of this program so far, where the system tells; it counts in hundredths of a second.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

fn values(shape: &[usize]) -> Array {
    let len = shape.iter().product();
    Array::from_vec((0..len).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / 300.0).collect(), shape)
}

fn products(bench: &Bench) {
    for (m, k, n) in
        [(4096, 384, 384), (4096, 384, 1536), (4096, 1536, 384), (1024, 768, 768), (1024, 768, 3072)]
    {
        let flops = 2.0 * (m * k * n) as f64;
        let bytes = 4.0 * (m * k + k * n + m * n) as f64;
        let (x, w, y) = (values(&[m, k]), values(&[n, k]), values(&[m, n]));
        for (label, threads) in [("1", Threads::One), ("all", Threads::All)] {
            let mut out = Array::zeros(&[m, n]);
            bench.run(&format!("gemm forward {m}x{k}x{n} threads {label}"), flops, bytes, || {
                let (x, w) = (View::new(x.data(), m, k), View::new(w.data(), n, k).t());
                gemm(ViewMut::new(out.data_mut(), m, n), 0.0, 1.0, x, w, threads);
            });
            let mut dx = Array::zeros(&[m, k]);
            bench.run(&format!("gemm input gradient {m}x{k}x{n} threads {label}"), flops, bytes, || {
                let (y, w) = (View::new(y.data(), m, n), View::new(w.data(), n, k));
                gemm(ViewMut::new(dx.data_mut(), m, k), 0.0, 1.0, y, w, threads);
            });
            let mut dw = Array::zeros(&[n, k]);
            bench.run(&format!("gemm weight gradient {m}x{k}x{n} threads {label}"), flops, bytes, || {
                let (y, x) = (View::new(y.data(), m, n).t(), View::new(x.data(), m, k));
                gemm(ViewMut::new(dw.data_mut(), n, k), 0.0, 1.0, y, x, threads);
            });
        }
    }
    for (t, k) in [(16, 32), (32, 32), (64, 32), (128, 32), (128, 64)] {
        let (q, p) = (values(&[t, 12 * k]), values(&[t, t]));
        let mut s = Array::zeros(&[t, t]);
        let mut o = Array::zeros(&[t, 12 * k]);
        let flops = 2.0 * (t * t * k) as f64;
        let head = View::strided(q.data(), t, k, 12 * k, 1);
        bench.run(&format!("gemm small q k^T tokens {t} width {k}"), flops * 20.0, 0.0, || {
            for _ in 0..20 {
                gemm(ViewMut::new(s.data_mut(), t, t), 0.0, 1.0, head, head.t(), Threads::One);
            }
        });
        bench.run(&format!("gemm small p v tokens {t} width {k}"), flops * 20.0, 0.0, || {
            for _ in 0..20 {
                let out = ViewMut::strided(o.data_mut(), t, k, 12 * k);
                gemm(out, 0.0, 1.0, View::new(p.data(), t, t), head, Threads::One);
            }
        });
        bench.run(&format!("gemm small p^T v tokens {t} width {k}"), flops * 20.0, 0.0, || {
            for _ in 0..20 {
                let out = ViewMut::strided(o.data_mut(), t, k, 12 * k);
                gemm(out, 0.0, 1.0, View::new(p.data(), t, t).t(), head, Threads::One);
            }
        });
    }
}

/// Forward alone, and forward with backward, of a function of some leaves.
fn both(bench: &Bench, name: &str, flops: f64, bytes: f64, leaves: &[Array], f: impl Fn(&[Var]) -> Var) {
    let constants: Vec<Var> = leaves.iter().cloned().map(Var::constant).collect();
    let direction = Var::constant(values(f(&constants).shape()));
    bench.run(&format!("{name} forward"), flops, bytes, || drop(f(&constants)));
    bench.run(&format!("{name} forward and backward"), 3.0 * flops, 3.0 * bytes, || {
        let tape = Tape::new();
        let vars: Vec<Var> = leaves.iter().map(|leaf| tape.leaf(leaf.clone())).collect();
        let y = f(&vars);
        drop(tape.backward(&op::sum(&op::mul(&y, &direction))));
    });
}

/// Whole linear maps in every precision, with the weight packed anew (a leaf that trains) or kept (a constant).
fn linears(bench: &Bench) {
    for (m, k, n) in [(32, 384, 384), (128, 384, 1536), (128, 768, 768), (4096, 384, 1536), (1024, 768, 3072)]
    {
        let flops = 2.0 * (m * k * n) as f64;
        let bytes = 4.0 * (m * k + k * n + m * n) as f64;
        let (x, w) = (Var::constant(values(&[m, k])), values(&[n, k]));
        let kept = Var::constant(w.clone());
        for precision in Precision::ALL {
            bench.run(&format!("linear {precision} kept {m}x{k}x{n}"), flops, bytes, || {
                drop(op::linear_in(precision, &x, &kept, None, Activation::Identity));
            });
            bench.run(&format!("linear {precision} step {m}x{k}x{n}"), 3.0 * flops, 3.0 * bytes, || {
                let tape = Tape::new();
                let (x, w) = (tape.leaf(x.value().clone()), tape.leaf(w.clone()));
                let y = op::linear_in(precision, &x, &w, None, Activation::Identity);
                drop(tape.backward(&op::sum(&y)));
            });
        }
    }
}

fn main() {
    placed(run);
}

fn run() {
    let cores: Vec<Array> = [[1, 4, 4, 16], [16, 4, 4, 64], [64, 3, 6, 64], [64, 4, 8, 16], [16, 4, 4, 1]]
        .iter()
        .map(|shape| values(shape))
        .collect();
    let ceiling = Ceiling::measure();
    println!(
        "at most: {:.0} Gflop/s in f32, {:.0} in products of bf16 pairs, {:.1} GB/s read, by {} threads",
        ceiling.f32 / 1e9,
        ceiling.bf16 / 1e9,
        ceiling.bytes / 1e9,
        rayon::current_num_threads()
    );
    let bench = Bench { filter: std::env::args().nth(1).unwrap_or_default(), ceiling };
    products(&bench);
    linears(&bench);
    both(&bench, "mpo_rebuild 768x3072 bonds 64", 0.341e9, 9.4e6, &cores, op::mpo_rebuild);
    let n = 4096;
    let x = values(&[n, 1536]);
    let bias = values(&[1536]);
    let bytes = 8.0 * x.len() as f64;
    for act in Activation::ALL {
        both(&bench, &format!("bias_act {act:?} 4096x1536"), 0.0, bytes, &[x.clone(), bias.clone()], |v| {
            op::bias_act(&v[0], Some(&v[1]), act)
        });
    }
    let h = values(&[n, 384]);
    let (gain, shift) = (values(&[384]), values(&[384]));
    let bytes = 12.0 * h.len() as f64;
    both(&bench, "layer_norm residual 4096x384", 0.0, bytes, &[h.clone(), h.clone(), gain, shift], |v| {
        op::layer_norm(&v[0], Some(&v[1]), &v[2], &v[3], 1e-5)
    });
    for (tokens, batch, width) in
        [(128, 32, 384), (128, 8, 768), (16, 256, 384), (37, 110, 384), (512, 8, 384)]
    {
        let x = values(&[tokens * batch, width]);
        let offsets = Offsets::from_lengths(&vec![tokens; batch]);
        let flops = 4.0 * (tokens * tokens * batch * width) as f64;
        let name = format!("attention {batch}x{tokens} width {width}");
        both(&bench, &name, flops, 16.0 * x.len() as f64, &[x.clone(), x.clone(), x], |v| {
            op::attention(&v[0], &v[1], &v[2], &offsets, 12, false)
        });
    }
}
