//! Adapters made by PEFT, and ours in its layout.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tenfold_model::{Batch, Model};
use tenfold_tensor::{Array, op};
use tenfold_testkit::tolerance::widen;
use tenfold_weight::{Address, Form, Scope, dense_values};

/// f32 rounding through two layers.
const TOLERANCE: f64 = 2e-5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Name of the adapter, name of its model.
const CASES: [(&str, &str); 13] = [
    ("peft_lora/bert", "tiny_bert"),
    ("peft_lora/task", "tiny_bert"),
    ("peft_lora/gpt2", "tiny_gpt2"),
    ("peft_lora/llama", "tiny_llama"),
    ("peft_vectors/dora_bert", "tiny_bert"),
    ("peft_vectors/dora_gpt2", "tiny_gpt2"),
    ("peft_vectors/dora_llama", "tiny_llama"),
    ("peft_vectors/ia3_bert", "tiny_bert"),
    ("peft_vectors/ia3_task", "tiny_bert"),
    ("peft_vectors/ia3_gpt2", "tiny_gpt2"),
    ("peft_vectors/ia3_llama", "tiny_llama"),
    ("peft_t5/lora", "tiny_t5"),
    ("peft_t5/ia3", "tiny_t5_gated"),
];

fn adapted(name: &str, base: &str) -> (Model, Model) {
    let base = Model::load(&golden(base)).unwrap();
    (base.with_adapter(&golden(name)).unwrap(), base)
}

/// What the model makes of sequences: hidden states, the head's outputs, or logits of the next token.
fn outputs(model: &Model, ids: &[Vec<u32>]) -> Vec<f32> {
    let (scope, batch) = (Scope::evaluate(&model.tree), Batch::from_sequences(ids));
    let found = match (model.head, model.network.is_decoder()) {
        (Some(_), _) => model.logits(&scope, &batch),
        (None, true) => model.network.logits(&scope, &batch),
        (None, false) => model.network.hidden(&scope, &batch),
    };
    found.unwrap().value().data().to_vec()
}

