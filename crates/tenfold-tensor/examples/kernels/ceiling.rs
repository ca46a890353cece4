//! What this machine can do at most, measured: multiply-adds in registers, and bytes read from memory, by all threads.

use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;
use tenfold_tensor::cpu::{self, Level};

/// Rates that no kernel can pass.
pub(super) struct Ceiling {
    /// Floating-point operations a second, in f32.
    pub(super) f32: f64,
    /// The same in products of bf16 pairs; those of f32 where there are none. Not measured for matrix units.
    pub(super) bf16: f64,
    /// Bytes read a second from arrays that no cache holds.
    pub(super) bytes: f64,
}

/// Repetitions of a round of operations.
const ROUNDS: usize = 1 << 22;
/// Independent sums in a round: enough that none waits for the one before.
const SUMS: usize = 16;

impl Ceiling {
    pub(super) fn measure() -> Ceiling {
        let f32 = best(flops(fused as fn(usize) -> f64));
        let bf16 = if cpu::detected() >= Level::Avx512Bf16 { best(flops(pairs)) } else { f32 };
        let source = vec![1.0f32; 64 << 20];
        let read = || {
            let sum: f32 =
                source.par_chunks(1 << 20).map(|chunk| chunk.iter().copied().fold(0.0, f32::max)).sum();
            black_box(sum);
            4.0 * source.len() as f64
        };
        Ceiling { f32, bf16, bytes: best(read) }
    }
}

/// All threads at once, each with a share of operations of its own.
fn flops(f: fn(usize) -> f64) -> impl Fn() -> f64 {
    move || (0..rayon::current_num_threads()).into_par_iter().map(|_| f(ROUNDS)).sum()
}

/// The highest rate of a few repetitions of work that returns its amount.
fn best(work: impl Fn() -> f64) -> f64 {
    let rate = |_| {
        let start = Instant::now();
        work() / start.elapsed().as_secs_f64()
    };
    (0..5).map(rate).fold(0.0, f64::max)
}

#[cfg(not(target_arch = "x86_64"))]
fn fused(rounds: usize) -> f64 {
    plain(rounds)
}

#[cfg(not(target_arch = "x86_64"))]
fn pairs(rounds: usize) -> f64 {
    plain(rounds)
}

#[cfg(target_arch = "x86_64")]
fn fused(rounds: usize) -> f64 {
    match cpu::detected() {
        Level::Portable => plain(rounds),
        // SAFETY: the machine reported the instructions.
        Level::Avx2 => unsafe { x86::narrow(rounds) },
        // SAFETY: as above.
        _ => unsafe { x86::wide(rounds) },
    }
}

#[cfg(target_arch = "x86_64")]
fn pairs(rounds: usize) -> f64 {
    // SAFETY: only called where the machine reported the instructions.
    unsafe { x86::pairs(rounds) }
}

/// Four floats at a time, which every compiler makes one register.
fn plain(rounds: usize) -> f64 {
    let (a, b) = (black_box([1.0f32; 4]), black_box([1e-9f32; 4]));
    let mut sums = [[0.0f32; 4]; SUMS];
    for _ in 0..rounds {
        for sum in &mut sums {
            for (lane, sum) in sum.iter_mut().enumerate() {
                *sum += a[lane] * b[lane];
            }
        }
    }
    black_box(sums);
    (2 * 4 * SUMS * rounds) as f64
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{SUMS, black_box};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn narrow(rounds: usize) -> f64 {
        let (a, b) = (_mm256_set1_ps(black_box(1.0)), _mm256_set1_ps(black_box(1e-9)));
        // Fewer registers at this level.
        let mut sums = [_mm256_setzero_ps(); 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
        (2 * 8 * sums.len() * rounds) as f64
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn wide(rounds: usize) -> f64 {
        let (a, b) = (_mm512_set1_ps(black_box(1.0)), _mm512_set1_ps(black_box(1e-9)));
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
        black_box(sums);
        (2 * 16 * SUMS * rounds) as f64
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) fn pairs(rounds: usize) -> f64 {
        let ones = _mm512_set1_epi32(black_box(0x3f80_3f80));
        // SAFETY: both are the same 64 bytes.
        let ones: __m512bh = unsafe { std::mem::transmute(ones) };
        let mut sums = [_mm512_setzero_ps(); SUMS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, ones, ones);
            }
        }
        black_box(sums);
        (4 * 16 * SUMS * rounds) as f64
    }
}
