//! Heads of pre-training: against transformers, made, saved, loaded again, and left out.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_model::{Batch, Error, Model, Pretraining};
use tenfold_testkit::tiny::TinyBert;
use tenfold_weight::{Path, Scope};

/// f32 rounding through two layers, a norm and a product.
const TOLERANCE: f64 = 2e-5;

fn golden() -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bert_heads")
}

fn tiny() -> Model {
    let dir = tempfile::tempdir().unwrap();
    TinyBert::default().write(dir.path()).unwrap();
    Model::load(dir.path()).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn ids(value: &serde_json::Value) -> Vec<u32> {
    numbers(value).into_iter().map(|id| id as u32).collect()
}

fn close(what: &str, got: &[f32], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((f64::from(*got) - expected).abs() < TOLERANCE, "{what} at {at}: {got} {expected}");
    }
}

/// Names and values of a folder's tensors.
fn tensors(dir: &FilePath) -> BTreeMap<String, Vec<f32>> {
    let file = Checkpoint::open(dir).unwrap();
    let names: Vec<String> = file.tensors().map(|info| info.name.clone()).collect();
    names.into_iter().map(|name| (name.clone(), file.read_f32(&name).unwrap())).collect()
}

#[test]
fn logits_agree_with_transformers() {
    let model = Model::load(&golden()).unwrap();
    assert_eq!(model.pretraining(), Pretraining { masked: true, order: true });
    let text = std::fs::read_to_string(golden().join("expected.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let pairs: Vec<_> = cases.iter().map(|case| (ids(&case["ids"]), ids(&case["types"]))).collect();
    let batch = Batch::from_pairs(&pairs);
    let scope = Scope::evaluate(&model.tree);
    let hidden = model.network.hidden(&scope, &batch).unwrap();
    let all: Vec<u32> = (0..batch.tokens() as u32).collect();
    let logits = model.masked_logits(&scope, &hidden, &all).unwrap();
    let orders = model.order_logits(&scope, &hidden, &batch).unwrap();
    for (at, case) in cases.iter().enumerate() {
        let range = batch.offsets.range(at);
        close("tokens", &logits.value().data()[range.start * 40..range.end * 40], &numbers(&case["tokens"]));
        close("order", &orders.value().data()[at * 2..at * 2 + 2], &numbers(&case["order"]));
    }
    // Chosen places alone, in another order.
    let some = model.masked_logits(&scope, &hidden, &[7, 2]).unwrap();
    let wide: Vec<f64> = logits.value().data()[80..120].iter().copied().map(f64::from).collect();
    close("a chosen place", &some.value().data()[40..], &wide);
    assert!(model.masked_logits(&scope, &hidden, &[batch.tokens() as u32]).is_err());
}

/// What was read is written under the same names with the same numbers, and the table of words is stored once.
#[test]
fn a_checkpoint_with_heads_is_written_as_it_was_read() {
    let model = Model::load(&golden()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    model.save_dense(&dir.path().join("plain")).unwrap();
    assert_eq!(tensors(&dir.path().join("plain")), tensors(&golden()));
    let config = std::fs::read_to_string(dir.path().join("plain/config.json")).unwrap();
    assert!(config.contains("BertForPreTraining") && config.contains("\"tie_word_embeddings\": true"));
    model.save(&dir.path().join("own"), None).unwrap();
    let own = Model::load(&dir.path().join("own")).unwrap();
    assert_eq!((own.tree.len(), own.tree.parameters()), (model.tree.len(), model.tree.parameters()));
    assert!(own.tree.get(&Path::new("cls.predictions.decoder.weight")).unwrap().owner().is_some());
}

/// Rewrites the golden checkpoint and loads what comes of it.
fn altered(change: impl FnOnce(&mut BTreeMap<String, (Vec<usize>, Vec<f32>)>)) -> Result<Model, Box<Error>> {
    let dir = tempfile::tempdir().unwrap();
    for name in ["config.json", "vocab.txt"] {
        std::fs::copy(golden().join(name), dir.path().join(name)).unwrap();
    }
    let file = Checkpoint::open(&golden()).unwrap();
    let all: Vec<_> = file.tensors().map(|info| (info.name.clone(), info.shape.clone())).collect();
    let read = |(name, shape): (String, Vec<usize>)| (name.clone(), (shape, file.read_f32(&name).unwrap()));
    let mut all: BTreeMap<_, _> = all.into_iter().map(read).collect();
    change(&mut all);
    let listed: Vec<_> =
        all.iter().map(|(name, (shape, data))| (name.clone(), shape.clone(), data.as_slice())).collect();
    checkpoint::write(&dir.path().join("model.safetensors"), &listed, &BTreeMap::new()).unwrap();
    Model::load(dir.path()).map_err(Box::new)
}

#[test]
fn an_output_matrix_of_its_own_counts_and_stays() {
    let words = "bert.embeddings.word_embeddings.weight";
    let decoder = Path::new("cls.predictions.decoder.weight");
    let same = altered(|all| {
        let copy = all[words].clone();
        all.insert(decoder.to_string(), copy);
    })
    .unwrap();
    assert!(same.tree.get(&decoder).unwrap().owner().is_some());
    let other = altered(|all| {
        let mut copy = all[words].clone();
        copy.1[5] += 1.0;
        all.insert(decoder.to_string(), copy);
    })
    .unwrap();
    assert!(other.tree.get(&decoder).unwrap().owner().is_none());
    let dir = tempfile::tempdir().unwrap();
    other.save_dense(&dir.path().join("plain")).unwrap();
    assert!(tensors(&dir.path().join("plain")).contains_key(decoder.as_str()));
    let config = std::fs::read_to_string(dir.path().join("plain/config.json")).unwrap();
    assert!(config.contains("\"tie_word_embeddings\": false"), "{config}");
}

#[test]
fn half_a_head_is_an_error_that_names_the_rest() {
    let fault = altered(|all| drop(all.remove("cls.predictions.transform.LayerNorm.bias"))).err().unwrap();
    let Error::MissingWeights { paths, .. } = &*fault else { panic!("{fault}") };
    assert_eq!(paths, &["cls.predictions.transform.LayerNorm.bias"]);
    let fault =
        altered(|all| drop(all.insert("cls.seq_relationship.bias".to_owned(), (vec![3], vec![0.0; 3]))));
    assert!(matches!(*fault.err().unwrap(), Error::WeightShape { .. }));
    // One head without the other is a model like any.
    let masked = altered(|all| all.retain(|name, _| !name.starts_with("cls.seq_relationship"))).unwrap();
    assert_eq!(masked.pretraining(), Pretraining { masked: true, order: false });
}

#[test]
fn heads_are_drawn_by_seed_and_kept_where_they_are() {
    let model = tiny();
    assert_eq!(model.pretraining(), Pretraining::default());
    let one = model.with_pretraining(true, 5).unwrap();
    let values = |model: &Model, path: &str| {
        model.tree.get(&Path::new(path)).unwrap().as_array().unwrap().data().to_vec()
    };
    let dense = "cls.predictions.transform.dense.weight";
    assert_eq!(values(&one, dense), values(&model.with_pretraining(false, 5).unwrap(), dense));
    assert_ne!(values(&one, dense), values(&model.with_pretraining(true, 6).unwrap(), dense));
    assert_eq!(values(&one, dense), values(&one.with_pretraining(true, 6).unwrap(), dense));
    assert!(values(&one, "cls.predictions.transform.LayerNorm.weight").iter().all(|gain| *gain == 1.0));
    // The stream is read by others than the pooler, so it keeps its coordinates, with a task head as well.
    let exposed = |model: &Model| model.tree.wiring().spaces.iter().any(|space| space.exposed);
    assert!(exposed(&one.with_head(2, 1).unwrap()) && !exposed(&model.with_head(2, 1).unwrap()));
    let bare = one.without_pretraining();
    assert_eq!(bare.pretraining(), Pretraining::default());
    assert_eq!(
        bare.tree.len(),
        model.tree.len() + usize::from(!model.tree.contains(&"pooler.dense.weight".into())) * 2
    );
}

#[test]
fn models_without_heads_and_decoders_say_so() {
    let model = tiny();
    let batch = Batch::from_sequences(&[vec![1, 2]]);
    let scope = Scope::evaluate(&model.tree);
    let hidden = model.network.hidden(&scope, &batch).unwrap();
    let fault = model.masked_logits(&scope, &hidden, &[0]).err().unwrap();
    assert!(matches!(fault, Error::NoGuesses { .. }), "{fault}");
    let fault = model.order_logits(&scope, &hidden, &batch).err().unwrap();
    assert!(matches!(fault, Error::NoGuesses { .. }), "{fault}");
    let llama = Model::load(&golden().with_file_name("tiny_llama")).unwrap();
    let fault = llama.with_pretraining(false, 1).err().unwrap();
    assert!(matches!(fault, Error::GuessesOnDecoder { architecture: "llama" }), "{fault}");
    assert_eq!(llama.without_pretraining().tree.len(), llama.tree.len());
}
