//! Layers that are computed again in the backward pass: the same loss and gradients, in less memory. A binary of its own:
//! the counters of the pool are those of the whole process.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use tenfold_model::{Batch, Model};
use tenfold_tensor::{Array, Precision, op, pool};
use tenfold_testkit::tiny::TinyBert;
use tenfold_weight::{LeafId, Scope};

static ALONE: Mutex<()> = Mutex::new(());

fn golden(name: &str) -> Model {
    Model::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)).unwrap()
}

type Found = (f32, BTreeMap<LeafId, Array>);

fn gradients(model: &Model, trains: &BTreeSet<LeafId>, again: bool) -> Found {
    let words: Vec<Vec<u32>> = (1..6).map(|n| (0..n * 3).map(|i| 5 + (i * n) % 20).collect()).collect();
    let batch = Batch::from_sequences(&words);
    let scope =
        Scope::train(&model.tree, trains).computing(Precision::F32).dropping(0.1, 99).checkpointing(again);
    let hidden = model.network.hidden(&scope, &batch).unwrap();
    let target = Array::full(hidden.shape(), 0.3);
    let loss = op::mse(&hidden, &target);
    (loss.value().item(), scope.backward(&loss).unwrap())
}

#[test]
fn losses_and_gradients_are_those_of_a_step_that_keeps_everything() {
    let _alone = ALONE.lock().unwrap();
    for name in ["tiny_bert", "tiny_gpt2", "tiny_llama", "tiny_t5", "tiny_t5_gated"] {
        let model = golden(name);
        let all: BTreeSet<LeafId> = model.tree.leaves().into_iter().map(|info| info.id).collect();
        let leaves = model.tree.leaves();
        let vectors =
            leaves.iter().filter(|info| info.shape.len() == 1).map(|info| info.id.clone()).collect();
        let middle = all.iter().filter(|id| id.path.as_str().contains(".1.")).cloned().collect();
        // Everything; biases and norms; one layer in the middle, so that what lies below needs no gradient.
        for trains in [all, vectors, middle] {
            let (loss, kept) = gradients(&model, &trains, false);
            let (again_loss, again) = gradients(&model, &trains, true);
            assert_eq!(loss, again_loss, "{name}: the same masks and sums");
            assert_eq!(kept.keys().collect::<Vec<_>>(), again.keys().collect::<Vec<_>>(), "{name}");
            assert!(!kept.is_empty() || trains.is_empty(), "{name}");
            for (id, kept) in &kept {
                let top = kept.data().iter().fold(1e-6f32, |top, x| top.max(x.abs()));
                for (a, b) in kept.data().iter().zip(again[id].data()) {
                    assert!((a - b).abs() <= 1e-5 * top, "{name} {id}: {a} and {b}");
                }
            }
        }
    }
}

#[test]
fn activations_of_one_layer_at_a_time_are_held() {
    let _alone = ALONE.lock().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let tiny = TinyBert { layers: 8, width: 64, heads: 4, hidden: 256, ..TinyBert::default() };
    tiny.write(dir.path()).unwrap();
    let model = Model::load(dir.path()).unwrap();
    let trains: BTreeSet<LeafId> = model
        .tree
        .leaves()
        .into_iter()
        .map(|info| info.id)
        .filter(|id| id.path.as_str().ends_with("bias"))
        .collect();
    let batch = Batch::from_sequences(&vec![vec![7u32; 30]; 40]);
    let peak = |again: bool| {
        let before = pool::live_bytes();
        pool::reset_peak();
        let scope = Scope::train(&model.tree, &trains).checkpointing(again);
        let hidden = model.network.hidden(&scope, &batch).unwrap();
        let loss = op::mse(&hidden, &Array::zeros(hidden.shape()));
        drop(hidden);
        scope.backward(&loss).unwrap();
        pool::peak_bytes() - before
    };
    let (kept, again) = (peak(false), peak(true));
    // Eight layers' activations against eight inputs and one layer's.
    assert!(again * 3 < kept, "{again} bytes of {kept}");
}
