//! Models gone through layer by layer, and weights that wait in their file.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use std::fs;
use std::path::{Path, PathBuf};
use tenfold_format::config::{LlamaConfig, ModelConfig};
use tenfold_format::tokenizer::Tokenizer;
use tenfold_model::{Batch, Error, Model};
use tenfold_weight::{Path as WeightPath, Scope, Tree, dense_values};

const STACKS: [&str; 3] = ["tiny_bert", "tiny_gpt2", "tiny_llama"];

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn words() -> Batch {
    let words: Vec<Vec<u32>> = (1..6).map(|n| (0..n * 3).map(|i| 5 + (i * n) % 20).collect()).collect();
    Batch::from_sequences(&words)
}

/// A copy of a golden model that a test may write to.
fn copy(name: &str, dir: &Path) -> PathBuf {
    let to = dir.join(name);
    fs::create_dir(&to).unwrap();
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        fs::copy(folder(name).join(file), to.join(file)).unwrap();
    }
    to
}

#[test]
fn a_walk_is_the_whole_way_to_the_bit() {
    for name in STACKS {
        let model = Model::load(&folder(name)).unwrap();
        let (batch, scope) = (words(), Scope::evaluate(&model.tree));
        let whole = model.network.hidden(&scope, &batch).unwrap();
        let walk = model.network.walk().unwrap();
        let places = walk.places(&scope, &batch).unwrap();
        let mut x = walk.enter(&scope, &batch, &places).unwrap();
        for layer in 0..walk.layers() {
            x = walk.layer(&scope, layer, &x, &places).unwrap();
        }
        assert_eq!(walk.leave(&scope, x).unwrap().value(), whole.value(), "{name}");
        assert!(walk.layers() > 1);
    }
}

#[test]
fn an_encoder_decoder_is_refused_by_name() {
    let model = Model::load(&folder("tiny_t5")).unwrap();
    let error = model.network.walk().err().unwrap().to_string();
    assert!(error.contains("a t5 model is no single stack of layers"), "{error}");
    assert!(matches!(Model::open(&folder("tiny_t5")), Err(Error::NoStack { architecture: "t5" })));
}

/// What is read layer by layer is what loading reads, and nothing of the layers is there before.
#[test]
fn waiting_weights_are_those_of_the_file() {
    for name in STACKS {
        let whole = Model::load(&folder(name)).unwrap();
        let (model, waiting) = Model::open(&folder(name)).unwrap();
        let walk = model.network.walk().unwrap();
        assert!(model.tree.iter().all(|(path, _)| walk.layer_of(path).is_none()), "{name}");
        assert!(!model.tree.is_empty(), "{name}");
        let mut outline = waiting.outline(&model.tree);
        let shapes = |tree: &Tree| -> Vec<_> {
            tree.iter().map(|(path, form)| (path.clone(), form.shape(), form.describe())).collect()
        };
        assert_eq!(shapes(&outline), shapes(&whole.tree), "{name}");
        assert_eq!(outline.cost(), whole.tree.cost());
        assert_eq!(outline.wiring(), whole.tree.wiring());
        for layer in 0..walk.layers() {
            let read = waiting.read(layer).unwrap();
            assert!(read.iter().all(|(path, _)| walk.layer_of(path) == Some(layer)), "{name}");
            assert_eq!(waiting.bytes(layer), read.iter().map(|(_, form)| form.cost().bytes).sum::<usize>());
            for (path, form) in read {
                outline.insert(path, form);
            }
        }
        for (path, _) in whole.tree.iter() {
            let values = |tree| dense_values(tree, path).unwrap();
            assert_eq!(values(&outline), values(&whole.tree), "{name} {path}");
        }
        // Computing with what is not there yet is an error that names it.
        let scope = Scope::evaluate(&model.tree);
        let error = model.network.hidden(&scope, &words()).err().unwrap().to_string();
        assert!(error.contains(".0."), "{error}");
    }
}

#[test]
fn files_whose_weights_cannot_wait_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |dir: &Path| Model::open(dir).err().unwrap().to_string();
    Model::load(&folder("tiny_llama")).unwrap().save(&dir.path().join("saved"), None).unwrap();
    assert!(refused(&dir.path().join("saved")).contains("a model that tenfold wrote"));
    let file = folder("gguf_llama").join("model.gguf");
    assert!(refused(&file).contains("may be quantized"));
    let coded = copy("tiny_llama", dir.path());
    let config = fs::read_to_string(coded.join("config.json")).unwrap();
    let section = "{\"quantization_config\": {\"quant_method\": \"gptq\", \"bits\": 4, \"group_size\": 16},";
    fs::write(coded.join("config.json"), config.replacen('{', section, 1)).unwrap();
    assert!(refused(&coded).contains("this one is quantized"), "{}", refused(&coded));
}

/// Somebody replaces the file while it is being worked through.
#[test]
fn a_file_that_changes_on_the_way_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let own = copy("tiny_llama", dir.path());
    let (model, waiting) = Model::open(&own).unwrap();
    let ModelConfig::Llama(config) = model.network.config() else { panic!("a llama") };
    waiting.read(0).unwrap();
    let other = LlamaConfig { hidden: config.hidden + 8, ..config };
    let letters = Tokenizer::of_characters(["abc"].into_iter()).unwrap();
    Model::fresh(ModelConfig::Llama(other), letters, 1).unwrap().save_dense(&own).unwrap();
    assert!(matches!(waiting.read(1), Err(Error::Moved { layer: 1, .. })));
}

/// A damaged number is found when its layer is read, and named.
#[test]
fn a_layer_that_is_not_finite_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::load(&folder("tiny_llama")).unwrap();
    let path = WeightPath::new("layers.1.mlp.up_proj.weight");
    model.tree.visit_mut(|id, leaf| {
        if id.path == path {
            leaf.value.data_mut()[3] = f32::NAN;
        }
    });
    let own = dir.path().join("damaged");
    model.save_dense(&own).unwrap();
    let (_, waiting) = Model::open(&own).unwrap();
    waiting.read(0).unwrap();
    let error = waiting.read(1).unwrap_err().to_string();
    assert!(error.contains("up_proj.weight is not finite at index 3"), "{error}");
}
