//! Attention by plain loops: alone, after a prefix, with heads that share keys.

use super::{assert_close, constant, dot, softmax, wide};
use tenfold_tensor::{Array, Offsets, Var, op};

pub(crate) fn attention(n: usize) {
    let lengths = [n, 0, 1, n * 5];
    let offsets = Offsets::from_lengths(&lengths);
    for (heads, size, causal) in [(1, 5, true), (3, 16, false), (2, 33, false), (2, 33, true)] {
        let width = heads * size;
        let shape = [offsets.tokens(), width];
        let (q, k, v) = (constant(1, &shape), constant(2, &shape), constant(3, &shape));
        let (qs, ks, vs) = (wide(&q), wide(&k), wide(&v));
        let mut want = vec![0.0; qs.len()];
        for range in offsets.ranges() {
            for head in 0..heads {
                let at = |token: usize| token * width + head * size..token * width + (head + 1) * size;
                for i in range.clone() {
                    let seen = if causal { range.start..i + 1 } else { range.clone() };
                    let mut p: Vec<f64> =
                        seen.clone().map(|j| dot(&qs[at(i)], &ks[at(j)]) / (size as f64).sqrt()).collect();
                    softmax(&mut p);
                    for (p, j) in p.iter().zip(seen) {
                        want[at(i)].iter_mut().zip(&vs[at(j)]).for_each(|(y, v)| *y += p * v);
                    }
                }
            }
        }
        let name = format!("attention {lengths:?}, {heads} heads of {size}, causal {causal}");
        assert_close(&name, &op::attention(&q, &k, &v, &offsets, heads, causal), &want);
    }
}

/// A prefix is what one gets by putting its rows before those of a sequence, in a loop over f64.
pub(crate) fn prefixed_attention(n: usize) {
    let lengths = [n, 0, 1, n * 4];
    let offsets = Offsets::from_lengths(&lengths);
    let (heads, shared, size, rows) = (4, 2, 5, 3);
    let (own, read) = ([offsets.tokens(), heads * size], [offsets.tokens(), shared * size]);
    let (q, k, v) = (constant(1, &own), constant(2, &read), constant(3, &read));
    let before = [4, 5].map(|seed| constant(seed, &[rows, shared * size]));
    let [qs, ks, vs, pk, pv] = [&q, &k, &v, &before[0], &before[1]].map(wide);
    let band =
        |row: usize, head: usize, heads: usize| (row * heads + head) * size..(row * heads + head + 1) * size;
    for causal in [false, true] {
        let mut want = vec![0.0; qs.len()];
        for range in offsets.ranges() {
            for (head, i) in (0..heads).flat_map(|head| range.clone().map(move |i| (head, i))) {
                let seen = if causal { range.start..i + 1 } else { range.clone() };
                let own = head / (heads / shared);
                let pick = |before: &[f64], all: &[f64]| -> Vec<Vec<f64>> {
                    let first = (0..rows).map(|j| before[band(j, own, shared)].to_vec());
                    first.chain(seen.clone().map(|j| all[band(j, own, shared)].to_vec())).collect()
                };
                let (keys, values) = (pick(&pk, &ks), pick(&pv, &vs));
                let mut p: Vec<f64> = keys
                    .iter()
                    .map(|key| dot(&qs[band(i, head, heads)], key) / (size as f64).sqrt())
                    .collect();
                softmax(&mut p);
                for (p, value) in p.iter().zip(&values) {
                    want[band(i, head, heads)].iter_mut().zip(value).for_each(|(y, v)| *y += p * v);
                }
            }
        }
        let got = op::attention_with_prefix([&q, &k, &v], before.each_ref(), &offsets, heads, causal);
        assert_close(&format!("attention with prefix, causal {causal}"), &got, &want);
    }
}

/// Heads that share keys equal heads with copies of them; tokens one at a time equal all at once.
pub(crate) fn grouped_attention(n: usize) {
    let offsets = Offsets::from_lengths(&[n, 2, 0]);
    let (heads, shared, size) = (6, 2, 5);
    let (own, read) = ([offsets.tokens(), heads * size], [offsets.tokens(), shared * size]);
    let (q, k, v) = (constant(1, &own), constant(2, &read), constant(3, &read));
    let copied = |x: &Var| {
        let rows = x.value().data().chunks_exact(shared * size);
        let row = |row: &[f32]| -> Vec<f32> {
            row.chunks_exact(size).flat_map(|head| head.repeat(heads / shared)).collect()
        };
        Var::constant(Array::from_vec(rows.flat_map(row).collect(), &own))
    };
    let want = op::attention(&q, &copied(&k), &copied(&v), &offsets, heads, true);
    let got = op::attention(&q, &k, &v, &offsets, heads, true);
    assert_close("grouped attention", &got, &wide(&want));

    for token in 0..n {
        let query = Array::from_slice(&q.value().data()[token * own[1]..][..own[1]], &[1, own[1]]);
        let (one, past) = (Offsets::from_lengths(&[1]), 0..token + 1);
        let got = op::attention_with_past(&Var::constant(query), &k, &v, &one, &[past], heads);
        assert_close("attention with past", &got, &wide(&want)[token * own[1]..][..own[1]]);
    }
}

