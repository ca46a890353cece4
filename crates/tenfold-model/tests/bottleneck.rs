//! Bottlenecks: where they are, what they compute, and that layers computed again agree.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use tenfold_format::checkpoint::Checkpoint;
use tenfold_model::{Batch, Error, Model};
use tenfold_tensor::{Array, op};
use tenfold_weight::{Form, Path, Scope};

/// f32 rounding through two layers.
const TOLERANCE: f64 = 2e-5;
const MODELS: [&str; 3] = ["tiny_bert", "tiny_gpt2", "tiny_llama"];

fn golden(name: &str) -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A model with the bottlenecks of the golden files.
fn model(name: &str) -> Model {
    let base = Model::load(&golden(name)).unwrap();
    let file = Checkpoint::open(&golden("bottleneck").join(name)).unwrap();
    let mut tree = base.tree.clone();
    let read =
        |name: &str, shape: &[usize]| Form::dense(Array::from_vec(file.read_f32(name).unwrap(), shape));
    tree.plug(file.tensors().map(|info| (Path::new(&info.name), read(&info.name, &info.shape))));
    base.with_tree(tree)
}

fn outputs(model: &Model, scope: &Scope<'_>, ids: &[Vec<u32>]) -> tenfold_tensor::Var {
    let batch = Batch::from_sequences(ids);
    match model.network.is_decoder() {
        true => model.network.logits(scope, &batch).unwrap(),
        false => model.network.hidden(scope, &batch).unwrap(),
    }
}

#[test]
fn bottlenecks_compute_what_hooks_in_transformers_compute() {
    for name in MODELS {
        let model = model(name);
        let text = fs::read_to_string(golden("bottleneck").join(name).join("expected.json")).unwrap();
        let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
        for case in cases.as_array().unwrap() {
            let list = |key: &str| -> Vec<f64> {
                case[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
            };
            let ids = list("ids").into_iter().map(|id| id as u32).collect();
            let got = outputs(&model, &Scope::evaluate(&model.tree), &[ids]);
            for (at, (got, want)) in got.value().data().iter().zip(list("values")).enumerate() {
                let error = (f64::from(*got) - want).abs();
                assert!(error < TOLERANCE * want.abs().max(1.0), "{name} at {at}: {got}, {want}");
            }
        }
    }
}

#[test]
fn layers_computed_again_give_the_same_gradients() {
    for name in MODELS {
        let model = model(name);
        let ids = model.tree.leaves().into_iter().map(|leaf| leaf.id);
        let trains: BTreeSet<_> = ids.filter(|id| id.path.as_str().contains("bottleneck")).collect();
        assert_eq!(trains.len(), 16, "{name}");
        let gradients = |again: bool| {
            let scope = Scope::train(&model.tree, &trains).checkpointing(again);
            let y = outputs(&model, &scope, &[vec![2, 5, 6], vec![2, 7, 8, 9, 3]]);
            scope.backward(&op::sum(&op::mul(&y, &y))).unwrap()
        };
        let (kept, again) = (gradients(false), gradients(true));
        assert_eq!(kept.len(), 16, "{name}");
        for (id, gradient) in kept {
            let top = gradient.data().iter().fold(0.0f32, |top, x| top.max(x.abs()));
            for (a, b) in gradient.data().iter().zip(again[&id].data()) {
                assert!((a - b).abs() <= 1e-5 * top, "{name}, {id}: {a} and {b}");
            }
        }
    }
}

#[test]
fn files_keep_bottlenecks_and_other_layouts_refuse_them() {
    let (model, base) = (model("tiny_gpt2"), Model::load(&golden("tiny_gpt2")).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    for error in [model.save_dense(&out).unwrap_err(), model.save_adapter(&base, None, &out).unwrap_err()] {
        let message = error.to_string();
        assert!(
            message.contains("h.0.attn.bottleneck") && message.contains("houlsby or pfeiffer"),
            "{message}"
        );
        assert!(message.contains("--to tenfold"), "{message}");
    }
    assert!(!out.exists());
    model.save(&out, None).unwrap();
    let again = Model::load(&out).unwrap();
    let of = |model: &Model| {
        outputs(model, &Scope::evaluate(&model.tree), &[vec![2, 5, 6, 9]]).value().data().to_vec()
    };
    assert_eq!(of(&model), of(&again));
    // A module that is not whole is found when the folder is read.
    let mut torn = model.with_tree(model.tree.clone());
    torn.tree.remove(&Path::new("h.1.mlp.bottleneck.relu.up.bias"));
    torn.save(&out, None).unwrap();
    let error = Model::load(&out).err().unwrap();
    assert!(matches!(error, Error::Weight(tenfold_weight::Error::Missing { .. })), "{error}");
}
