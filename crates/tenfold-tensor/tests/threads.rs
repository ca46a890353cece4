//! Results do not depend on the number of threads, bit for bit, nor does an inference pass differ from a recorded one.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use tenfold_tensor::optim::{AdamW, AdamWState, Lamb, Step, global_norm};
use tenfold_tensor::{Activation, Array, Offsets, Precision, Tape, Var, op};

#[path = "common/codes.rs"]
mod codes;

fn array(seed: usize, shape: &[usize]) -> Array {
    let len = shape.iter().product();
    let values = (0..len).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.0 - 1.0).collect();
    Array::from_vec(values, shape)
}

/// One step over every op that splits its work, at sizes large enough to be split.
fn step() -> Vec<Vec<u32>> {
    let (n, d, hidden) = (700, 96, 260);
    let offsets = Offsets::from_lengths(&[300, 0, 1, 129, 270]);
    let tape = Tape::new();
    let shapes: [&[usize]; 16] = [
        &[500, d],
        &[d, d],
        &[d],
        &[hidden, d],
        &[hidden],
        &[d, hidden],
        &[d],
        &[d],
        &[1, 8, 6, 9],
        &[9, 8, 8, 5],
        &[5, 4, 2, 1],
        &[256],
        &[d, d],
        &[32, 4],
        &[256, d / 32],
        &[256, d / 32],
    ];
    let leaves: Vec<Var> = shapes.iter().enumerate().map(|(i, shape)| tape.leaf(array(i, shape))).collect();
    let ids: Vec<u32> = (0..n).map(|i| (i * i % 500) as u32).collect();
    let x = op::embedding(&leaves[0], &ids).unwrap();
    let q = op::linear(&x, &leaves[1], Some(&leaves[2]), Activation::Identity);
    let a = op::attention(&q, &x, &q, &offsets, 4, false);
    let before = [&leaves[1], &leaves[12]];
    let a = op::add(&a, &op::attention_with_prefix([&a, &x, &q], before, &offsets, 4, true));
    let (own, source) = (offsets.ranges().collect::<Vec<_>>(), [400..700, 0..1, 1..7, 7..290, 290..400]);
    let biases = (&leaves[13], op::Buckets::new(32, 128, false));
    let a = op::add(&a, &op::attention_relative([&a, &x, &q], biases, &offsets, &own, 4));
    let a = op::add(&a, &op::attention_across([&a, &x, &q], &offsets, &source, 4, 0.2));
    let x = op::layer_norm(&a, Some(&x), &leaves[6], &leaves[7], 1e-5);
    let h = op::linear(&x, &leaves[3], Some(&leaves[4]), Activation::Gelu);
    let y = op::linear(&h, &leaves[5], None, Activation::Identity);
    let x = op::dropout(&op::add(&x, &y), 0.1, 9);
    let rebuilt = op::mpo_rebuild(&leaves[8..11]); // 256 x 96
    let rows: Vec<u32> = ids.iter().map(|id| id % 256).collect();
    let x = op::add(&x, &op::mpo_rows(&leaves[8..11], 1, &rows).unwrap());
    let low = op::linear_in(Precision::Bf16, &x, &rebuilt, None, Activation::Tanh);
    let split = op::linear_in(Precision::Bf16x3, &x, &rebuilt, None, Activation::Tanh);
    let z = op::linear(&x, &rebuilt, Some(&leaves[11]), Activation::Silu);
    let z = op::add(&z, &op::add(&low, &split));
    let codes = codes::random(2, 256, d, "int4-g32");
    let few = op::coded(Precision::F32, &op::crop(&x, 3, d), &codes, None, Activation::Tanh);
    let z = op::add(&z, &op::coded(Precision::F32, &x, &codes, None, Activation::Tanh));
    let whole = op::coded(Precision::Int8, &op::crop(&x, 3, d), &codes, None, Activation::Tanh);
    let few = op::add(&few, &whole);
    let whole = codes::random(3, 256, d, "int3-g32-whole");
    let stretched = op::grouped(&whole, &leaves[14], Some(&leaves[15]));
    let z = op::add(&z, &op::linear(&x, &stretched, None, Activation::Tanh));
    let z = op::add(&z, &op::linear(&op::group_sums(&x, 32), &leaves[15], None, Activation::Tanh));
    let rounded = op::coded_rounded(Precision::F32, &x, &codes, None, Activation::Tanh);
    let (even, odd): (Vec<u32>, Vec<u32>) = (0..256).partition(|at| at % 2 == 0);
    let (even, odd) = (even.into(), odd.into());
    let turned = op::join_columns(&op::columns(&rounded, &odd), &even, &op::columns(&rounded, &even), &odd);
    let z = op::add(&z, &turned);
    let first = op::reshape(&op::crop(&z, n, 1), &[n]);
    let z = op::scale_rows(&z, &op::divide(&first, &z.value().row_norms()));
    let pooled = op::l2_normalize(&op::segment_mean(&z, &offsets), 1e-6);
    let loss = op::add(
        &op::add(
            &op::cross_entropy(&z, &ids.iter().map(|id| id % 256).collect::<Vec<_>>()).unwrap(),
            &op::mse(&op::permute(&z, &[1, 0]), &array(77, &[256, n])),
        ),
        &op::add(&op::cosine_loss(&pooled, &array(78, &[5, 256])), &op::sum(&few)),
    );
    let mut gradients = tape.backward(&loss).unwrap();
    let mut out = vec![bits(loss.value()), bits(z.value())];
    let gradients: Vec<Array> = leaves.iter().map(|leaf| gradients.take(leaf).unwrap()).collect();
    let norm = global_norm(&gradients);
    out.push(vec![(norm as f32).to_bits()]);
    for (leaf, gradient) in leaves.iter().zip(&gradients) {
        let mut value = leaf.value().clone();
        let mut state = AdamWState::new(value.shape());
        AdamW::default().step(&mut value, gradient, &mut state, 1, 1e-3, 0.01, (1.0 / norm) as f32);
        out.push(bits(gradient));
        out.push(bits(&value));
        let step = Step { number: 2, lr: 1e-2, weight_decay: 0.1, grad_scale: 1.0, adapts: true };
        Lamb::default().step(&mut value, gradient, &mut state, step);
        out.push(bits(&value));
    }
    out
}

