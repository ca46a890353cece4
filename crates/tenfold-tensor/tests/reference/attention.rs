//! Attention against loops in f64.

use super::{assert_close, constant, dot, softmax, wide};
use tenfold_tensor::{Array, Offsets, Var, op};

pub(super) fn plain(n: usize) {
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
pub(super) fn prefixed(n: usize) {
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
pub(super) fn grouped(n: usize) {
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
