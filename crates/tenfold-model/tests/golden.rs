//! The encoder against transformers on a tiny random model.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::path::Path;
use tenfold_model::{Batch, Model};
use tenfold_weight::Scope;

/// f32 rounding through two layers.
const TOLERANCE: f64 = 1e-5;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny_bert")
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn assert_close(what: &str, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let distance = |at: &usize| (f64::from(got[*at]) - expected[*at]).abs();
    let worst = (0..got.len()).max_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
    assert!(distance(&worst) < TOLERANCE, "{what} at {worst}: {} against {}", got[worst], expected[worst]);
}

#[test]
fn hidden_states_and_vectors_agree_with_transformers() {
    let mut model = Model::load(&folder()).unwrap();
    model.encoder.pipeline.normalize = true;
    let text = std::fs::read_to_string(folder().join("expected.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let ids =
        |case: &serde_json::Value| numbers(&case["ids"]).into_iter().map(|id| id as u32).collect::<Vec<_>>();
    let sequences: Vec<Vec<u32>> = cases.iter().map(ids).collect();
    let batch = Batch::from_sequences(&sequences);
    let scope = Scope::evaluate(&model.tree);
    let hidden = model.encoder.hidden(&scope, &batch).unwrap();
    let vectors = model.encoder.pool(&hidden, &batch);
    for (at, case) in cases.iter().enumerate() {
        let width = model.encoder.width();
        let range = batch.offsets.range(at);
        let own = &hidden.value().data()[range.start * width..range.end * width];
        assert_close(&format!("hidden states of sequence {at}"), own, &numbers(&case["hidden"]));
        let vector = &vectors.value().data()[at * width..(at + 1) * width];
        assert_close(&format!("vector of sequence {at}"), vector, &numbers(&case["vector"]));
    }
}

#[test]
fn a_sequence_longer_than_the_positions_is_refused() {
    let model = Model::load(&folder()).unwrap();
    let error = model.encoder.hidden(&Scope::evaluate(&model.tree), &Batch::from_sequences(&[vec![2; 17]]));
    assert_eq!(
        error.err().unwrap().to_string(),
        "a sequence of 17 tokens is longer than the model's 16 positions; truncate it"
    );
}
