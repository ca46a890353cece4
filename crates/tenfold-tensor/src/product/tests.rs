//! Products in every precision, at every level, against sums in `f64`.

use super::*;
use crate::cpu;
use crate::product::round::{High, Low, Unit};

/// Relative to the sum of magnitudes: what summing a few hundred terms in `f32` in another order changes.
const SUMMED: f64 = 2e-6;
/// The same, with operands that keep 16 bits.
const SIXTEEN_BITS: f64 = 4e-5;
/// The same, with operands rounded to 8 bits: 2^-8 each, and some of it cancels.
const EIGHT_BITS: f64 = 8e-3;

fn value(i: usize) -> f32 {
    ((i * 7919 + i * i % 31) % 2003) as f32 / 700.0 - 1.4
}

fn part(unit: u32) -> f64 {
    f64::from(f32::from_bits(unit & 0xffff_0000))
}

/// What a precision makes of an operand.
fn seen(precision: Precision, x: f32) -> f64 {
    match precision {
        Precision::F32 | Precision::Int8 => f64::from(x),
        Precision::Bf16x3 => part(High::of(0.0, x)) + part(Low::of(0.0, x)),
        Precision::Bf16 => part(High::of(0.0, x)),
    }
}

struct Case {
    m: usize,
    k: usize,
    n: usize,
    lhs: Vec<f32>,
    rhs: Vec<f32>,
}

/// Operands with gaps between rows, each as it is or transposed, from an odd offset on.
impl Case {
    fn new(m: usize, k: usize, n: usize) -> Case {
        let long = |a: usize, b: usize| (a.max(b) + 3) * (a.max(b) + 3) + 1;
        Case {
            m,
            k,
            n,
            lhs: (0..long(m, k)).map(value).collect(),
            rhs: (0..long(k, n)).map(|i| value(i + 77)).collect(),
        }
    }

    fn lhs(&self, transposed: bool) -> View<'_, f32> {
        side(&self.lhs, self.m, self.k, transposed)
    }

    fn rhs(&self, transposed: bool) -> View<'_, f32> {
        side(&self.rhs, self.k, self.n, transposed)
    }
}

fn side(data: &[f32], rows: usize, cols: usize, transposed: bool) -> View<'_, f32> {
    if transposed {
        View::strided(&data[1..], cols, rows, rows + 3, 1).t()
    } else {
        View::strided(&data[1..], rows, cols, cols + 3, 1)
    }
}

fn entry(view: View<'_, f32>, i: usize, j: usize) -> f32 {
    view.data[i * view.row_step + j * view.col_step]
}

#[track_caller]
#[expect(clippy::too_many_arguments, reason = "a product, what it should be, and how closely")]
fn assert_product(
    label: &str,
    got: &[f32],
    step: usize,
    before: f64,
    a: View<'_, f32>,
    b: View<'_, f32>,
    of: impl Fn(f32) -> f64,
    tolerance: f64,
) {
    for i in 0..a.rows {
        for j in 0..b.cols {
            let (mut sum, mut size) = (before, before.abs());
            for l in 0..a.cols {
                let product = of(entry(a, i, l)) * of(entry(b, l, j));
                sum += product;
                size += product.abs();
            }
            let error = (f64::from(got[i * step + j]) - sum).abs();
            assert!(error <= tolerance * size + 1e-30, "{label} at {i} {j}: {} for {sum}", got[i * step + j]);
        }
    }
}

const SIZES: [(usize, usize, usize); 9] = [
    (1, 1, 1),
    (7, 31, 33),
    (33, 1, 7),
    (13, 33, 65),
    (65, 64, 63),
    (5, 0, 4),
    (0, 3, 4),
    (25, 515, 70),
    (200, 9, 40),
];

