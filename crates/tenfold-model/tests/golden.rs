//! Architectures against transformers on tiny random models.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::path::{Path, PathBuf};
use tenfold_format::checkpoint::Checkpoint;
use tenfold_model::{Batch, Model};
use tenfold_tensor::Var;
use tenfold_weight::Scope;

/// f32 rounding through two layers.
const TOLERANCE: f64 = 1e-5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn folder() -> PathBuf {
    golden("tiny_bert")
}

/// What transformers made of each sequence, and the sequences packed.
fn expected(folder: &Path) -> (Vec<serde_json::Value>, Batch) {
    let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let ids =
        |case: &serde_json::Value| numbers(&case["ids"]).into_iter().map(|id| id as u32).collect::<Vec<_>>();
    let sequences: Vec<Vec<u32>> = cases.iter().map(ids).collect();
    (cases, Batch::from_sequences(&sequences))
}

/// The rows of one sequence.
fn rows<'a>(packed: &'a Var, batch: &Batch, at: usize) -> &'a [f32] {
    let (range, width) = (batch.offsets.range(at), packed.value().width());
    &packed.value().data()[range.start * width..range.end * width]
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
    model.network.pipeline.normalize = true;
    let (cases, batch) = expected(&folder());
    let scope = Scope::evaluate(&model.tree);
    let hidden = model.network.hidden(&scope, &batch).unwrap();
    let vectors = model.network.pool(&hidden, &batch);
    for (at, case) in cases.iter().enumerate() {
        let width = model.network.width();
        let own = rows(&hidden, &batch, at);
        assert_close(&format!("hidden states of sequence {at}"), own, &numbers(&case["hidden"]));
        let vector = &vectors.value().data()[at * width..(at + 1) * width];
        assert_close(&format!("vector of sequence {at}"), vector, &numbers(&case["vector"]));
    }
}

#[test]
fn hidden_states_and_logits_of_decoders_agree_with_transformers() {
    for name in ["tiny_gpt2", "tiny_llama"] {
        let model = Model::load(&golden(name)).unwrap();
        let (cases, batch) = expected(&golden(name));
        let scope = Scope::evaluate(&model.tree);
        let hidden = model.network.hidden(&scope, &batch).unwrap();
        let logits = model.network.next_token(&scope, &hidden).unwrap();
        for (at, case) in cases.iter().enumerate() {
            let what = |part: &str| format!("{part} of {name}, sequence {at}");
            assert_close(&what("hidden states"), rows(&hidden, &batch, at), &numbers(&case["hidden"]));
            assert_close(&what("logits"), rows(&logits, &batch, at), &numbers(&case["logits"]));
        }
    }
}

/// Weights that a checkpoint keeps transposed, side by side or once for two, come back as they were.
#[test]
fn a_plain_checkpoint_of_a_decoder_is_written_as_it_was_read() {
    for name in ["tiny_gpt2", "tiny_llama", "tiny_t5", "tiny_t5_gated"] {
        let model = Model::load(&golden(name)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        model.save_dense(&dir.path().join("plain")).unwrap();
        let (before, after) = (golden(name), dir.path().join("plain"));
        let (before, after) = (Checkpoint::open(&before).unwrap(), Checkpoint::open(&after).unwrap());
        let names = |file: &Checkpoint| {
            file.tensors().map(|info| (info.name.clone(), info.shape.clone())).collect::<Vec<_>>()
        };
        let (mut old, mut new) = (names(&before), names(&after));
        old.sort();
        new.sort();
        assert_eq!(old, new);
        for (tensor, _) in old {
            assert_eq!(before.read_f32(&tensor).unwrap(), after.read_f32(&tensor).unwrap(), "{tensor}");
        }
        // The rewritten layout keeps what is stored once.
        model.save(&dir.path().join("own"), None).unwrap();
        let own = Model::load(&dir.path().join("own")).unwrap();
        assert_eq!(own.tree.parameters(), model.tree.parameters());
    }
}

#[test]
fn an_encoder_has_no_next_token_and_a_decoder_no_head() {
    let (bert, llama) = (Model::load(&folder()).unwrap(), Model::load(&golden("tiny_llama")).unwrap());
    let scope = Scope::evaluate(&bert.tree);
    let hidden = bert.network.hidden(&scope, &Batch::from_sequences(&[vec![2, 3]])).unwrap();
    let error = bert.network.next_token(&scope, &hidden).err().unwrap().to_string();
    assert!(error.starts_with("a bert model does not say which token comes next"), "{error}");
    let error = llama.with_head(2, 1).err().unwrap().to_string();
    assert!(error.ends_with("llama has a decoder, whose first token sees none that follows"), "{error}");
}

#[test]
fn a_sequence_longer_than_the_positions_is_refused() {
    let model = Model::load(&folder()).unwrap();
    let error = model.network.hidden(&Scope::evaluate(&model.tree), &Batch::from_sequences(&[vec![2; 17]]));
    assert_eq!(
        error.err().unwrap().to_string(),
        "a sequence of 17 tokens is longer than the model's 16 positions; truncate it"
    );
}
