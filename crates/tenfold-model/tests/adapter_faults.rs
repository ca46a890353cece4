//! Adapters that are damaged, of other models, or cannot be written: each is refused by name.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tenfold_format::checkpoint;
use tenfold_model::{Error, Model};
use tenfold_testkit::random;
use tenfold_weight::{Address, Form, form::Scaled};

/// Name and shape.
type Tensor<'a> = (&'a str, &'a [usize]);

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn load(name: &str) -> Model {
    Model::load(&golden(name)).unwrap()
}

/// A folder with an adapter of these tensors; `prefix` stands before their names.
fn adapter(prefix: &str, tensors: &[Tensor], config: &Value) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let values: Vec<(String, Vec<usize>, Vec<f32>)> = tensors
        .iter()
        .map(|(name, shape)| {
            let count = shape.iter().product();
            (format!("base_model.model.{prefix}{name}"), shape.to_vec(), vec![0.5; count])
        })
        .collect();
    let list: Vec<_> =
        values.iter().map(|(name, shape, data)| (name.clone(), shape.clone(), &data[..])).collect();
    checkpoint::write(&dir.path().join("adapter_model.safetensors"), &list, &Default::default()).unwrap();
    fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
    dir
}

#[track_caller]
fn refused(model: &Model, dir: &Path, words: &[&str]) {
    let message = model.with_adapter(dir).err().unwrap().to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
}

fn lora(more: &[(&str, Value)]) -> Value {
    let mut config = json!({"peft_type": "LORA", "r": 2, "target_modules": ["layers.0.mlp.down_proj"]});
    more.iter().for_each(|(key, value)| config[*key] = value.clone());
    config
}

#[test]
fn products_that_do_not_fit_are_refused() {
    let llama = load("tiny_llama");
    refused(&llama, &golden("peft_lora/bert"), &["encoder.layer.0", "another model"]);
    let (down, up) = ("layers.0.mlp.down_proj.lora_A.weight", "layers.0.mlp.down_proj.lora_B.weight");
    let norms = "layers.0.mlp.down_proj.lora_magnitude_vector";
    let dora = lora(&[("use_dora", json!(true))]);
    let whole = lora(&[("target_modules", json!(["down_proj"]))]);
    let pair: [Tensor; 2] = [(down, &[2, 40]), (up, &[24, 2])];
    let cases: [(Vec<Tensor>, Value, &[&str]); 10] = [
        (vec![pair[0]], lora(&[]), &["down_proj has no .lora_B.weight"]),
        (vec![pair[1]], lora(&[]), &["down_proj has no .lora_A.weight"]),
        (vec![(down, &[2, 24]), pair[1]], lora(&[]), &["is [24, 40] in the model"]),
        (vec![pair[0], (up, &[24, 3])], lora(&[]), &["its factors are [2, 40] and [24, 3]"]),
        (vec![("layers.9.mlp.down_proj.weight", &[2, 2])], lora(&[]), &["no module that the model has"]),
        (pair.to_vec(), lora(&[("use_qalora", json!(true))]), &["use_qalora = true"]),
        // The config promises what the file does not hold.
        (pair.to_vec(), dora.clone(), &["down_proj has no .lora_magnitude_vector"]),
        (pair.to_vec(), whole, &["layers.1.mlp.down_proj has no .lora_A.weight"]),
        (vec![pair[0], pair[1], (norms, &[40])], dora, &["is [24, 40] in the model, its norms are [40]"]),
        // And the other way round.
        (
            vec![pair[0], pair[1], (norms, &[24])],
            lora(&[]),
            &["magnitude_vector", "none of what the config says"],
        ),
    ];
    for (tensors, config, words) in cases {
        refused(&llama, adapter("model.", &tensors, &config).path(), words);
    }
    let dir = adapter("model.", &pair, &lora(&[]));
    assert!(llama.with_adapter(dir.path()).is_ok());
    fs::write(dir.path().join("adapter_model.safetensors"), b"short").unwrap();
    assert!(llama.with_adapter(dir.path()).is_err());
    assert!(llama.with_adapter(&dir.path().join("nowhere")).is_err());
}

#[test]
fn vectors_that_do_not_fit_are_refused() {
    let bert = load("tiny_bert");
    let at = |name: &str| format!("encoder.layer.0.{name}.ia3_l");
    let (key, output) = (at("attention.self.key"), at("output.dense"));
    let ia3 = |targets: &[&str]| json!({"peft_type": "IA3", "target_modules": targets});
    let (one, all) = (ia3(&["layer.0.attention.self.key"]), ia3(&["key"]));
    let cases: [(&str, &[usize], &Value, &[&str]); 6] = [
        (&key, &[24, 1], &all, &["encoder.layer.1.attention.self.key has no .ia3_l"]),
        (&key, &[23, 1], &one, &["is [24, 24] in the model, its vector is [23, 1]"]),
        (&key, &[24], &one, &["its vector is [24]"]),
        (&key, &[24, 24], &one, &["its vector is [24, 24]"]),
        (
            &output,
            &[1, 24],
            &ia3(&["layer.0.output.dense"]),
            &["is [24, 40] in the model, its vector is [1, 24]"],
        ),
        ("encoder.layer.0.output.LayerNorm.ia3_l", &[24, 1], &ia3(&[]), &["LayerNorm", "another model"]),
    ];
    for (name, shape, config, words) in cases {
        refused(&bert, adapter("", &[(name, shape)], config).path(), words);
    }
    let kept: [&[usize]; 2] = [&[24, 1], &[1, 24]];
    for shape in kept {
        assert!(bert.with_adapter(adapter("", &[(&key, shape)], &one).path()).is_ok());
    }
    refused(&load("tiny_llama"), &golden("peft_vectors/ia3_bert"), &["encoder.layer.0", "another model"]);
    let product = [(at("attention.self.key").replace("ia3_l", "lora_A.weight"), vec![2, 24])];
    let product: Vec<Tensor> = product.iter().map(|(name, shape)| (&name[..], &shape[..])).collect();
    refused(&bert, adapter("", &product, &ia3(&[])).path(), &["lora_A", "none of what the config says"]);
}