#[test]
fn every_precision_level_and_transposition_agrees_with_sums() {
    cpu::at_every_level(|level| {
        for (m, k, n) in SIZES {
            let case = Case::new(m, k, n);
            for (lhs, rhs) in [(false, false), (false, true), (true, false), (true, true)] {
                let (a, b) = (case.lhs(lhs), case.rhs(rhs));
                for precision in Precision::ALL {
                    for add in [false, true] {
                        let step = n + 5;
                        let mut c = vec![if add { 1.0f32 } else { f32::NAN }; (m * step).max(1)];
                        multiply(precision, ViewMut::strided(&mut c, m, n, step), add, a, b);
                        let label = format!("{level:?} {precision} {m} {k} {n} {lhs} {rhs} {add}");
                        let before = f64::from(u8::from(add));
                        let exact = |x: f32| f64::from(x);
                        // The operands are rounded in one way at every level; the rest is summed in f32.
                        let tolerance = if precision == Precision::Bf16x3 { SIXTEEN_BITS } else { SUMMED };
                        assert_product(&label, &c, step, before, a, b, |x| seen(precision, x), tolerance);
                        let tolerance = match precision {
                            Precision::F32 | Precision::Int8 => SUMMED,
                            Precision::Bf16x3 => SIXTEEN_BITS,
                            Precision::Bf16 => EIGHT_BITS,
                        };
                        assert_product(&label, &c, step, before, a, b, exact, tolerance);
                        let gap = |i: &usize| i % step >= n;
                        assert!((0..m * step).filter(gap).all(|i| add == (c[i] == 1.0)), "{label}: gaps");
                    }
                }
            }
        }
    });
}

#[test]
fn a_kept_weight_is_packed_once_and_again_after_every_change() {
    for precision in Precision::ALL {
        let (rows, inner, outer) = (9, 37, 41);
        let x: Vec<f32> = (0..rows * inner).map(value).collect();
        let mut w = Array::from_vec((0..outer * inner).map(|i| value(i + 5)).collect(), &[outer, inner]);
        for round in 0..3 {
            let mut c = vec![0.0; rows * outer];
            let a = View::new(&x, rows, inner);
            for _ in 0..2 {
                let weight = Weight { value: &w, transposed: true, keep: true };
                weighted(precision, ViewMut::new(&mut c, rows, outer), false, a, &weight, None);
            }
            let b = View::new(w.data(), outer, inner).t();
            let label = format!("{precision} round {round}");
            assert_product(&label, &c, outer, 0.0, a, b, |x| seen(precision, x), SIXTEEN_BITS);
            let shared = w.clone();
            w.data_mut().iter_mut().for_each(|w| *w *= -2.0);
            // The one that was not written keeps its own.
            let weight = Weight { value: &shared, transposed: true, keep: true };
            let before = c.clone();
            weighted(precision, ViewMut::new(&mut c, rows, outer), false, a, &weight, None);
            assert_eq!(c, before, "{label}");
        }
    }
}

#[test]
fn both_orientations_of_a_square_weight_are_told_apart() {
    let w = Array::from_vec((0..49).map(value).collect(), &[7, 7]);
    let x: Vec<f32> = (0..21).map(value).collect();
    let a = View::new(&x, 3, 7);
    for transposed in [true, false, true] {
        let mut c = vec![0.0; 21];
        let weight = Weight { value: &w, transposed, keep: true };
        weighted(Precision::Bf16, ViewMut::new(&mut c, 3, 7), false, a, &weight, None);
        let b = View::new(w.data(), 7, 7);
        let b = if transposed { b.t() } else { b };
        assert_product("square", &c, 7, 0.0, a, b, |x| seen(Precision::Bf16, x), SUMMED);
    }
}

#[test]
fn infinities_and_nan_come_through() {
    cpu::at_every_level(|level| {
        for precision in Precision::ALL {
            let a = [f32::INFINITY, 1.0, f32::NAN, 1.0];
            let b = [1.0f32, 2.0];
            let mut c = [0.0f32; 2];
            let dst = ViewMut::new(&mut c, 2, 1);
            multiply(precision, dst, false, View::new(&a, 2, 2), View::new(&b, 2, 1));
            assert!(!c[0].is_finite() && c[1].is_nan(), "{level:?} {precision}: {c:?}");
        }
    });
}

fn naive(m: usize, k: usize, n: usize, a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
        }
    }
    c
}