fn expected(name: &str) -> (Vec<Vec<u32>>, Vec<f64>) {
    let text = fs::read_to_string(golden(name).join("expected.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |case: &serde_json::Value, key: &str| -> Vec<f64> {
        case[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let ids = |case| list(case, "ids").into_iter().map(|id| id as u32).collect();
    let cases = cases.as_array().unwrap();
    (cases.iter().map(ids).collect(), cases.iter().flat_map(|case| list(case, "values")).collect())
}

#[test]
fn adapters_of_peft_say_what_they_say_there() {
    for (name, base) in CASES {
        let (model, base) = adapted(name, base);
        let (ids, want) = expected(name);
        let got = outputs(&model, &ids);
        assert_eq!(got.len(), want.len(), "{name}");
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() < TOLERANCE * want.abs().max(1.0),
                "{name} at {at}: {got}, {want}"
            );
        }
        // It does something, and merged into the weights it does the same.
        if !name.ends_with("task") {
            let before = outputs(&base, &ids);
            assert!(before.iter().zip(&got).any(|(a, b)| (a - b).abs() > 0.01), "{name}");
        }
        let merged = outputs(&model.with_tree(model.dense_tree().unwrap()), &ids);
        for (a, b) in merged.iter().zip(&got) {
            assert!((a - b).abs() < 1e-4, "{name}: {a} merged, {b} beside");
        }
    }
}

/// Nothing of the base is lost by what is put on it, and a merged matrix is what dividing and subtracting undo.
#[test]
fn taking_an_adapter_off_gives_the_base_to_the_bit() {
    for (name, base) in CASES {
        let (model, base) = adapted(name, base);
        let again = model.without_adapter(&base).unwrap();
        for (path, form) in base.tree.iter().filter(|(path, _)| !path.as_str().starts_with("pooler")) {
            let got = again.tree.get(path).unwrap();
            assert_eq!(got.describe(), form.describe(), "{name}: {path}");
            assert_eq!(got.as_array(), form.as_array(), "{name}: {path}");
        }
        let mut undone = 0;
        for (path, form) in model.tree.iter() {
            let merged = dense_values(&model.tree, path).unwrap();
            let Some(own) = undo(form, &merged) else { continue };
            undone += 1;
            for (a, b) in own.iter().zip(dense_values(&base.tree, path).unwrap().data()) {
                assert!((a - f64::from(*b)).abs() < 1e-5, "{name}: {path}: {a} and {b}");
            }
        }
        assert!(undone > 0, "{name}");
        let other = Model::load(&golden("tiny_llama")).unwrap();
        if model.network.config().architecture() != "llama" {
            let message = model.without_adapter(&other).err().unwrap().to_string();
            assert!(message.contains("differs from the base"), "{message}");
        }
    }
}

/// A matrix merged with what is on it, brought back in double precision by what the parts say.
fn undo(form: &Form, merged: &Array) -> Option<Vec<f64>> {
    let part = |name: &str| form.part(name).and_then(Form::as_array).map(|array| widen(array.data()));
    let (cols, merged) = (merged.width(), widen(merged.data()));
    if let Some(columns) = part("columns") {
        return Some(merged.iter().enumerate().map(|(at, w)| w / columns[at % cols]).collect());
    }
    if let Some(rows) = part("rows") {
        return Some(merged.iter().enumerate().map(|(at, w)| w / rows[at / cols]).collect());
    }
    let (within, norms) = match part("norms") {
        Some(norms) => ("inner.", norms),
        None => ("", vec![]),
    };
    let (down, up) = (part(&format!("{within}right.down"))?, part(&format!("{within}right.up"))?);
    let left = part(&format!("{within}left"))?;
    let rank = down.len() / cols;
    let product =
        |at: usize| -> f64 { (0..rank).map(|k| up[at / cols * rank + k] * down[k * cols + at % cols]).sum() };
    // What a row was divided by is kept nowhere but in the sum itself.
    let norm = |row: usize| {
        (row * cols..(row + 1) * cols).map(|at| (left[at] + product(at)).powi(2)).sum::<f64>().sqrt()
    };
    let by = |row: usize| norms.get(row).map_or(1.0, |own| norm(row) / own);
    Some(merged.iter().enumerate().map(|(at, w)| w * by(at / cols) - product(at)).collect())
}

/// The norm of a row is a constant of the backward pass, there and here.
#[test]
fn gradients_of_magnitudes_and_factors_are_those_of_peft() {
    let (model, _) = adapted("peft_vectors/dora_bert", "tiny_bert");
    let text = fs::read_to_string(golden("peft_vectors/dora_bert/expected.json")).unwrap();
    let case = &serde_json::from_str::<serde_json::Value>(&text).unwrap()[0];
    let root = Address::root("encoder.layer.0.attention.self.query.weight".into());
    let leaf = |name: &str| match name {
        "norms" => root.part("norms"),
        other => root.part("inner").part("right").part(other),
    };
    let names = ["down", "up", "norms"];
    let trains: BTreeSet<Address> = names.iter().map(|name| leaf(name)).collect();
    let scope = Scope::train(&model.tree, &trains);
    let (ids, _) = expected("peft_vectors/dora_bert");
    let hidden = model.network.hidden(&scope, &Batch::from_sequences(&ids[..1])).unwrap();
    let loss = op::scale(&op::sum(&op::mul(&hidden, &hidden)), 0.5);
    let gradients = scope.backward(&loss).unwrap();
    for name in names {
        // B is stored times the scale.
        let by = if name == "up" { case["scale"].as_f64().unwrap() } else { 1.0 };
        let want: Vec<f64> =
            case["gradients"][name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() / by).collect();
        let top = want.iter().fold(0.0f64, |top, x| top.max(x.abs()));
        let got = &gradients[&leaf(name)];
        assert_eq!(got.len(), want.len());
        for (got, want) in got.data().iter().zip(&want) {
            assert!((f64::from(*got) - want).abs() < 1e-4 * top, "{name}: {got}, {want} of {top}");
        }
    }
}

#[test]
fn what_is_written_for_peft_is_read_back_as_the_same_model() {
    for (name, base) in CASES {
        let (model, base) = adapted(name, base);
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("adapter");
        model.save_adapter(&base, Some("base".to_owned()), &out).unwrap();
        let again = base.with_adapter(&out).unwrap();
        let (ids, _) = expected(name);
        for (a, b) in outputs(&model, &ids).iter().zip(&outputs(&again, &ids)) {
            assert!((a - b).abs() < 1e-5, "{name}: {a} and {b}");
        }
    }
}

/// Three weights that lie in one module get three products, which together are one of three times the rank.
#[test]
fn products_of_weights_in_one_module_become_one() {
    let (model, base) = adapted("peft_lora/gpt2", "tiny_gpt2");
    let mut tree = model.tree.clone();
    let path = |name: &str| tenfold_weight::Path::new(format!("h.0.attn.{name}.weight"));
    // The query's product goes, and the key's gets other factors.
    tree.insert(path("query"), base.tree.get(&path("query")).unwrap().clone());
    let key = base.tree.get(&path("key")).unwrap().clone();
    let down = tenfold_testkit::random::array("down", &[3, 24]);
    let up = tenfold_testkit::random::array("up", &[24, 3]);
    let product = Form::lowrank(down, up).unwrap();
    tree.insert(path("key"), Form::sum(key, product).unwrap());
    let model = model.with_tree(tree);
    let dir = tempfile::tempdir().unwrap();
    model.save_adapter(&base, None, &dir.path().join("adapter")).unwrap();
    let again = base.with_adapter(&dir.path().join("adapter")).unwrap();
    let (ids, _) = expected("peft_lora/gpt2");
    for (a, b) in outputs(&model, &ids).iter().zip(&outputs(&again, &ids)) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}

/// Vectors multiply, and a bias follows its matrix.
#[test]
fn two_adapters_of_vectors_multiply() {
    let (once, base) = adapted("peft_vectors/ia3_bert", "tiny_bert");
    let twice = once.with_adapter(&golden("peft_vectors/ia3_bert")).unwrap();
    let values = |model: &Model, name: &str| {
        widen(dense_values(&model.tree, &format!("encoder.layer.1.{name}").into()).unwrap().data())
    };
    for name in ["attention.self.key.weight", "attention.self.key.bias", "output.dense.weight"] {
        let [base, once, twice] = [&base, &once, &twice].map(|model| values(model, name));
        for ((base, once), twice) in base.iter().zip(once).zip(twice) {
            assert!((once * once - base * twice).abs() < 1e-6, "{name}: {base}, {once}, {twice}");
        }
    }
}

/// Where some rows have stored norms, PEFT wants them for all: the others get those that they have.
#[test]
fn products_with_and_without_magnitudes_become_one_adapter() {
    let (model, base) = adapted("peft_vectors/dora_gpt2", "tiny_gpt2");
    let mut tree = model.tree.clone();
    let path = |name: &str| tenfold_weight::Path::new(format!("h.0.attn.{name}.weight"));
    tree.insert(path("query"), base.tree.get(&path("query")).unwrap().clone());
    let sum = tree.get(&path("key")).unwrap().part("inner").unwrap().clone();
    tree.insert(path("key"), sum);
    let model = model.with_tree(tree);
    let dir = tempfile::tempdir().unwrap();
    model.save_adapter(&base, None, &dir.path().join("adapter")).unwrap();
    let again = base.with_adapter(&dir.path().join("adapter")).unwrap();
    let (ids, _) = expected("peft_vectors/dora_gpt2");
    for (a, b) in outputs(&model, &ids).iter().zip(&outputs(&again, &ids)) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}
