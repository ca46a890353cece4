//! Every op against finite differences, at odd sizes and at every instruction-set level.
//!
//! The table of cases is compared with the list of public ops, so an op without a case fails the test.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tenfold_tensor::op::{Angles, Pairing};
use tenfold_tensor::{Activation, Array, Offsets, Precision, Tape, Var, op};

// The same file as in the testkit; depending on that crate would tie this one to everything above it.
#[path = "../../tenfold-testkit/src/gradient.rs"]
#[allow(dead_code, unreachable_pub)]
mod gradient;

#[path = "gradients/attention.rs"]
mod attention;
#[path = "common/codes.rs"]
mod codes;
#[path = "gradients/expert.rs"]
mod expert;
#[path = "common/levels.rs"]
mod levels;

use attention::{
    attention, attention_across, attention_relative, attention_with_past, attention_with_prefix,
};
use gradient::{Options, array, check};
use levels::{alone, at_every_level};

const SIZES: [usize; 4] = [1, 7, 31, 33];
/// One size where kernels are emulated, which takes long.
fn sizes() -> &'static [usize] {
    if levels::device::is_emulated() { &SIZES[1..2] } else { &SIZES }
}
type Function = Box<dyn Fn(&[Var]) -> Var>;

/// One function to check: what it is, its leaves, and how they become its output.
struct Check {
    label: String,
    leaves: Vec<Array>,
    run: Function,
}

fn case(label: impl Into<String>, leaves: Vec<Array>, run: impl Fn(&[Var]) -> Var + 'static) -> Vec<Check> {
    vec![Check { label: label.into(), leaves, run: Box::new(run) }]
}

/// Entries of magnitude 0.4 to 1.4, so that small moves cross no kink and no zero.
fn away_from_zero(seed: u64, shape: &[usize]) -> Array {
    let mut array = array(seed, shape);
    array.data_mut().iter_mut().for_each(|x| *x += 0.4f32.copysign(*x));
    array
}

fn ids(seed: u64, count: usize, below: usize) -> Vec<u32> {
    gradient::values(seed, count)
        .iter()
        .map(|x| ((x.abs() * below as f32) as u32).min(below as u32 - 1))
        .collect()
}

/// Sequences of unequal length, among them an empty one and one of a single token.
fn offsets(n: usize) -> Offsets {
    Offsets::from_lengths(&[n, 0, 1, n / 2])
}

type Cases = fn(usize) -> Vec<Check>;

