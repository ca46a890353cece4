//! One training step of encoder blocks (forward, backward, AdamW) with candle's own ops, those that have a gradient:
//! the baseline of decision record 0001.
//!
//! What is measured: the median of `repeat` steps after one warm-up, in milliseconds, for the shape given as
//! `LAYERS WIDTH HEADS HIDDEN BATCH TIME`. Prints one JSON line. What would mislead: other work on the machine; a
//! build without the `x86-v4` line of the manifest.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use std::time::Instant;

/// Timed steps.
const REPEAT: usize = 5;

struct Layer {
    attention: [(Var, Var); 4],
    up: (Var, Var),
    down: (Var, Var),
    norms: [(Var, Var); 2],
}

fn linear(x: &Tensor, (w, b): &(Var, Var)) -> Result<Tensor> {
    x.broadcast_matmul(&w.t()?)?.broadcast_add(b)
}

fn norm(x: &Tensor, (gain, bias): &(Var, Var)) -> Result<Tensor> {
    let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
    centered.broadcast_div(&(variance + 1e-12)?.sqrt()?)?.broadcast_mul(gain)?.broadcast_add(bias)
}

fn forward(layer: &Layer, x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, time, width) = x.dims3()?;
    let split = |x: Tensor| x.reshape((batch, time, heads, width / heads))?.transpose(1, 2)?.contiguous();
    let [q, k, v] = [0, 1, 2].map(|at| linear(x, &layer.attention[at]).and_then(split));
    let scores = (q?.matmul(&k?.t()?)? / ((width / heads) as f64).sqrt())?;
    let mixed = candle_nn::ops::softmax(&scores, D::Minus1)?.matmul(&v?)?;
    let mixed = mixed.transpose(1, 2)?.reshape((batch, time, width))?;
    let x = norm(&(linear(&mixed, &layer.attention[3])? + x)?, &layer.norms[0])?;
    let wide = linear(&linear(&x, &layer.up)?.gelu_erf()?, &layer.down)?;
    norm(&(wide + &x)?, &layer.norms[1])
}

fn main() -> Result<()> {
    let sizes: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let &[layers, width, heads, hidden, batch, time] = sizes.as_slice() else {
        eprintln!("usage: engine-spike LAYERS WIDTH HEADS HIDDEN BATCH TIME");
        std::process::exit(2);
    };
    let device = Device::Cpu;
    let pair = |rows: usize, cols: usize| -> Result<(Var, Var)> {
        Ok((Var::randn(0f32, 0.02, (rows, cols), &device)?, Var::zeros(rows, DType::F32, &device)?))
    };
    let unit = || -> Result<(Var, Var)> {
        Ok((Var::ones(width, DType::F32, &device)?, Var::zeros(width, DType::F32, &device)?))
    };
    let mut stack = Vec::new();
    for _ in 0..layers {
        let attention = [pair(width, width)?, pair(width, width)?, pair(width, width)?, pair(width, width)?];
        stack.push(Layer { attention, up: pair(hidden, width)?, down: pair(width, hidden)?, norms: [unit()?, unit()?] });
    }
    let head = pair(2, width)?;
    let mut all = vec![head.0.clone(), head.1.clone()];
    for layer in &stack {
        let pairs = layer.attention.iter().chain([&layer.up, &layer.down]).chain(&layer.norms);
        all.extend(pairs.flat_map(|(w, b)| [w.clone(), b.clone()]));
    }
    let mut optimizer = AdamW::new(all, ParamsAdamW::default())?;
    let x = Tensor::randn(0f32, 1.0, (batch, time, width), &device)?;
    let targets = Tensor::zeros(batch, DType::U32, &device)?;
    let mut milliseconds = Vec::new();
    for _ in 0..=REPEAT {
        let start = Instant::now();
        let mut hidden = x.clone();
        for layer in &stack {
            hidden = forward(layer, &hidden, heads)?;
        }
        let logits = linear(&hidden.narrow(1, 0, 1)?.squeeze(1)?, &head)?;
        let loss = candle_nn::loss::cross_entropy(&logits, &targets)?;
        optimizer.backward_step(&loss)?;
        milliseconds.push(start.elapsed().as_secs_f64() * 1e3);
    }
    milliseconds.remove(0);
    milliseconds.sort_by(f64::total_cmp);
    let median = milliseconds[milliseconds.len() / 2];
    println!("{{\"engine\": \"candle, composed ops\", \"shape\": {sizes:?}, \"median_ms\": {median:.1}}}");
    Ok(())
}