#[test]
fn adapters_for_another_base_or_task_are_refused() {
    let (bert, llama) = (load("tiny_bert"), load("tiny_llama"));
    let vector: [Tensor; 1] = [("encoder.layer.0.attention.self.key.ia3_l", &[24, 1])];
    let config = |key: &str, value: &str| {
        let mut config = json!({"peft_type": "IA3", "target_modules": ["layer.0.attention.self.key"]});
        config[key] = json!(value);
        config
    };
    for (task, words) in [
        ("CAUSAL_LM", "the model is an encoder"),
        ("SEQ_CLS", "neither it nor the model holds a task head"),
        ("TOKEN_CLS", "known are"),
    ] {
        refused(&bert, adapter("", &vector, &config("task_type", task)).path(), &[task, words]);
    }
    let down: [Tensor; 1] = [("layers.0.mlp.down_proj.ia3_l", &[1, 40])];
    let decoder = json!({"peft_type": "IA3", "task_type": "SEQ_CLS"});
    refused(&llama, adapter("model.", &down, &decoder).path(), &["SEQ_CLS", "neither"]);

    let named = adapter("", &vector, &config("base_model_name_or_path", "owner/model"));
    assert!(bert.with_adapter(named.path()).is_ok(), "a folder has no name");
    let mut hub = bert;
    hub.origin = "hf:owner/other@main".to_owned();
    refused(&hub, named.path(), &["belongs to owner/model", "hf:owner/other@main", "path:DIR"]);
    hub.origin = "hf:owner/model@main".to_owned();
    assert!(hub.with_adapter(named.path()).is_ok());
    let folder = adapter("", &vector, &config("base_model_name_or_path", "./models/mine"));
    assert!(hub.with_adapter(folder.path()).is_ok());
}

#[test]
fn what_no_adapter_holds_is_refused() {
    let (llama, bert) = (load("tiny_llama"), load("tiny_bert"));
    let dir = tempfile::tempdir().unwrap();
    let refused = |model: &Model, base: &Model| match model.save_adapter(base, None, dir.path()) {
        Err(error @ Error::Adapter { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let nothing = refused(&llama, &llama);
    assert!(nothing.contains("method \"lora\" or \"ia3\""), "{nothing}");

    let with = |model: &Model, path: &str, form: &dyn Fn(Form) -> Form| {
        let mut tree = model.tree.clone();
        let old = tree.get(&path.into()).unwrap().clone();
        tree.insert(path.into(), form(old));
        model.with_tree(tree)
    };
    let norm = |_| Form::dense(random::array("norm", &[24]));
    for adapter in ["peft_lora/llama", "peft_vectors/dora_llama", "peft_vectors/ia3_llama"] {
        let model = llama.with_adapter(&golden(adapter)).unwrap();
        let changed = refused(&with(&model, "norm.weight", &norm), &llama);
        assert!(changed.contains("norm.weight differs from the base"), "{changed}");
    }
    let ones = |count| Form::dense(tenfold_tensor::Array::full(&[count], 2.0));
    let lora = llama.with_adapter(&golden("peft_lora/llama")).unwrap();
    let stretched = |form: Form| Form::row_scaled(form, ones(8)).unwrap();
    let both = refused(&with(&lora, "layers.0.self_attn.k_proj.weight", &stretched), &llama);
    assert!(both.contains("q_proj") || both.contains("down_proj"), "{both}");
    assert!(both.contains("k_proj") && both.contains("an adapter holds one kind"), "{both}");

    // A vector on the product alone, which PEFT has no word for.
    let key = "encoder.layer.0.attention.self.key";
    let stretched = |form: Form| Form::row_scaled(form, ones(24)).unwrap();
    let alone = with(&bert, &format!("{key}.weight"), &stretched);
    let message = refused(&alone, &bert);
    assert!(message.contains(&format!("{key}.bias is not stretched")), "{message}");
    let rows = Address::root(format!("{key}.weight").into()).part("rows");
    let beside = |form: Form| Form::Scaled(Scaled::rows(form, Form::shared(rows.clone(), vec![24])).unwrap());
    let whole = with(&alone, &format!("{key}.bias"), &beside);
    assert!(whole.save_adapter(&bert, None, &dir.path().join("whole")).is_ok());
}