const TABLE: [(&str, Cases); 42] = [
    ("linear", linear),
    ("linear_in", linear_in),
    ("coded", coded),
    ("coded_each", coded_each),
    ("coded_columns", coded_columns),
    ("grouped", grouped),
    ("group_sums", |n| case("", vec![array(1, &[3, n])], |v| op::group_sums(&v[0], 4))),
    ("coded_rounded", coded_rounded),
    ("columns", |n| case("", vec![array(1, &[n, 9])], |v| op::columns(&v[0], &[0, 3, 4, 8].into()))),
    ("join_columns", |n| {
        case("", vec![array(1, &[n, 3]), array(2, &[n, 2])], |v| {
            op::join_columns(&v[0], &[0, 2, 3].into(), &v[1], &[1, 4].into())
        })
    }),
    ("hadamard", hadamard),
    ("matmul", |n| case("", vec![array(1, &[n, 5]), array(2, &[5, n + 2])], |v| op::matmul(&v[0], &v[1]))),
    ("bias_act", bias_act),
    ("add", |n| case("", vec![array(1, &[n, 3]), array(2, &[n, 3])], |v| op::add(&v[0], &v[1]))),
    ("sub", |n| case("", vec![array(1, &[n, 3]), array(2, &[n, 3])], |v| op::sub(&v[0], &v[1]))),
    ("mul", |n| case("", vec![array(1, &[n, 3]), array(2, &[n, 3])], |v| op::mul(&v[0], &v[1]))),
    ("scale", |n| case("", vec![array(1, &[n, 3])], |v| op::scale(&v[0], -1.7))),
    ("scale_columns", |n| {
        case("", vec![array(1, &[n, 3]), array(2, &[3])], |v| op::scale_columns(&v[0], &v[1]))
    }),
    ("scale_rows", |n| case("", vec![array(1, &[n, 3]), array(2, &[n])], |v| op::scale_rows(&v[0], &v[1]))),
    ("divide", |n| {
        case("", vec![array(1, &[n, 3])], move |v| op::divide(&v[0], &away_from_zero(2, &[n, 3])))
    }),
    ("attention", attention),
    ("attention_across", attention_across),
    ("attention_relative", attention_relative),
    ("attention_with_past", attention_with_past),
    ("attention_with_prefix", attention_with_prefix),
    ("layer_norm", layer_norm),
    ("rms_norm", rms_norm),
    ("rotary", rotary),
    ("gated", gated),
    ("embedding", |n| {
        case("", vec![array(1, &[9, n])], move |v| op::embedding(&v[0], &ids(3, 20, 9)).unwrap())
    }),
    ("segment_mean", |n| {
        case("", vec![array(1, &[offsets(n).tokens(), 5])], move |v| op::segment_mean(&v[0], &offsets(n)))
    }),
    ("segment_first", |n| {
        case("", vec![array(1, &[offsets(n).tokens(), 5])], move |v| op::segment_first(&v[0], &offsets(n)))
    }),
    ("l2_normalize", |n| case("", vec![away_from_zero(1, &[3, n])], |v| op::l2_normalize(&v[0], 1e-12))),
    ("divergence", |n| {
        case("", vec![array(1, &[5, n])], move |v| op::divergence(&v[0], &array(3, &[5, n])).unwrap())
    }),
    ("cross_entropy", |n| {
        case("", vec![array(1, &[5, n])], move |v| op::cross_entropy(&v[0], &ids(2, 5, n)).unwrap())
    }),
    ("mse", |n| case("", vec![array(1, &[n, 3])], move |v| op::mse(&v[0], &array(2, &[n, 3])))),
    ("cosine_loss", |n| {
        case("", vec![away_from_zero(1, &[3, n])], move |v| op::cosine_loss(&v[0], &array(2, &[3, n])))
    }),
    ("permute", |n| case("", vec![array(1, &[2, n, 3, 2])], |v| op::permute(&v[0], &[2, 0, 3, 1]))),
    ("reshape", |n| case("", vec![array(1, &[2, n, 3])], move |v| op::reshape(&v[0], &[n, 6]))),
    ("crop", |n| case("", vec![array(1, &[n + 2, n + 1])], move |v| op::crop(&v[0], n, n))),
    ("sum", |n| case("", vec![array(1, &[n, n])], |v| op::sum(&v[0]))),
    ("dropout", |n| case("", vec![array(1, &[n, n])], |v| op::dropout(&v[0], 0.3, 42))),
];

/// Rounding to bf16 is a staircase that finite differences cannot climb; that precision is compared with sums over
/// rounded operands beside the products.
fn linear_in(n: usize) -> Vec<Check> {
    let leaves = || vec![array(1, &[n, 5]), array(2, &[n + 1, 5]), array(3, &[n + 1])];
    let check = |precision: Precision| {
        case(format!("{precision}"), leaves(), move |v| {
            op::linear_in(precision, &v[0], &v[1], Some(&v[2]), Activation::Gelu)
        })
    };
    [Precision::F32, Precision::Bf16x3].into_iter().flat_map(check).collect()
}

fn coded(n: usize) -> Vec<Check> {
    let codes = codes::random(3, n + 1, 5, "int4-g3");
    let check = |precision: Precision| {
        let codes = codes.clone();
        case(format!("{precision}"), vec![array(1, &[n, 5]), array(3, &[n + 1])], move |v| {
            op::coded(precision, &v[0], &codes, Some(&v[1]), Activation::Gelu)
        })
    };
    [Precision::F32, Precision::Bf16x3].into_iter().flat_map(check).collect()
}

