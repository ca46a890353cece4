//! Time of one training step, or of inference, of an encoder with this crate's ops; the peer is
//! `bench/peers/torch_step.py`.
//!
//! What is measured: forward + backward + AdamW over post-norm encoder blocks and a two-class head on the mean of every
//! sequence, or the forward pass alone without a tape; no embedding table, no dropout; median over the timed
//! repetitions, after warm-up. Products in the precision asked for, all else in `f32`.
//! Data: fixed pseudo-random activations; the time does not depend on the values.
//! What would mislead you: another process on the machine, or a build without `--release`.
//!
//! `--lengths` names a file with the lengths of sentences, one a line: batches of as many tokens as the fixed ones are
//! packed from them, longest sentences first.
//!
//! usage: step [--repeat N] [--warmup N] [--only 6x384|12x768] [--precision f32|bf16x3|bf16] [--infer BATCH]
//! [--lengths FILE] [--device cpu|cuda]; one line of JSON per model on stdout.
#![allow(clippy::print_stdout, reason = "a bench reports by printing")]

use std::process::ExitCode;
use std::time::Instant;

use tenfold_tensor::optim::{AdamW, AdamWState};
use tenfold_tensor::{
    Activation, Array, Error, Offsets, Precision, Tape, Var, cpu, device, op, placed, pool,
};

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

    fn logits(&self, precision: Precision, leaves: &[Var], x: &Array, offsets: &Offsets) -> Var {
        let mut x = Var::constant(x.clone());
        let (blocks, head) = leaves.split_at(self.layers * PER_BLOCK);
        for l in blocks.chunks_exact(PER_BLOCK) {
            let linear = |x: &Var, i: usize, act| op::linear_in(precision, x, &l[i], Some(&l[i + 1]), act);
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
        op::linear_in(precision, &pooled, &head[0], Some(&head[1]), Activation::Identity)
    }

    /// Batches of as many tokens as the fixed shape has, of sentences of these lengths, longest first.
    fn batches(&self, lengths: &[usize]) -> Vec<Offsets> {
        let budget = self.batch * self.tokens;
        let mut sorted = lengths.to_vec();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        let mut batches: Vec<Vec<usize>> = vec![Vec::new()];
        let mut held = 0;
        for length in sorted {
            if held + length > budget {
                batches.push(Vec::new());
                held = 0;
            }
            held += length;
            if let Some(last) = batches.last_mut() {
                last.push(length);
            }
        }
        batches.iter().map(|batch| Offsets::from_lengths(batch)).collect()
    }

    fn infer(&self, options: &Options, batch: usize) {
        let leaves: Vec<Var> = self.leaves().into_iter().map(Var::constant).collect();
        let fixed = vec![Offsets::from_lengths(&vec![self.tokens; batch])];
        let batches = options.lengths.as_deref().map_or(fixed, |lengths| self.batches(lengths));
        let most = batches.iter().map(Offsets::tokens).max().unwrap_or(0);
        let tokens: usize = batches.iter().map(Offsets::tokens).sum();
        let x = random(&[most, self.width], 1.7, 5);
        let inputs: Vec<Array> = batches
            .iter()
            .map(|batch| {
                Array::from_slice(&x.data()[..batch.tokens() * self.width], &[batch.tokens(), self.width])
            })
            .collect();
        let mut times = Vec::new();
        for i in 0..options.warmup + options.repeat {
            let start = Instant::now();
            for (offsets, x) in batches.iter().zip(&inputs) {
                drop(self.logits(options.precision, &leaves, x, offsets));
            }
            if i >= options.warmup {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        println!(
            "{{\"what\": \"inference\", \"engine\": \"tenfold\", \"model\": \"{}\", \"dtype\": \"{}\", \"threads\": {}, \
             \"level\": \"{:?}\", \"lengths\": \"{}\", \"batch\": {batch}, \"repeat\": {}, \"tokens\": {tokens}, \
             \"inference_ms\": {median:.3}, \"inference_min_ms\": {:.3}, \"tokens_per_second\": {:.0}}}",
            self.name,
            options.precision,
            rayon::current_num_threads(),
            cpu::active(),
            if options.lengths.is_some() { "file" } else { "fixed" },
            options.repeat,
            times[0],
            tokens as f64 / median * 1e3,
        );
    }

    fn measure(&self, options: &Options) -> Result<(), Error> {
        let &Options { repeat, warmup, precision, .. } = options;
        let offsets = Offsets::from_lengths(&vec![self.tokens; self.batch]);
        let x = random(&[self.batch * self.tokens, self.width], 1.7, 5);
        let targets: Vec<u32> = (0..self.batch as u32).map(|i| i % 2).collect();
        let mut leaves = self.leaves();
        let mut states: Vec<AdamWState> = leaves.iter().map(|leaf| AdamWState::new(leaf.shape())).collect();
        let adam = AdamW::default();
        let mut times: [Vec<f64>; 4] = Default::default();
        let mut last = 0.0;
        for i in 0..warmup + repeat {
            let t0 = Instant::now();
            let tape = Tape::new();
            let vars: Vec<Var> = leaves.drain(..).map(|leaf| tape.leaf(leaf)).collect();
            let logits = self.logits(precision, &vars, &x, &offsets);
            let loss = op::cross_entropy(&logits, &targets)?;
            drop(logits);
            last = loss.value().item();
            device::wait();
            let t1 = Instant::now();
            let mut gradients = tape.backward(&loss)?;
            drop(loss);
            device::wait();
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
            device::wait();
            let t3 = Instant::now();
            if i >= warmup {
                for (times, (from, to)) in times.iter_mut().zip([(t0, t1), (t1, t2), (t2, t3), (t0, t3)]) {
                    times.push((to - from).as_secs_f64() * 1e3);
                }
            }
        }
        let mut line = format!(
            "{{\"what\": \"step\", \"engine\": \"tenfold\", \"model\": \"{}\", \"dtype\": \"{precision}\", \"threads\": {}, \
             \"level\": \"{:?}\", \"device\": {:?}, \"repeat\": {repeat}, \"loss\": {last}, \"peak_bytes\": {}, \
             \"device_peak_bytes\": {}",
            self.name,
            rayon::current_num_threads(),
            cpu::active(),
            device::name().unwrap_or_else(|| "none".to_owned()),
            pool::peak_bytes(),
            device::peak_bytes()
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

/// Lets ops be computed on a device.
fn begin(word: &str) -> Option<()> {
    #[cfg(feature = "cuda")]
    if word == "cuda" {
        let driver = device::cuda(0).map_err(|fault| println!("{fault}")).ok()?;
        return device::install(driver).then_some(());
    }
    (word == "cpu").then_some(())
}

/// What is measured, and how often.
struct Options {
    repeat: usize,
    warmup: usize,
    only: Option<String>,
    precision: Precision,
    infer: Option<usize>,
    lengths: Option<Vec<usize>>,
}

impl Options {
    fn read() -> Option<Options> {
        let precision = Precision::F32;
        let mut found = Options { repeat: 9, warmup: 2, only: None, precision, infer: None, lengths: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next()?;
            let count = value.parse::<usize>();
            match name.as_str() {
                "--repeat" => found.repeat = count.ok().filter(|n| *n > 0)?,
                "--warmup" => found.warmup = count.ok()?,
                "--only" => found.only = Some(value),
                "--precision" => {
                    found.precision = Precision::ALL.into_iter().find(|one| one.word() == value)?;
                }
                "--device" => begin(&value)?,
                "--infer" => found.infer = Some(count.ok().filter(|n| *n > 0)?),
                "--lengths" => {
                    let text = std::fs::read_to_string(value).ok()?;
                    found.lengths = text.lines().map(|line| line.parse().ok()).collect();
                }
                _ => return None,
            }
        }
        Some(found)
    }
}

fn main() -> ExitCode {
    let Some(options) = Options::read() else {
        println!(
            "usage: step [--repeat N] [--warmup N] [--only 6x384|12x768] [--precision f32|bf16x3|bf16] \
             [--infer BATCH] [--lengths FILE] [--device cpu|cuda]"
        );
        return ExitCode::from(2);
    };
    placed(|| run(&options))
}

fn run(options: &Options) -> ExitCode {
    for model in MODELS.iter().filter(|model| options.only.as_deref().is_none_or(|name| name == model.name)) {
        if let Some(batch) = options.infer {
            model.infer(options, batch);
        } else if let Err(error) = model.measure(options) {
            println!("{error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
