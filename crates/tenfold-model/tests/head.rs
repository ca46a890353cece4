//! Task heads: made, saved, loaded again, and kept by other programs' names.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use tenfold_format::checkpoint::Checkpoint;
use tenfold_model::{Batch, Error, Head, Model};
use tenfold_tensor::{Activation, op};
use tenfold_testkit::tiny::TinyBert;
use tenfold_weight::Scope;

fn tiny() -> (tempfile::TempDir, Model) {
    let dir = tempfile::tempdir().unwrap();
    TinyBert::default().write(dir.path()).unwrap();
    let model = Model::load(dir.path()).unwrap();
    (dir, model)
}

#[test]
fn a_head_is_the_pooler_and_a_linear_layer_on_the_first_token() {
    let (_dir, model) = tiny();
    let model = model.with_head(3, 5).unwrap();
    let batch = Batch::from_sequences(&[model.tokenize("a b c").unwrap(), model.tokenize("d").unwrap()]);
    let scope = Scope::evaluate(&model.tree);
    let logits = model.logits(&scope, &batch).unwrap();
    assert_eq!(logits.shape(), [2, 3]);
    let hidden = model.network.hidden(&scope, &batch).unwrap();
    let first = op::segment_first(&hidden, &batch.offsets);
    let pooled = scope.linear("pooler.dense", &first, Activation::Tanh).unwrap();
    let expected = scope.linear("classifier", &pooled, Activation::Identity).unwrap();
    assert_eq!(logits.value().data(), expected.value().data());
}

#[test]
fn heads_are_drawn_by_seed_and_kept_where_they_fit() {
    let (_dir, model) = tiny();
    assert!(model.head.is_none());
    let values = |model: &Model| {
        model.tree.get(&"classifier.weight".into()).unwrap().as_array().unwrap().data().to_vec()
    };
    let one = model.with_head(2, 5).unwrap();
    assert_eq!(values(&one), values(&model.with_head(2, 5).unwrap()));
    assert_ne!(values(&one), values(&model.with_head(2, 6).unwrap()));
    assert_eq!(values(&one), values(&one.with_head(2, 9).unwrap()), "a head that fits is kept");
    assert_eq!(one.with_head(1, 5).unwrap().head, Some(Head { outputs: 1 }));
}

#[test]
fn a_model_without_a_head_says_so() {
    let (_dir, model) = tiny();
    let batch = Batch::from_sequences(&[vec![1, 2]]);
    let error = model.logits(&Scope::evaluate(&model.tree), &batch).unwrap_err();
    assert!(matches!(error, Error::NoHead { .. }), "{error}");
}

#[test]
fn a_head_is_saved_and_exported_under_the_names_of_hugging_face() {
    let (dir, model) = tiny();
    let model = model.with_head(2, 5).unwrap();
    let saved = dir.path().join("saved");
    model.save(&saved, None).unwrap();
    assert_eq!(Model::load(&saved).unwrap().head, Some(Head { outputs: 2 }));
    let plain = dir.path().join("plain");
    model.save_dense(&plain).unwrap();
    let names: Vec<String> =
        Checkpoint::open(&plain).unwrap().tensors().map(|info| info.name.clone()).collect();
    assert!(names.iter().any(|name| name == "classifier.weight"));
    assert!(names.iter().any(|name| name == "bert.pooler.dense.weight"));
    let config = std::fs::read_to_string(plain.join("config.json")).unwrap();
    assert!(config.contains("BertForSequenceClassification") && config.contains("LABEL_1"));
    let again = Model::load(&plain).unwrap();
    assert_eq!((again.head, again.tree.len()), (model.head, model.tree.len()));
}

#[test]
fn the_stream_of_a_model_with_a_head_may_be_permuted() {
    let (_dir, model) = tiny();
    let exposed = |model: &Model| model.tree.wiring().spaces.iter().any(|space| space.exposed);
    assert!(exposed(&model) && !exposed(&model.with_head(2, 1).unwrap()));
}
