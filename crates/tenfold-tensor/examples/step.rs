//! Time of one training step of an encoder with this crate's ops; the peer is `bench/peers/torch_step.py`.
//!
//! What is measured: forward + backward + AdamW in `f32` over post-norm encoder blocks and a two-class head on the
//! mean of every sequence; no embedding table, no dropout; median over the timed repetitions, after warm-up.
//! Data: fixed pseudo-random activations; the time does not depend on the values.
//! What would mislead you: another process on the machine, or a build without `--release`.
//!
//! usage: step [--repeat N] [--warmup N] [--only 6x384|12x768]; one line of JSON per model on stdout.
#![allow(clippy::print_stdout, reason = "a bench reports by printing")]

use std::process::ExitCode;
use std::time::Instant;

use tenfold_tensor::optim::{AdamW, AdamWState};
use tenfold_tensor::{Activation, Array, Error, Offsets, Tape, Var, cpu, op, pool};

struct Model {
    name: &'static str,
    layers: usize,
    width: usize,
    heads: usize,
    hidden: usize,
    batch: usize,
    tokens: usize,
}

const MODELS: [Model; 2] = [
    Model { name: "6x384", layers: 6, width: 384, heads: 12, hidden: 1536, batch: 32, tokens: 128 },
    Model { name: "12x768", layers: 12, width: 768, heads: 12, hidden: 3072, batch: 8, tokens: 128 },
];

/// Leaves per block: four projections, two norms, two feed-forward maps, each with two leaves.
const PER_BLOCK: usize = 16;

impl Model {
    fn leaves(&self) -> Vec<Array> {
        let (d, f) = (self.width, self.hidden);
        let mut leaves = Vec::new();
        let linear = |rows: usize, cols: usize| {
            let bound = 1.0 / (cols as f32).sqrt();
            [random(&[rows, cols], bound, (rows * cols) as u64), random(&[rows], bound, rows as u64)]
        };
        for _ in 0..self.layers {
            for (rows, cols) in [(d, d), (d, d), (d, d), (d, d)] {
                leaves.extend(linear(rows, cols));
            }
            leaves.extend([Array::full(&[d], 1.0), Array::zeros(&[d])]);
            leaves.extend(linear(f, d));
            leaves.extend(linear(d, f));
            leaves.extend([Array::full(&[d], 1.0), Array::zeros(&[d])]);
        }
        leaves.extend(linear(2, d));
        leaves
    }

    fn loss(&self, leaves: &[Var], x: &Array, offsets: &Offsets) -> Result<Var, Error> {
        let mut x = Var::constant(x.clone());
        let (blocks, head) = leaves.split_at(self.layers * PER_BLOCK);
        for l in blocks.chunks_exact(PER_BLOCK) {
            let linear = |x: &Var, i: usize, act| op::linear(x, &l[i], Some(&l[i + 1]), act);
            let identity = Activation::Identity;
            let (q, k, v) = (linear(&x, 0, identity), linear(&x, 2, identity), linear(&x, 4, identity));
            let a = op::attention(&q, &k, &v, offsets, self.heads, false);
            drop((q, k, v));
            let a = linear(&a, 6, identity);
            x = op::layer_norm(&a, Some(&x), &l[8], &l[9], 1e-5);
            drop(a);
            let hidden = linear(&x, 10, Activation::Gelu);
            let y = linear(&hidden, 12, identity);
            x = op::layer_norm(&y, Some(&x), &l[14], &l[15], 1e-5);
        }
        let pooled = op::segment_mean(&x, offsets);
        let logits = op::linear(&pooled, &head[0], Some(&head[1]), Activation::Identity);
        let targets: Vec<u32> = (0..self.batch as u32).map(|i| i % 2).collect();
        op::cross_entropy(&logits, &targets)
    }

    fn measure(&self, repeat: usize, warmup: usize) -> Result<(), Error> {
        let offsets = Offsets::from_lengths(&vec![self.tokens; self.batch]);
        let x = random(&[self.batch * self.tokens, self.width], 1.7, 5);
        let mut leaves = self.leaves();
        let mut states: Vec<AdamWState> = leaves.iter().map(|leaf| AdamWState::new(leaf.shape())).collect();
        let adam = AdamW::default();
        let mut times: [Vec<f64>; 4] = Default::default();
        let mut last = 0.0;
        for i in 0..warmup + repeat {
            let t0 = Instant::now();
            let tape = Tape::new();
            let vars: Vec<Var> = leaves.drain(..).map(|leaf| tape.leaf(leaf)).collect();
            let loss = self.loss(&vars, &x, &offsets)?;
            last = loss.value().item();
            let t1 = Instant::now();
            let mut gradients = tape.backward(&loss)?;
            drop(loss);
            let t2 = Instant::now();
            for (var, state) in vars.into_iter().zip(&mut states) {
                let gradient = gradients.take(&var);
                let mut value = var.value().clone();
                drop(var);
                if let Some(gradient) = gradient {
                    adam.step(&mut value, &gradient, state, i as u64 + 1, 1e-4, 0.01, 1.0);
                }
                leaves.push(value);
            }
            let t3 = Instant::now();
            if i >= warmup {
                for (times, (from, to)) in times.iter_mut().zip([(t0, t1), (t1, t2), (t2, t3), (t0, t3)]) {
                    times.push((to - from).as_secs_f64() * 1e3);
                }
            }
        }
        let mut line = format!(
            "{{\"what\": \"step\", \"engine\": \"tenfold\", \"model\": \"{}\", \"dtype\": \"f32\", \"threads\": {}, \
             \"level\": \"{:?}\", \"repeat\": {repeat}, \"loss\": {last}, \"peak_bytes\": {}",
            self.name,
            rayon::current_num_threads(),
            cpu::active(),
            pool::peak_bytes()
        );
        for (name, times) in ["forward", "backward", "update", "step"].iter().zip(&mut times) {
            times.sort_by(f64::total_cmp);
            line += &format!(
                ", \"{name}_ms\": {:.2}, \"{name}_min_ms\": {:.2}",
                times[times.len() / 2],
                times[0]
            );
        }
        println!("{line}}}");
        Ok(())
    }
}

/// Pseudo-random numbers in (-bound, bound).
fn random(shape: &[usize], bound: f32, seed: u64) -> Array {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values = (0..shape.iter().product::<usize>())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * bound
        })
        .collect();
    Array::from_vec(values, shape)
}

fn main() -> ExitCode {
    let (mut repeat, mut warmup, mut only) = (9, 2, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        match (name.as_str(), value.parse::<usize>()) {
            ("--repeat", Ok(n)) if n > 0 => repeat = n,
            ("--warmup", Ok(n)) => warmup = n,
            ("--only", _) => only = Some(value),
            _ => {
                println!("usage: step [--repeat N] [--warmup N] [--only 6x384|12x768]");
                return ExitCode::from(2);
            }
        }
    }
    for model in MODELS.iter().filter(|model| only.as_deref().is_none_or(|name| name == model.name)) {
        if let Err(error) = model.measure(repeat, warmup) {
            println!("{error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