#[test]
fn odd_sizes_and_transposes_agree_with_sums() {
    for (m, k, n) in [(1, 1, 1), (7, 31, 33), (33, 1, 7), (1, 33, 31), (65, 64, 63), (5, 0, 4)] {
        let a: Vec<f64> = (0..m * k).map(|i| ((i * 37 % 19) as f64) - 9.0).collect();
        let b: Vec<f64> = (0..k * n).map(|i| ((i * 53 % 23) as f64) - 11.0).collect();
        let expected = naive(m, k, n, &a, &b);
        let mut c = vec![f64::NAN; m * n];
        gemm(ViewMut::new(&mut c, m, n), 0.0, 1.0, View::new(&a, m, k), View::new(&b, k, n), Threads::All);
        assert_eq!(c, expected, "{m} {k} {n}");
        let mut bt = vec![0.0f32; k * n];
        for l in 0..k {
            for j in 0..n {
                bt[j * k + l] = b[l * n + j] as f32;
            }
        }
        let a32: Vec<f32> = a.iter().map(|&x| x as f32).collect();
        let mut c32 = vec![1.0f32; m * n];
        gemm(
            ViewMut::new(&mut c32, m, n),
            1.0,
            2.0,
            View::new(&a32, m, k),
            View::new(&bt, n, k).t(),
            Threads::One,
        );
        for (&got, &want) in c32.iter().zip(&expected) {
            assert_eq!(f64::from(got), 1.0 + 2.0 * want, "{m} {k} {n}");
        }
    }
}

/// Products that are split, at sizes on both sides of where the library changes its way, agree with sums and with what one
/// thread makes, bit for bit.
#[test]
fn split_products_agree_with_sums_and_do_not_depend_on_threads() {
    let shapes = [
        (35, 2051, 30),
        (1, 2051, 600),
        (600, 2051, 1),
        (128, 129, 128),
        (129, 700, 131),
        (64, 600, 200),
        (257, 40, 513),
        (13, 1030, 700),
        (1100, 70, 15),
        (300, 2, 2000),
        (16, 1030, 256),
        (2, 2051, 300),
        (500, 1500, 3),
        (16, 65, 2000),
        (100, 513, 100),
    ];
    for (m, k, n) in shapes {
        let case = Case::new(m, k, n);
        for (lhs, rhs) in [(false, false), (false, true), (true, false), (true, true)] {
            let product = || {
                let mut c = vec![1.0f32; m * (n + 2)];
                let dst = ViewMut::strided(&mut c, m, n, n + 2);
                gemm(dst, 1.0, 1.0, case.lhs(lhs), case.rhs(rhs), Threads::All);
                c
            };
            let with = |threads| {
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(product)
            };
            let got = with(1);
            let of = |x: f32| f64::from(x);
            assert_product("split", &got, n + 2, 1.0, case.lhs(lhs), case.rhs(rhs), of, SUMMED);
            for threads in [2, 3, 8] {
                assert!(with(threads) == got, "{m} x {k} x {n}, {threads} threads, {lhs} {rhs}");
            }
        }
    }
}

#[test]
fn results_are_cut_along_their_longer_side() {
    assert_eq!(grid(4096, 384, 4), [4, 1]);
    assert_eq!(grid(128, 1536, 4), [1, 4]);
    assert_eq!(grid(384, 384, 4), [2, 2]);
    assert_eq!(grid(512, 512, 4), [2, 2]);
    assert_eq!(grid(200, 100, 4), [1, 1]);
}

#[test]
#[should_panic(expected = "does not fit")]
fn a_view_past_its_slice_panics() {
    let _ = View::new(&[0.0f32; 5], 2, 3);
}

#[cfg(unix)]
#[test]
fn products_touch_nothing_outside_their_operands() {
    use crate::guard::{Guarded, at_every_level_and_side};
    at_every_level_and_side(|at_end| {
        for (m, k, n) in [(1, 1, 1), (13, 33, 65), (7, 31, 33), (4, 2, 47), (193, 5, 3)] {
            let (a, b) = (Guarded::new(m * k, at_end, value), Guarded::new(k * n, at_end, value));
            let mut c = Guarded::new(m * n, at_end, |_| 0.0);
            for (lhs, rhs) in [(false, false), (false, true), (true, false), (true, true)] {
                let a = if lhs { View::new(a.data(), k, m).t() } else { View::new(a.data(), m, k) };
                let b = if rhs { View::new(b.data(), n, k).t() } else { View::new(b.data(), k, n) };
                for precision in Precision::ALL {
                    for add in [false, true] {
                        multiply(precision, ViewMut::new(c.data_mut(), m, n), add, a, b);
                    }
                }
            }
        }
    });
}
