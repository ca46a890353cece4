//! Models of another depth are the layers of their source in another order.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use std::path::{Path, PathBuf};
use tenfold_model::{Batch, Copies, Error, Model};
use tenfold_weight::{Address, Form, Path as WeightPath, Scope};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn words() -> Batch {
    let words: Vec<Vec<u32>> = (1..5).map(|n| (0..n * 2).map(|i| 5 + (i * n) % 20).collect()).collect();
    Batch::from_sequences(&words)
}

#[test]
fn layers_are_those_of_the_source_in_order() {
    for name in ["tiny_bert", "tiny_gpt2", "tiny_llama"] {
        let source = Model::load(&folder(name)).unwrap();
        let (batch, scope) = (words(), Scope::evaluate(&source.tree));
        let walk = source.network.walk().unwrap();
        let count = walk.layers();
        let places = walk.places(&scope, &batch).unwrap();
        for (copies, layers, order) in [
            (Copies::Stack, 2 * count + 1, (0..2 * count + 1).map(|at| at % count).collect::<Vec<_>>()),
            (Copies::Spread, 2 * count, (0..2 * count).map(|at| at / 2).collect()),
            (Copies::Last, count + 2, (0..count + 2).map(|at| at.min(count - 1)).collect()),
            (Copies::Spread, 1, vec![0]),
        ] {
            let mut x = walk.enter(&scope, &batch, &places).unwrap();
            for layer in &order {
                x = walk.layer(&scope, *layer, &x, &places).unwrap();
            }
            let expected = walk.leave(&scope, x).unwrap();
            let deep = Model::load(&folder(name)).unwrap().with_layers(layers, copies).unwrap();
            let got = deep.network.hidden(&Scope::evaluate(&deep.tree), &batch).unwrap();
            assert_eq!(got.value(), expected.value(), "{name} {} {layers}", copies.word());
            // A folder keeps the depth, and no other program is told of another.
            let dir = tempfile::tempdir().unwrap();
            deep.save(dir.path(), None).unwrap();
            let again = Model::load(dir.path()).unwrap();
            assert_eq!(again.network.walk().unwrap().layers(), layers);
            let got = again.network.hidden(&Scope::evaluate(&again.tree), &batch).unwrap();
            assert_eq!(got.value(), expected.value());
        }
    }
}

#[test]
fn what_layers_share_stays_shared() {
    let mut source = Model::load(&folder("tiny_bert")).unwrap();
    let path = |layer: usize| WeightPath::new(format!("encoder.layer.{layer}.output.dense.weight"));
    let shape = source.tree.get(&path(1)).unwrap().shape();
    source.tree.insert(path(0), Form::shared(Address::root(path(1)), shape));
    let before = source.tree.parameters();
    let layers = source.network.walk().unwrap().layers();
    let own = source.tree.get(&path(1)).unwrap().parameters();
    let deep = source.with_layers(2 * layers, Copies::Spread).unwrap();
    // Layers 2 and 3 begin as layer 1, which stores the matrix.
    assert_eq!(deep.tree.get(&path(1)).unwrap().owner().unwrap().path, path(2));
    assert!(deep.tree.get(&path(3)).unwrap().owner().is_none());
    assert!(deep.tree.parameters() > before && own > 0);
}

#[test]
fn depths_that_cannot_be_are_refused_by_name() {
    let fails = |model: Model, layers, copies| model.with_layers(layers, copies).err().unwrap().to_string();
    let bert = || Model::load(&folder("tiny_bert")).unwrap();
    assert!(fails(bert(), 0, Copies::Stack).contains("cannot have 0 layers: a model has 1 to"));
    assert!(fails(bert(), 100_000, Copies::Stack).contains("cannot have 100000 layers"));
    let t5 = Model::load(&folder("tiny_t5")).unwrap().with_layers(4, Copies::Stack);
    assert!(matches!(t5, Err(Error::NoStack { architecture: "t5" })));
    let mut source = bert();
    let path = |layer: usize| WeightPath::new(format!("encoder.layer.{layer}.output.dense.weight"));
    let shape = source.tree.get(&path(1)).unwrap().shape();
    source.tree.insert(path(0), Form::shared(Address::root(path(1)), shape));
    assert!(fails(source, 1, Copies::Spread).contains("is stored in layer 1, which is left out"));
}