fn coded_each(n: usize) -> Vec<Check> {
    let (one, other) = (codes::random(3, n + 1, 5, "int4-g3"), codes::random(4, n + 1, 5, "int8-g5"));
    case("", vec![array(1, &[n, 5]), array(3, &[n + 1])], move |v| {
        let both = op::coded_each(Precision::F32, &v[0], &[(&one, Some(&v[1])), (&other, None)]);
        op::mul(&both[0], &both[1])
    })
}

fn coded_columns(n: usize) -> Vec<Check> {
    let codes = codes::random(5, 5, n + 1, "int4-g3");
    case("", vec![array(1, &[n, 5]), array(3, &[n + 1])], move |v| {
        op::coded_columns(Precision::F32, &v[0], &codes, Some(&v[1]), Activation::Gelu)
    })
}

/// With and without shifts; the last group is a short one.
fn grouped(n: usize) -> Vec<Check> {
    let codes = codes::random(9, 3, n + 1, "int3-g4-whole");
    let groups = (n + 1).div_ceil(4);
    let (alone, both) = (codes.clone(), vec![array(1, &[3, groups]), array(2, &[3, groups])]);
    let mut all = case("scales alone", both[..1].to_vec(), move |v| op::grouped(&alone, &v[0], None));
    all.extend(case("scales and shifts", both, move |v| op::grouped(&codes, &v[0], Some(&v[1]))));
    all
}

/// Inputs are rounded, a staircase: only the bias can be climbed. That the gradient of the inputs is that of `coded` is tested
/// beside the values.
fn coded_rounded(n: usize) -> Vec<Check> {
    let codes = codes::random(3, n + 1, 5, "int8-row-sym");
    case("", vec![array(3, &[n + 1])], move |v| {
        let x = Var::constant(array(1, &[n, 5]));
        op::coded_rounded(Precision::F32, &x, &codes, Some(&v[0]), Activation::Gelu)
    })
}

/// A power of two, and an order with a dense factor, there and back.
fn hadamard(n: usize) -> Vec<Check> {
    let three: Vec<f32> = vec![1.0, 1.0, 1.0, 1.0, 0.366_025_4, -1.366_025_4, 1.0, -1.366_025_4, 0.366_025_4];
    let check = |(width, order, back): (usize, usize, bool)| {
        let signs = (0..width).map(|at| if at % 3 == 1 { -1.0 } else { 1.0 }).collect();
        let factor = if order == 1 { vec![1.0] } else { three.clone() };
        let transform = std::sync::Arc::new(op::Hadamard::new(signs, order, factor));
        case(format!("{width}, back {back}"), vec![array(1, &[n, width])], move |v| {
            op::hadamard(&v[0], &transform, back)
        })
    };
    [(8, 1, false), (8, 1, true), (12, 3, false), (12, 3, true)].into_iter().flat_map(check).collect()
}

fn linear(n: usize) -> Vec<Check> {
    let mut all = Vec::new();
    for act in Activation::ALL {
        // Positive sums keep the kink of ReLU out of reach of the steps.
        let positive = |seed, shape: &[usize]| {
            let mut a = away_from_zero(seed, shape);
            if act == Activation::Relu {
                a.data_mut().iter_mut().for_each(|x| *x = x.abs());
            }
            a
        };
        all.extend(case(
            format!("{act:?} with bias"),
            vec![positive(1, &[n, 5]), positive(2, &[n + 1, 5]), positive(3, &[n + 1])],
            move |v| op::linear(&v[0], &v[1], Some(&v[2]), act),
        ));
        all.extend(case(format!("{act:?}"), vec![positive(1, &[3, n]), positive(2, &[4, n])], move |v| {
            op::linear(&v[0], &v[1], None, act)
        }));
    }
    all
}

