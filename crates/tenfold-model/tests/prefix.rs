//! Prefixes: those of PEFT say here what they say there, and everything that runs a model runs one with a prefix.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests fail like the tests themselves

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use tenfold_format::adapter::prefix::PROMPT;
use tenfold_format::adapter::{CONFIG, TENSORS};
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_model::{Batch, Error, Model, Past};
use tenfold_tensor::op;
use tenfold_weight::{Path, Scope};

/// f32 rounding through two layers.
const TOLERANCE: f64 = 2e-5;

/// Name of the adapter, name of its model.
const CASES: [(&str, &str); 4] =
    [("task", "tiny_bert"), ("gpt2", "tiny_gpt2"), ("llama", "tiny_llama"), ("projected", "tiny_llama")];

fn golden(name: &str) -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn adapted(name: &str, base: &str) -> (Model, Model) {
    let base = Model::load(&golden(base)).unwrap();
    (base.with_adapter(&golden("peft_prefix").join(name)).unwrap(), base)
}

/// The head's outputs, or logits of the next token.
fn outputs(model: &Model, ids: &[Vec<u32>]) -> Vec<f32> {
    let (scope, batch) = (Scope::evaluate(&model.tree), Batch::from_sequences(ids));
    let found = match model.head {
        Some(_) => model.logits(&scope, &batch),
        None => model.network.logits(&scope, &batch),
    };
    found.unwrap().value().data().to_vec()
}

