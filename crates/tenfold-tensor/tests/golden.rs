//! Ops and the optimizer against PyTorch, from `golden/torch_ops`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use tenfold_tensor::optim::{AdamW, AdamWState, Lamb, Step};
use tenfold_tensor::{Activation, AffineRow, Array, Codes, Offsets, Precision, Scheme, Tape, Var, op};

#[allow(dead_code)]
#[path = "common/levels.rs"]
mod levels;
use levels::at_every_level;

/// Largest difference allowed, relative to the largest value of the array.
const TOLERANCE: f64 = 2e-5;

fn cases() -> Value {
    serde_json::from_str(include_str!("golden/torch_ops/expected.json")).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect()
}

fn indices(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn array(value: &Value) -> Array {
    Array::from_vec(numbers(&value["data"]), &indices(&value["shape"]))
}

fn assert_close(name: &str, got: &Array, want: &Array) {
    assert_eq!(got.len(), want.len(), "{name}");
    let top = want.data().iter().fold(1e-6f32, |top, x| top.max(x.abs()));
    for (i, (&got, &want)) in got.data().iter().zip(want.data()).enumerate() {
        let error = f64::from((got - want).abs());
        assert!(error <= TOLERANCE * f64::from(top), "{name}[{i}]: got {got}, PyTorch has {want}");
    }
}

/// Compares value and gradients of a function of the named inputs at every level.
fn compare(name: &str, inputs: &[&str], f: impl Fn(&Value, &[Var]) -> Var) {
    let all = cases();
    let case = &all[name];
    at_every_level(|_| {
        let tape = Tape::new();
        let vars: Vec<Var> = inputs.iter().map(|input| tape.leaf(array(&case["inputs"][input]))).collect();
        let y = f(case, &vars);
        assert_close(name, y.value(), &array(&case["output"]));
        let direction = Var::constant(array(&case["direction"]).reshape(y.shape()));
        let mut gradients = tape.backward(&op::sum(&op::mul(&y, &direction))).unwrap();
        for (input, var) in inputs.iter().zip(&vars) {
            let gradient = gradients.take(var).unwrap();
            assert_close(
                &format!("{name}, gradient of {input}"),
                &gradient,
                &array(&case["gradients"][input]),
            );
        }
    });
}

#[test]
fn attention() {
    for name in ["attention", "attention_causal"] {
        compare(name, &["q", "k", "v"], |case, v| {
            let offsets = Offsets::from_lengths(&indices(&case["lengths"]));
            let heads = case["heads"].as_u64().unwrap() as usize;
            op::attention(&v[0], &v[1], &v[2], &offsets, heads, case["causal"].as_bool().unwrap())
        });
    }
}

#[test]
fn attention_with_prefix() {
    for name in ["attention_prefix", "attention_prefix_causal"] {
        compare(name, &["q", "k", "v", "prefix_keys", "prefix_values"], |case, v| {
            let offsets = Offsets::from_lengths(&indices(&case["lengths"]));
            let heads = case["heads"].as_u64().unwrap() as usize;
            let causal = case["causal"].as_bool().unwrap();
            op::attention_with_prefix([&v[0], &v[1], &v[2]], [&v[3], &v[4]], &offsets, heads, causal)
        });
    }
}

#[test]
fn attention_with_biases() {
    for name in ["attention_relative", "attention_relative_causal"] {
        compare(name, &["q", "k", "v", "table"], |case, v| {
            let offsets = Offsets::from_lengths(&indices(&case["lengths"]));
            let number = |key: &str| case[key].as_u64().unwrap() as usize;
            let causal = case["causal"].as_bool().unwrap();
            let buckets = op::Buckets::new(number("buckets"), number("farthest"), causal);
            let keys: Vec<_> = offsets.ranges().collect();
            op::attention_relative([&v[0], &v[1], &v[2]], (&v[3], buckets), &offsets, &keys, number("heads"))
        });
    }
}

#[test]
fn attention_across() {
    compare("attention_across", &["q", "k", "v"], |case, v| {
        let [tokens, keys] = ["lengths", "keys"].map(|key| Offsets::from_lengths(&indices(&case[key])));
        let heads = case["heads"].as_u64().unwrap() as usize;
        let keys: Vec<_> = keys.ranges().collect();
        op::attention_across([&v[0], &v[1], &v[2]], &tokens, &keys, heads, 1.0)
    });
}

/// Every distance to 130 on either side has the row that transformers gives it, bounds of ranges included.
#[test]
fn distances_have_the_rows_of_trained_models() {
    let all = cases();
    for case in all["buckets"].as_array().unwrap() {
        let number = |key: &str| case[key].as_u64().unwrap() as usize;
        let causal = case["causal"].as_bool().unwrap();
        let buckets = op::Buckets::new(number("buckets"), number("farthest"), causal);
        let got: Vec<usize> = (-130..=130).map(|distance| buckets.of(distance)).collect();
        assert_eq!(got, indices(&case["rows"]), "{buckets:?}");
    }
}

#[test]
fn layer_norm() {
    compare("layer_norm", &["x", "residual", "gain", "bias"], |case, v| {
        op::layer_norm(&v[0], Some(&v[1]), &v[2], &v[3], case["eps"].as_f64().unwrap() as f32)
    });
}

#[test]
fn linear_with_gelu() {
    for (name, act) in [("gelu", Activation::Gelu), ("gelu_tanh", Activation::GeluTanh)] {
        compare(name, &["x", "w", "bias"], |_, v| op::linear(&v[0], &v[1], Some(&v[2]), act));
    }
}

#[test]
fn cross_entropy() {
    compare("cross_entropy", &["logits"], |case, v| {
        let targets: Vec<u32> = indices(&case["targets"]).into_iter().map(|t| t as u32).collect();
        op::cross_entropy(&op::scale(&v[0], 4.0), &targets).unwrap()
    });
}

#[test]
fn adamw_steps() {
    let all = cases();
    let case = &all["adamw"];
    let number = |key: &str| case[key].as_f64().unwrap() as f32;
    let betas = numbers(&case["betas"]);
    let adam = AdamW { betas: (betas[0], betas[1]), eps: number("eps") };
    at_every_level(|_| {
        let start = numbers(&case["start"]);
        let shape = [start.len()];
        let mut value = Array::from_vec(start, &shape);
        let mut state = AdamWState::new(&shape);
        for (i, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            // Twice the gradient with half the scale is the same step.
            let mut gradient = Array::from_vec(numbers(&step["gradient"]), &shape);
            gradient.data_mut().iter_mut().for_each(|g| *g *= 2.0);
            adam.step(
                &mut value,
                &gradient,
                &mut state,
                i as u64 + 1,
                number("lr"),
                number("weight_decay"),
                0.5,
            );
            assert_close(&format!("step {i}"), &value, &Array::from_vec(numbers(&step["value"]), &shape));
        }
    });
}

/// Against two implementations: one of PyTorch's world, and the published algorithm in double precision.
#[test]
fn lamb_steps() {
    let all: Value = serde_json::from_str(include_str!("golden/lamb/expected.json")).unwrap();
    for case in all["cases"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap() as f32;
        let lamb = Lamb {
            betas: (number("beta1"), number("beta2")),
            eps: number("eps"),
            bias_correction: case["bias_correction"].as_bool().unwrap(),
            norms: (number("least"), number("most")),
        };
        let adapts = case["adapts"].as_bool().unwrap();
        at_every_level(|_| {
            let mut value = array(&case["start"]);
            let shape = value.shape().to_vec();
            let mut state = AdamWState::new(&shape);
            for (i, expected) in case["values"].as_array().unwrap().iter().enumerate() {
                // Twice the gradient with half the scale is the same step.
                let mut gradient = Array::from_vec(numbers(&case["gradients"][i]), &shape);
                gradient.data_mut().iter_mut().for_each(|g| *g *= 2.0);
                let (lr, weight_decay) = (number("lr"), number("decay"));
                let step = Step { number: i as u64 + 1, lr, weight_decay, grad_scale: 0.5, adapts };
                lamb.step(&mut value, &gradient, &mut state, step);
                let name = format!("{}, step {i}", case["name"]);
                assert_close(&name, &value, &Array::from_vec(numbers(expected), &shape));
            }
        });
    }
}

/// The quotient of norms is over the whole leaf, also where that is longer than what one thread gets at a time.
#[test]
fn lamb_sees_a_leaf_as_a_whole() {
    let len = 3 * 32 * 1024 + 5;
    let at = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 50.0;
    let mut value = Array::from_vec((0..len).map(at).collect(), &[1, len]);
    let gradient = Array::from_vec((0..len).map(|i| at(i + 13)).collect(), &[1, len]);
    let before = value.data().to_vec();
    let lamb = Lamb { norms: (0.0, f32::INFINITY), ..Lamb::default() };
    let step = Step { number: 1, lr: 0.01, weight_decay: 0.1, grad_scale: 1.0, adapts: true };
    lamb.step(&mut value, &gradient, &mut AdamWState::new(&[1, len]), step);
    let norm = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>().sqrt();
    let moved = norm(&mut before.iter().zip(value.data()).map(|(a, b)| f64::from(a - b)));
    let whole = norm(&mut before.iter().map(|a| f64::from(*a)));
    assert!((moved / whole - 0.01).abs() < 1e-5, "{moved} of {whole}");
    let mut zero = Array::zeros(&[3, 3]);
    lamb.step(&mut zero, &Array::full(&[3, 3], 1.0), &mut AdamWState::new(&[3, 3]), step);
    assert!(zero.data().iter().all(|x| (x + 0.01).abs() < 1e-6), "{zero:?}");
}

#[test]
fn inputs_in_eight_bits() {
    let case: Value = serde_json::from_str(include_str!("golden/int8_rows/expected.json")).unwrap();
    let kept = array(&case["kept"]);
    let (codes, steps) = (array(&case["codes"]), numbers(&case["steps"]["data"]));
    let Some(Scheme::Affine(affine)) = Scheme::parse("int8-row-sym") else { panic!("no scheme") };
    let mut bytes = vec![0; codes.height() * affine.row_bytes(codes.width())];
    let size = bytes.len() / codes.height();
    for (row, bytes) in bytes.chunks_exact_mut(size).enumerate() {
        let whole = &codes.data()[row * codes.width()..][..codes.width()];
        let whole = whole.iter().map(|code| (code + 128.0) as u8).collect();
        affine.pack(&AffineRow { codes: whole, scales: vec![steps[row]], zeros: vec![128] }, bytes);
    }
    let codes = Codes::new(Scheme::Affine(affine), codes.height(), codes.width(), bytes).unwrap();
    let loud: Vec<u32> = indices(&case["loud"]).into_iter().map(|at| at as u32).collect();
    let quiet: Vec<u32> = (0..70).filter(|at| !loud.contains(at)).collect();
    at_every_level(|_| {
        let tape = Tape::new();
        let x = tape.leaf(array(&case["x"]));
        let rest = op::columns(&x, &quiet.clone().into());
        let rest = op::coded_rounded(Precision::F32, &rest, &codes, None, Activation::Identity);
        let first = op::columns(&x, &loud.clone().into());
        let first = op::linear(&first, &Var::constant(kept.clone()), None, Activation::Identity);
        let y = op::add(&rest, &first);
        let direction = Var::constant(array(&case["direction"]));
        let mut gradients = tape.backward(&op::sum(&op::mul(&y, &direction))).unwrap();
        let gradient = gradients.take(&x).unwrap();
        for (name, got) in [("output", y.value()), ("gradient", &gradient)] {
            let want: Vec<f64> =
                case[name]["data"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let top = want.iter().fold(0.0f64, |top, x| top.max(x.abs()));
            for (at, (&got, want)) in got.data().iter().zip(want).enumerate() {
                assert!((f64::from(got) - want).abs() <= 1e-6 * top, "{name}[{at}]: {got} for {want}");
            }
        }
    });
}