fn bias_act(n: usize) -> Vec<Check> {
    let mut all = Vec::new();
    for act in Activation::ALL {
        let mut bias = array(2, &[n]);
        bias.data_mut().iter_mut().for_each(|b| *b *= 0.1);
        all.extend(case(format!("{act:?} with bias"), vec![away_from_zero(1, &[5, n]), bias], move |v| {
            op::bias_act(&v[0], Some(&v[1]), act)
        }));
        all.extend(case(format!("{act:?}"), vec![away_from_zero(1, &[5, n])], move |v| {
            op::bias_act(&v[0], None, act)
        }));
    }
    all
}

fn rms_norm(n: usize) -> Vec<Check> {
    let leaves = vec![array(1, &[5, n]), array(3, &[n]), array(2, &[5, n])];
    let mut all = case("with residual", leaves, |v| op::rms_norm(&v[0], Some(&v[2]), &v[1], 1e-1));
    let plain = vec![away_from_zero(1, &[5, n]), array(3, &[n])];
    all.extend(case("plain", plain, |v| op::rms_norm(&v[0], None, &v[1], 1e-1)));
    all
}

fn rotary(n: usize) -> Vec<Check> {
    let mut all = Vec::new();
    for pairing in [Pairing::Halves, Pairing::Neighbors] {
        let angles = Angles::new(&[0, 1, 2, 7, 300], 2 * n, 10_000.0);
        all.extend(case(format!("{pairing:?}"), vec![array(1, &[5, 6 * n])], move |v| {
            op::rotary(&v[0], &angles, pairing)
        }));
    }
    all
}

fn gated(n: usize) -> Vec<Check> {
    let leaves = || vec![away_from_zero(1, &[n, 3]), array(2, &[n, 3])];
    let one = |act| case(format!("{act:?}"), leaves(), move |v| op::gated(&v[0], &v[1], act));
    // The kink of ReLU is within reach of the steps along single coordinates.
    Activation::ALL.into_iter().filter(|act| *act != Activation::Relu).flat_map(one).collect()
}

fn layer_norm(n: usize) -> Vec<Check> {
    let leaves = |width: usize| {
        vec![array(1, &[5, width]), array(2, &[5, width]), array(3, &[width]), array(4, &[width])]
    };
    let mut all =
        case("with residual", leaves(n), |v| op::layer_norm(&v[0], Some(&v[1]), &v[2], &v[3], 1e-2));
    let mut plain = leaves(n);
    plain.remove(1);
    all.extend(case("plain", plain, |v| op::layer_norm(&v[0], None, &v[1], &v[2], 1e-2)));
    all
}

fn mpo_rebuild(n: usize) -> Vec<Check> {
    let shapes: &[[usize; 4]] = match n {
        1 => &[[1, 3, 2, 1]],
        7 => &[[1, 2, 3, 4], [4, 3, 2, 1]],
        31 => &[[1, 2, 2, 3], [3, 3, 1, 5], [5, 2, 4, 1]],
        _ => &[[1, 2, 2, 4], [4, 2, 3, 6], [6, 3, 2, 5], [5, 2, 2, 3], [3, 1, 2, 1]],
    };
    let leaves = shapes.iter().enumerate().map(|(i, shape)| array(i as u64, shape)).collect();
    case(format!("{} cores", shapes.len()), leaves, op::mpo_rebuild)
}

/// Repeated ids, blocks of rows that are not in use, and a middle core at either end of the chain.
fn mpo_rows(n: usize) -> Vec<Check> {
    let (shapes, middle): (&[[usize; 4]], usize) = match n {
        1 => (&[[1, 5, 2, 1]], 0),
        7 => (&[[1, 4, 3, 4], [4, 3, 2, 1]], 0),
        31 => (&[[1, 2, 2, 3], [3, 3, 1, 5], [5, 4, 3, 1]], 2),
        _ => (&[[1, 2, 2, 4], [4, 2, 3, 6], [6, 3, 2, 5], [5, 2, 2, 3], [3, 1, 2, 1]], 2),
    };
    let rows: usize = shapes.iter().map(|shape| shape[1]).product();
    let leaves = shapes.iter().enumerate().map(|(i, shape)| array(i as u64, shape)).collect();
    case(format!("{} cores", shapes.len()), leaves, move |v| {
        op::mpo_rows(v, middle, &ids(5, 9, rows - 1)).unwrap()
    })
}