fn bits(array: &Array) -> Vec<u32> {
    array.data().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn one_two_and_three_threads_give_the_same_bits() {
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(step);
    let one = with(1);
    for threads in [2, 3] {
        for (i, (a, b)) in one.iter().zip(&with(threads)).enumerate() {
            assert!(a == b, "array {i} differs between 1 and {threads} threads");
        }
    }
}

#[test]
fn recording_does_not_change_values() {
    let offsets = Offsets::from_lengths(&[33, 7]);
    let (x, w, b, gain) = (array(1, &[40, 32]), array(2, &[96, 32]), array(3, &[96]), array(4, &[32]));
    let run = |x: Var, w: Var, b: Var, gain: Var| {
        let mut all = Vec::new();
        for act in Activation::ALL {
            for precision in Precision::ALL {
                all.push(bits(op::linear_in(precision, &x, &w, Some(&b), act).value()));
            }
        }
        all.push(bits(op::attention(&x, &x, &x, &offsets, 2, true).value()));
        all.push(bits(op::attention_with_prefix([&x, &x, &x], [&x, &x], &offsets, 2, false).value()));
        let (own, biases) = ([0..33, 33..40], &Var::constant(array(5, &[8, 2])));
        for causal in [false, true] {
            let biases = (biases, op::Buckets::new(8, 12, causal));
            all.push(bits(op::attention_relative([&x, &x, &x], biases, &offsets, &own, 2).value()));
        }
        all.push(bits(op::attention_across([&x, &x, &x], &offsets, &[30..40, 0..30], 2, 1.0).value()));
        all.push(bits(op::layer_norm(&x, Some(&x), &gain, &gain, 1e-5).value()));
        all
    };
    let constants = run(Var::constant(x.clone()), Var::constant(w.clone()), Var::constant(b.clone()), {
        Var::constant(gain.clone())
    });
    let tape = Tape::new();
    assert_eq!(constants, run(tape.leaf(x), tape.leaf(w), tape.leaf(b), tape.leaf(gain)));
}