/// A table of buckets by the definition: near distances one by one, far ones by logarithm in f64, kept away from its jumps.
fn bias(
    table: &[f64],
    (count, farthest, causal): (usize, usize, bool),
    heads: usize,
    head: usize,
    distance: isize,
) -> f64 {
    let side = if causal { count } else { count / 2 };
    let start = if !causal && distance > 0 { side } else { 0 };
    let far = if causal { (-distance).max(0) } else { distance.abs() } as usize;
    let exact = side / 2;
    let row = if far < exact {
        far
    } else {
        let share = (far as f64 / exact as f64).ln() / (farthest as f64 / exact as f64).ln();
        (exact + (share * (side - exact) as f64 + 1e-9) as usize).min(side - 1)
    };
    table[(start + row) * heads + head]
}

/// Scores without scale and with a bias by distance; tokens that come later see what was kept from before.
pub(crate) fn attention_with_biases(n: usize) {
    let (heads, size) = (3, 5);
    let offsets = Offsets::from_lengths(&[n, 0, 1, n * 4]);
    let shape = [offsets.tokens(), heads * size];
    let (q, k, v) = (constant(1, &shape), constant(2, &shape), constant(3, &shape));
    let [qs, ks, vs] = [&q, &k, &v].map(wide);
    let band = |row: usize, head: usize| row * shape[1] + head * size..row * shape[1] + (head + 1) * size;
    for (count, farthest, causal) in [(32, 128, false), (32, 128, true), (8, 20, false), (9, 30, true)] {
        let table = constant(4, &[count, heads]);
        let biases = wide(&table);
        let mut want = vec![0.0; qs.len()];
        for range in offsets.ranges() {
            for (head, i) in (0..heads).flat_map(|head| range.clone().map(move |i| (head, i))) {
                let seen = if causal { range.start..i + 1 } else { range.clone() };
                let score = |j: usize| {
                    let distance = j as isize - i as isize;
                    dot(&qs[band(i, head)], &ks[band(j, head)])
                        + bias(&biases, (count, farthest, causal), heads, head, distance)
                };
                let mut p: Vec<f64> = seen.clone().map(score).collect();
                softmax(&mut p);
                for (p, j) in p.iter().zip(seen) {
                    want[band(i, head)].iter_mut().zip(&vs[band(j, head)]).for_each(|(y, v)| *y += p * v);
                }
            }
        }
        let buckets = op::Buckets::new(count, farthest, causal);
        let keys: Vec<_> = offsets.ranges().collect();
        let got = op::attention_relative([&q, &k, &v], (&table, buckets), &offsets, &keys, heads);
        assert_close(&format!("attention with {count} biases, causal {causal}"), &got, &want);
        if !causal {
            continue;
        }
        for token in 0..n {
            let query = Array::from_slice(&q.value().data()[token * shape[1]..][..shape[1]], &[1, shape[1]]);
            let (one, past) = (Offsets::from_lengths(&[1]), 0..token + 1);
            let inputs = [&Var::constant(query), &k, &v];
            let got = op::attention_relative(inputs, (&table, buckets), &one, &[past], heads);
            assert_close("attention with biases and a past", &got, &want[token * shape[1]..][..shape[1]]);
        }
    }
}

/// Every token sees all keys of its source, of which there may be none; two sequences can read one source.
pub(crate) fn attention_to_a_source(n: usize) {
    let (heads, size, scale) = (2, 7, 0.7);
    let offsets = Offsets::from_lengths(&[n, 1, 3, 0, 2]);
    let keys = [2..n * 2 + 2, n * 2 + 2..n * 2 + 5, 4..4, 0..2, 2..n * 2 + 2];
    let width = heads * size;
    let (own, read) = ([offsets.tokens(), width], [n * 2 + 6, width]);
    let (q, k, v) = (constant(1, &own), constant(2, &read), constant(3, &read));
    let [qs, ks, vs] = [&q, &k, &v].map(wide);
    let band = |row: usize, head: usize| row * width + head * size..row * width + (head + 1) * size;
    let mut want = vec![0.0; qs.len()];
    for (range, keys) in offsets.ranges().zip(&keys) {
        for (head, i) in (0..heads).flat_map(|head| range.clone().map(move |i| (head, i))) {
            let score = |j: usize| scale * dot(&qs[band(i, head)], &ks[band(j, head)]);
            let mut p: Vec<f64> = keys.clone().map(score).collect();
            softmax(&mut p);
            for (p, j) in p.iter().zip(keys.clone()) {
                want[band(i, head)].iter_mut().zip(&vs[band(j, head)]).for_each(|(y, v)| *y += p * v);
            }
        }
    }
    let got = op::attention_across([&q, &k, &v], &offsets, &keys, heads, scale as f32);
    assert_close("attention to a source", &got, &want);
}