/// The names that `op.rs` exports.
fn exported() -> Vec<String> {
    include_str!("../src/op.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("pub use ")?.strip_suffix(';')?.split_once("::"))
        .flat_map(|(_, names)| names.trim_matches(['{', '}']).split(',').map(|name| name.trim().to_owned()))
        // Types begin with a capital.
        .filter(|name| name.starts_with(|first: char| first.is_lowercase()))
        .collect()
}

fn table() -> Vec<(&'static str, Cases)> {
    let rebuilt = [("mpo_rebuild", mpo_rebuild as Cases), ("mpo_rows", mpo_rows)];
    TABLE.iter().copied().chain(expert::TABLE).chain(rebuilt).collect()
}

/// Gradients of the leaves that `tracked` names, of `uses` evaluations projected on one direction and summed.
fn gradients(case: &Check, tracked: impl Fn(usize) -> bool, uses: usize) -> Vec<Option<Array>> {
    let tape = Tape::new();
    let leaf = |(i, leaf): (usize, &Array)| match tracked(i) {
        true => tape.leaf(leaf.clone()),
        false => Var::constant(leaf.clone()),
    };
    let vars: Vec<Var> = case.leaves.iter().enumerate().map(leaf).collect();
    let value = || {
        let y = (case.run)(&vars);
        op::sum(&op::mul(&y, &Var::constant(array(101, y.shape()))))
    };
    let loss = (1..uses).fold(value(), |sum, _| op::add(&sum, &value()));
    let mut gradients = tape.backward(&loss).unwrap();
    vars.iter().map(|var| gradients.take(var)).collect()
}

#[test]
fn an_untracked_input_gets_no_gradient_and_changes_no_other() {
    let _alone = alone();
    for (name, cases) in table() {
        for case in sizes().iter().copied().flat_map(cases) {
            let all = gradients(&case, |_| true, 1);
            for i in 0..case.leaves.len() {
                let one = gradients(&case, |leaf| leaf == i, 1);
                for (leaf, gradient) in one.iter().enumerate() {
                    let want = if leaf == i { all[i].as_ref() } else { None };
                    assert!(
                        gradient.as_ref() == want,
                        "{name} {}: leaf {leaf} with only {i} tracked",
                        case.label
                    );
                }
            }
        }
    }
}

#[test]
fn a_second_use_adds_to_the_gradient_of_the_first() {
    let _alone = alone();
    for (name, cases) in table() {
        for case in sizes().iter().copied().flat_map(cases) {
            let (once, twice) = (gradients(&case, |_| true, 1), gradients(&case, |_| true, 2));
            for (once, twice) in once.into_iter().zip(twice) {
                let (once, twice) = (once.unwrap(), twice.unwrap());
                let top = once.data().iter().fold(0.0f32, |top, x| top.max(x.abs()));
                for (x, y) in once.data().iter().zip(twice.data()) {
                    assert!((2.0 * x - y).abs() <= 1e-5 * top, "{name} {}: {y} is not twice {x}", case.label);
                }
            }
        }
    }
}

#[test]
fn every_op_agrees_with_finite_differences_at_every_level() {
    let table = table();
    let mut covered: Vec<String> = table.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut exported = exported();
    covered.sort();
    exported.sort();
    assert_eq!(covered, exported, "ops with a case against ops exported");

    let mut failures = Vec::new();
    at_every_level(|level| {
        for (name, cases) in &table {
            for &n in sizes() {
                for Check { label, leaves, run } in cases(n) {
                    if let Err(mismatch) = check(&leaves, &run, Options::default()) {
                        failures.push(format!("{name} {label} at size {n}, {level:?}: {mismatch:?}"));
                    }
                }
            }
        }
    });
    assert!(failures.is_empty(), "{} disagreements:\n{}", failures.len(), failures.join("\n"));
}
