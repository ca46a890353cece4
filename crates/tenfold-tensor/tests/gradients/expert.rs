//! The ops of routers and experts.

use super::gradient::array;
use super::{Cases, Check, case, ids};
use tenfold_tensor::{Activation, Array, Offsets, Precision, Tape, Var, op};

pub(crate) const TABLE: [(&str, Cases); 10] = [
    ("balance", |n| case("", vec![array(1, &[n, 5])], move |v| op::balance(&v[0], &ids(2, 2 * n, 5)))),
    ("gates", gates),
    ("noisy", |n| {
        case("", vec![array(1, &[n, 4]), array(2, &[n, 4])], move |v| {
            op::noisy(&v[0], &v[1], &array(3, &[n, 4]))
        })
    }),
    ("combine", combine),
    ("linear_each", linear_each),
    ("stack", |n| case("", vec![array(1, &[n, 2]), array(2, &[n, 2]), array(3, &[n, 2])], op::stack)),
    ("matmul_each", matmul_each),
    ("member", |n| case("", vec![array(1, &[3, n, 2])], |v| op::member(&v[0], 1))),
    ("mpo_rebuild_each", mpo_rebuild_each),
    // The penalty is none of the output: see below.
    ("penalized", |n| {
        case("", vec![array(1, &[n, 3])], |v| op::penalized(&v[0], &Var::constant(Array::scalar(2.0)), 0.5))
    }),
];

/// The k best of every row, told apart by more than a step of the differences.
fn chosen(n: usize, experts: usize, k: usize) -> Vec<u32> {
    (0..n).flat_map(|row| (0..k).map(move |j| ((row * 3 + j * 2) % experts) as u32)).collect()
}

fn gates(n: usize) -> Vec<Check> {
    [(1, false), (2, false), (2, true), (3, true)]
        .into_iter()
        .flat_map(|(k, among)| {
            case(format!("{k} of 5, among them: {among}"), vec![array(1, &[n, 5])], move |v| {
                op::gates(&v[0], &chosen(n, 5, k), among)
            })
        })
        .collect()
}

fn matmul_each(n: usize) -> Vec<Check> {
    let batches = [(3, 3), (1, 3), (3, 1), (1, 1)];
    let one = |(a, b)| {
        let leaves = vec![array(1, &[a, 2, n]), array(2, &[b, n, 3])];
        case(format!("{a} and {b} members"), leaves, |v| op::matmul_each(&v[0], &v[1]))
    };
    batches.into_iter().flat_map(one).collect()
}

/// Members with all cores of their own, and with one of them in common.
fn mpo_rebuild_each(n: usize) -> Vec<Check> {
    let (shapes, shared): (&[[usize; 4]], usize) = match n {
        1 => (&[[1, 3, 2, 1]], 0),
        7 => (&[[1, 2, 2, 3], [3, 3, 1, 5], [5, 2, 4, 1]], 1),
        31 => (&[[1, 2, 2, 4], [4, 2, 3, 6], [6, 3, 2, 5], [5, 2, 2, 3], [3, 1, 2, 1]], 2),
        _ => (&[[1, 2, 3, 4], [4, 3, 2, 1]], 1),
    };
    let of = shapes.len();
    let leaf = |at: usize| array(at as u64, &shapes[at % of]);
    let own = case("own cores", (0..2 * of).map(leaf).collect(), move |v| {
        op::stack(&op::mpo_rebuild_each(&[v[..of].to_vec(), v[of..].to_vec()]))
    });
    let common = case("a core in common", (0..2 * of).map(leaf).collect(), move |v| {
        let mut other = v[of..].to_vec();
        other[shared] = v[shared].clone();
        // Its own core there is used beside the operator, so that every leaf has a gradient.
        let spare = op::scale(&op::sum(&v[of + shared]), 0.5);
        let whole = op::stack(&op::mpo_rebuild_each(&[v[..of].to_vec(), other]));
        op::add(&op::sum(&op::mul(&whole, &whole)), &spare)
    });
    own.into_iter().chain(common).collect()
}

fn combine(n: usize) -> Vec<Check> {
    // Two slots a row, one of them dropped now and then, in an order of their own.
    let slots: Vec<u32> = (0..2 * n)
        .map(|j| if j % 5 == 3 { op::DROPPED } else { ((j * 2 + 1) % (2 * n + 1)) as u32 })
        .collect();
    case("", vec![array(1, &[2 * n + 1, 3]), array(2, &[n, 2])], move |v| op::combine(&v[0], &v[1], &slots))
}