fn expected(name: &str) -> (Vec<Vec<u32>>, Vec<f64>) {
    let text = fs::read_to_string(golden("peft_prefix").join(name).join("expected.json")).unwrap();
    let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |case: &serde_json::Value, key: &str| -> Vec<f64> {
        case[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let ids = |case| list(case, "ids").into_iter().map(|id| id as u32).collect();
    let cases = cases.as_array().unwrap();
    (cases.iter().map(ids).collect(), cases.iter().flat_map(|case| list(case, "values")).collect())
}

#[test]
fn prefixes_of_peft_say_what_they_say_there() {
    for (name, base) in CASES {
        let (model, _) = adapted(name, base);
        let (ids, want) = expected(name);
        let got = outputs(&model, &ids);
        assert_eq!(got.len(), want.len(), "{name}");
        for (at, (got, want)) in got.iter().zip(&want).enumerate() {
            assert!(
                (f64::from(*got) - want).abs() < TOLERANCE * want.abs().max(1.0),
                "{name} at {at}: {got}, {want}"
            );
        }
    }
}

#[test]
fn what_is_written_for_peft_has_the_same_numbers_and_settings() {
    for (name, base) in CASES {
        let (model, base) = adapted(name, base);
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("adapter");
        model.save_adapter(&base, Some("base".to_owned()), &out).unwrap();
        let (ours, theirs) = (out.join(TENSORS), golden("peft_prefix").join(name).join(TENSORS));
        let read = |path: &FilePath| Checkpoint::open(path).unwrap().read_f32(PROMPT).unwrap();
        assert_eq!(read(&ours), read(&theirs), "{name}");
        let config = |dir: &FilePath| -> serde_json::Value {
            serde_json::from_str(&fs::read_to_string(dir.join(CONFIG)).unwrap()).unwrap()
        };
        let (ours, theirs) = (config(&out), config(&golden("peft_prefix").join(name)));
        for key in
            ["peft_type", "task_type", "num_virtual_tokens", "num_layers", "token_dim", "num_attention_heads"]
        {
            assert_eq!(ours[key], theirs[key], "{name}: {key}");
        }
        let again = base.with_adapter(&out).unwrap();
        let (ids, _) = expected(name);
        assert_eq!(outputs(&model, &ids), outputs(&again, &ids), "{name}");
    }
}

/// One token at a time, behind a prefix, the last of many as all at once; also for a chosen sequence of a batch.
#[test]
fn kept_pasts_hold_the_prefix() {
    for (name, base) in [("gpt2", "tiny_gpt2"), ("llama", "tiny_llama")] {
        let (model, _) = adapted(name, base);
        let ids: Vec<Vec<u32>> = vec![vec![2, 9, 4, 17], vec![2, 11, 30, 6]];
        let whole = outputs(&model, &ids);
        let scope = Scope::evaluate(&model.tree);
        let mut past = Past::new(2, 6);
        let row = whole.len() / 8;
        for step in 0..4 {
            let next: Vec<Vec<u32>> = ids.iter().map(|ids| vec![ids[step]]).collect();
            let hidden = model.network.go_on(&scope, &Batch::from_sequences(&next), &mut past).unwrap();
            let logits = model.network.next_token(&scope, &hidden).unwrap();
            for (b, got) in logits.value().data().chunks_exact(row).enumerate() {
                let want = &whole[(b * 4 + step) * row..][..row];
                let near = got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5 * b.abs().max(1.0));
                assert!(near, "{name}, sequence {b}, step {step}");
            }
            // The two change places.
            if step == 1 {
                past = past.selected(&[1, 0]).selected(&[1, 0]);
            }
        }
    }
}

#[test]
fn a_prefix_takes_positions() {
    let (model, base) = adapted("gpt2", "tiny_gpt2");
    assert_eq!(model.network.positions() + 4, base.network.positions());
    let most = model.network.positions();
    let run = |tokens: usize| {
        let batch = Batch::from_sequences(&[vec![5; tokens]]);
        model.network.hidden(&Scope::evaluate(&model.tree), &batch).err()
    };
    assert!(run(most).is_none());
    assert!(
        matches!(run(most + 1), Some(Error::TooLong { got, most: known }) if got == most + 1 && known == most)
    );
}

#[test]
fn layers_computed_again_give_the_same_gradients() {
    for (name, base) in [("task", "tiny_bert"), ("gpt2", "tiny_gpt2"), ("llama", "tiny_llama")] {
        let (model, _) = adapted(name, base);
        let trains: BTreeSet<_> = model
            .tree
            .leaves()
            .into_iter()
            .map(|leaf| leaf.id)
            .filter(|id| id.path.as_str().contains("prefix"))
            .collect();
        assert_eq!(trains.len(), 4, "{name}");
        let gradients = |again: bool| {
            let scope = Scope::train(&model.tree, &trains).checkpointing(again);
            let batch = Batch::from_sequences(&[vec![2, 5, 6], vec![2, 7, 8, 9, 3]]);
            let hidden = model.network.hidden(&scope, &batch).unwrap();
            let loss = op::sum(&op::mul(&hidden, &hidden));
            scope.backward(&loss).unwrap()
        };
        let (kept, again) = (gradients(false), gradients(true));
        assert_eq!(kept.len(), 4, "{name}");
        for (id, gradient) in kept {
            let top = gradient.data().iter().fold(0.0f32, |top, x| top.max(x.abs()));
            for (a, b) in gradient.data().iter().zip(again[&id].data()) {
                assert!((a - b).abs() <= 1e-5 * top, "{name}, {id}: {a} and {b}");
            }
        }
    }
}

#[test]
fn files_keep_a_prefix_and_plain_checkpoints_refuse_it() {
    let (model, _) = adapted("llama", "tiny_llama");
    let dir = tempfile::tempdir().unwrap();
    let error = model.save_dense(&dir.path().join("dense")).unwrap_err();
    assert!(matches!(error, Error::Modules { methods: "prefix", .. }), "{error}");
    assert!(error.to_string().contains("--to peft"), "{error}");
    model.save(&dir.path().join("saved"), None).unwrap();
    let again = Model::load(&dir.path().join("saved")).unwrap();
    let (ids, _) = expected("llama");
    assert_eq!(outputs(&model, &ids), outputs(&again, &ids));
    assert_eq!(again.network.positions(), model.network.positions());
}

#[test]
fn prefixes_of_other_models_and_damaged_ones_are_refused() {
    let message = |name: &str, base: &str| {
        let base = Model::load(&golden(base)).unwrap();
        base.with_adapter(&golden("peft_prefix").join(name)).err().unwrap().to_string()
    };
    assert!(message("gpt2", "tiny_llama").contains("is it for another model"));
    let (model, base) = adapted("gpt2", "tiny_gpt2");
    let twice = model.with_adapter(&golden("peft_prefix/gpt2")).err().unwrap().to_string();
    assert!(twice.contains("h.0.attn.prefix holds a prefix already"), "{twice}");

    let dir = tempfile::tempdir().unwrap();
    fs::copy(golden("peft_prefix/gpt2").join(CONFIG), dir.path().join(CONFIG)).unwrap();
    let write = |name: &str| {
        let values = vec![0.0f32; 4 * 96];
        let list = [(name.to_owned(), vec![4, 96], values.as_slice())];
        checkpoint::write(&dir.path().join(TENSORS), &list, &Default::default()).unwrap();
        base.with_adapter(dir.path()).err().map(|error| error.to_string())
    };
    assert_eq!(write(PROMPT), None);
    assert!(write("other").unwrap().contains("tensor other"));

    // A changed weight, a layer without, and a whole file of nothing but the base.
    let out = dir.path().join("out");
    let mut changed = model.with_tree(model.tree.clone());
    let wpe = base.tree.get(&Path::new("wpe.weight")).unwrap().as_array().unwrap();
    let mut values = wpe.clone();
    values.data_mut()[0] += 1.0;
    changed.tree.insert(Path::new("wpe.weight"), tenfold_weight::Form::dense(values));
    let fault = changed.save_adapter(&base, None, &out).unwrap_err().to_string();
    assert!(fault.contains("wpe.weight differs from the base"), "{fault}");
    let mut fewer = model.with_tree(model.tree.clone());
    for name in ["keys", "values"] {
        fewer.tree.remove(&Path::new(format!("h.1.attn.prefix.{name}.weight")));
    }
    let fault = fewer.save_adapter(&base, None, &out).unwrap_err().to_string();
    assert!(fault.contains("h.1.attn.prefix has no prefix of as many rows"), "{fault}");
}

#[test]
fn prefixes_for_another_model_or_task_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let adapter = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let (from, to) = (golden("peft_prefix").join("llama"), dir.path().join(name));
        fs::create_dir(&to).unwrap();
        fs::copy(from.join(TENSORS), to.join(TENSORS)).unwrap();
        let mut config: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(from.join(CONFIG)).unwrap()).unwrap();
        change(&mut config);
        fs::write(to.join(CONFIG), config.to_string()).unwrap();
        to
    };
    let mut base = Model::load(&golden("tiny_llama")).unwrap();
    base.origin = "hf:owner/this@main".to_owned();
    let other = adapter("other", &|config| config["base_model_name_or_path"] = "owner/other".into());
    let same = adapter("same", &|config| config["base_model_name_or_path"] = "owner/this".into());
    let task = adapter("task", &|config| {
        config["base_model_name_or_path"] = serde_json::Value::Null;
        config["task_type"] = "SEQ_CLS".into();
    });
    let said =
        |dir: &FilePath| base.with_adapter(dir).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(said(&other).contains("belongs to owner/other"), "{}", said(&other));
    assert_eq!(said(&same), "");
    assert!(said(&task).contains("SEQ_CLS"), "{}", said(&task));
}
