//! Cases of the ops of attention.

use super::{Check, array, case, offsets};
use tenfold_tensor::{Offsets, Var, op};

pub(crate) fn attention(n: usize) -> Vec<Check> {
    let mut all = Vec::new();
    for (heads, size, causal) in [(1, 4, false), (2, 7, true), (3, 2, false)] {
        let shape = [offsets(n).tokens(), heads * size];
        let leaves = (1..4).map(|seed| array(seed, &shape)).collect();
        all.extend(case(format!("{heads} heads of {size}, causal {causal}"), leaves, move |v| {
            op::attention(&v[0], &v[1], &v[2], &offsets(n), heads, causal)
        }));
    }
    for (heads, shared, size, causal) in [(4, 2, 3, true), (3, 1, 5, false)] {
        let (own, read) = ([offsets(n).tokens(), heads * size], [offsets(n).tokens(), shared * size]);
        let leaves = vec![array(1, &own), array(2, &read), array(3, &read)];
        all.extend(case(format!("{heads} heads on {shared}, causal {causal}"), leaves, move |v| {
            op::attention(&v[0], &v[1], &v[2], &offsets(n), heads, causal)
        }));
    }
    let long = Offsets::from_lengths(&[n * 20]);
    let leaves = (1..4).map(|seed| array(seed, &[n * 20, 4])).collect();
    all.extend(case("long", leaves, move |v| {
        op::attention(&v[0], &v[1], &v[2], &long, 1, n == 7 || n == 31)
    }));
    all
}

pub(crate) fn attention_with_past(n: usize) -> Vec<Check> {
    // Keys of n, 3, 1 and 200 tokens, with rows between them that nobody looks at; the last exceeds a block of rows.
    let keys = vec![n + 4..2 * n + 4, 1..4, 0..1, 2 * n + 4..2 * n + 204];
    let tokens = Offsets::from_lengths(&[n, 1, 0, 140]);
    let mut all = Vec::new();
    for (heads, shared, size) in [(2, 1, 3), (4, 2, 2)] {
        let (own, read) = ([tokens.tokens(), heads * size], [2 * n + 210, shared * size]);
        let leaves = vec![array(1, &own), array(2, &read), array(3, &read)];
        let (keys, tokens) = (keys.clone(), tokens.clone());
        all.extend(case(format!("{heads} heads on {shared}"), leaves, move |v| {
            op::attention_with_past(&v[0], &v[1], &v[2], &tokens, &keys, heads)
        }));
    }
    all
}

/// The last case has more tokens than a block of rows and, with its prefix, more keys than whose weights are kept.
pub(crate) fn attention_with_prefix(n: usize) -> Vec<Check> {
    let mut all = Vec::new();
    let long = Offsets::from_lengths(&[n, 140]);
    for (heads, shared, size, causal, rows, tokens) in [
        (1, 1, 4, false, 3, offsets(n)),
        (2, 2, 3, true, n, offsets(n)),
        (4, 2, 3, true, 1, offsets(n)),
        (3, 1, 2, false, 5, offsets(n)),
        (2, 1, 2, n == 7, 120, long),
    ] {
        let (own, read) = ([tokens.tokens(), heads * size], [tokens.tokens(), shared * size]);
        let before = [rows, shared * size];
        let leaves =
            vec![array(1, &own), array(2, &read), array(3, &read), array(4, &before), array(5, &before)];
        all.extend(case(
            format!("{heads} heads on {shared}, {rows} rows, causal {causal}"),
            leaves,
            move |v| op::attention_with_prefix([&v[0], &v[1], &v[2]], [&v[3], &v[4]], &tokens, heads, causal),
        ));
    }
    all
}

/// Fewer and more keys than tokens, tokens without keys, keys without tokens, rows that nobody looks at, and more keys than whose
/// weights are kept.
pub(crate) fn attention_across(n: usize) -> Vec<Check> {
    let tokens = Offsets::from_lengths(&[n, 1, 0, 140, 3]);
    let keys = vec![n + 4..2 * n + 4, 1..4, 0..1, 2 * n + 4..2 * n + 304, 5..5];
    let mut all = Vec::new();
    for (heads, shared, size, scale) in [(2, 1, 3, 1.0), (2, 2, 2, 0.3)] {
        let (own, read) = ([tokens.tokens(), heads * size], [2 * n + 310, shared * size]);
        let leaves = vec![array(1, &own), array(2, &read), array(3, &read)];
        let (keys, tokens) = (keys.clone(), tokens.clone());
        all.extend(case(format!("{heads} heads on {shared}, scale {scale}"), leaves, move |v| {
            op::attention_across([&v[0], &v[1], &v[2]], &tokens, &keys, heads, scale)
        }));
    }
    all
}

/// Both directions and one, with and without keys from before, and more keys than whose weights are kept.
pub(crate) fn attention_relative(n: usize) -> Vec<Check> {
    let mut all = Vec::new();
    let long = Offsets::from_lengths(&[n, 140]);
    for (heads, shared, size, causal, before, tokens) in [
        (1, 1, 4, false, 0, offsets(n)),
        (2, 2, 3, true, 0, offsets(n)),
        (2, 1, 3, true, 5, offsets(n)),
        (2, 1, 2, n == 7, 120, long),
    ] {
        let mut end = 0;
        let keys: Vec<_> = tokens
            .ranges()
            .map(|range| {
                end += before + range.len();
                end - before - range.len()..end
            })
            .collect();
        let (own, read) = ([tokens.tokens(), heads * size], [end, shared * size]);
        let buckets = op::Buckets::new(9, 30, causal);
        let leaves = vec![array(1, &own), array(2, &read), array(3, &read), array(4, &[9, heads])];
        all.extend(case(
            format!("{heads} heads on {shared}, {before} before, causal {causal}"),
            leaves,
            move |v: &[Var]| {
                op::attention_relative([&v[0], &v[1], &v[2]], (&v[3], buckets), &tokens, &keys, heads)
            },
        ));
    }
    all
}