fn linear_each(n: usize) -> Vec<Check> {
    let rows = [n, 0, 1, n / 2];
    let total: usize = rows.iter().sum();
    let leaves =
        vec![array(1, &[total, 3]), array(2, &[4]), array(3, &[4, 3]), array(4, &[4, 3]), array(5, &[4, 3])];
    let run = |precision, act| {
        move |v: &[Var]| {
            let third = (rows[3] > 0).then(|| v[4].clone());
            let weights = [Some(v[2].clone()), None, Some(v[3].clone()), third];
            op::linear_each(precision, &v[0], &Offsets::from_lengths(&rows), &weights, Some(&v[1]), act)
        }
    };
    [Activation::Identity, Activation::Tanh]
        .into_iter()
        .filter(|_| n > 1)
        .flat_map(|act| case(format!("{act:?}"), leaves.clone(), run(Precision::F32, act)))
        .collect()
}

/// Every expert's rows are those of the linear map alone, to the bit, in every precision.
#[test]
fn experts_compute_what_each_computes_alone() {
    let rows = [5, 0, 33, 2];
    let x = array(1, &[40, 24]);
    let weights: Vec<Array> = (0..4).map(|e| array(10 + e, &[16, 24])).collect();
    let bias = Var::constant(array(2, &[16]));
    for precision in [Precision::F32, Precision::Bf16, Precision::Bf16x3] {
        let own: Vec<Option<Var>> = weights.iter().map(|w| Some(Var::constant(w.clone()))).collect();
        let all = op::linear_each(
            precision,
            &Var::constant(x.clone()),
            &Offsets::from_lengths(&rows),
            &own,
            Some(&bias),
            Activation::Gelu,
        );
        let mut start = 0;
        for (e, count) in rows.into_iter().enumerate().filter(|(_, count)| *count > 0) {
            let part = Array::from_slice(&x.data()[start * 24..(start + count) * 24], &[count, 24]);
            let w = Var::constant(weights[e].clone());
            let one = op::linear_in(precision, &Var::constant(part), &w, Some(&bias), Activation::Gelu);
            assert_eq!(
                &all.value().data()[start * 16..(start + count) * 16],
                one.value().data(),
                "{precision:?}"
            );
            start += count;
        }
    }
}

#[test]
fn the_best_come_first_and_ties_go_to_the_first_column() {
    let logits = Array::from_slice(&[0.0, 2.0, 2.0, 1.0, -1.0, -1.0, -1.0, -2.0], &[2, 4]);
    assert_eq!(logits.largest_columns(3), [1, 2, 3, 0, 1, 2]);
    assert_eq!(logits.largest_columns(1), [1, 0]);
}

/// 1 for even use and for even probabilities, E for a collapse.
#[test]
fn balance_is_one_when_even_and_the_number_of_experts_when_collapsed() {
    let of = |logits: Array, choices: &[u32]| op::balance(&Var::constant(logits), choices).value().item();
    let even: Vec<u32> = (0..8).map(|row| row % 4).collect();
    assert!((of(Array::zeros(&[8, 4]), &even) - 1.0).abs() < 1e-6);
    assert!((of(Array::zeros(&[8, 4]), &[2; 8]) - 1.0).abs() < 1e-6);
    assert!((of(array(3, &[8, 4]), &even) - 1.0).abs() < 1e-6);
    let sure: Vec<f32> = (0..8).flat_map(|_| [0.0, 0.0, 60.0, 0.0]).collect();
    assert!((of(Array::from_vec(sure, &[8, 4]), &[2; 8]) - 4.0).abs() < 1e-6);
}

/// A penalty gets its weight as gradient, whatever the gradient of what it rides on; and that passes unchanged.
#[test]
fn a_penalty_acts_as_if_it_were_part_of_the_loss() {
    let (x, choices, direction) = (array(1, &[6, 4]), ids(2, 6, 4), array(3, &[6, 4]));
    let gradient = |loss: &dyn Fn(&Var) -> Var| {
        let tape = Tape::new();
        let leaf = tape.leaf(x.clone());
        let mut found = tape.backward(&loss(&leaf)).unwrap();
        found.take(&leaf).unwrap()
    };
    let along = |y: &Var| op::sum(&op::mul(y, &Var::constant(direction.clone())));
    let ridden = gradient(&|x| along(&op::penalized(x, &op::balance(x, &choices), 0.7)));
    let added = gradient(&|x| op::add(&along(x), &op::scale(&op::balance(x, &choices), 0.7)));
    let (ridden, added) = (ridden.data(), added.data());
    assert!(ridden.iter().zip(added).all(|(a, b)| (a - b).abs() < 1e-6), "{ridden:?} {added:?}");
    assert!(ridden.iter().zip(direction.data()).any(|(a, b)| (a - b).abs() > 1e-3));
}
