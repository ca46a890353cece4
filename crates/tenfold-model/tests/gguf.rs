//! GGUF files as sources of models and as what models are written to.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests are tests")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tenfold_format::gguf::{GgufFile, Value};
use tenfold_model::{Batch, Choice, Error, GenerateOptions, Model, Stored};
use tenfold_tensor::{AffineRow, Array, Blocks, Codes, Half, Precision, Scheme};
use tenfold_weight::{Form, Scope, dense_values};

/// f32 rounding through two layers.
const TOLERANCE: f64 = 2e-5;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn foreign() -> Model {
    Model::load(&golden("gguf_llama/model.gguf")).unwrap()
}

fn logits(model: &Model, ids: &[u32]) -> Vec<f32> {
    let batch = Batch::from_sequences(&[ids]);
    let scope = Scope::evaluate(&model.tree);
    let hidden = model.network.hidden(&scope, &batch).unwrap();
    model.network.next_token(&scope, &hidden).unwrap().value().data().to_vec()
}

/// All weights, multiplied out.
fn values(model: &Model) -> Vec<(String, Array)> {
    let one = |path: &tenfold_weight::Path| (path.to_string(), dense_values(&model.tree, path).unwrap());
    model.tree.iter().map(|(path, _)| one(path)).collect()
}

#[test]
fn logits_of_a_foreign_file_are_those_of_its_author() {
    let model = foreign();
    let text = std::fs::read_to_string(golden("gguf_llama/expected.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let ids: Vec<u32> =
            case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let got = logits(&model, &ids);
        let expected = case["logits"].as_array().unwrap();
        assert_eq!(got.len(), expected.len());
        for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
            let distance = (f64::from(*got) - expected.as_f64().unwrap()).abs();
            assert!(distance < TOLERANCE, "{at}: {got} against {expected}");
        }
    }
    assert_eq!(model.tokenizer.encode("the thin", 16).unwrap(), [1, 36, 34, 31]);
}

/// Single precision loses nothing; what a scheme loses follows from its steps.
#[test]
fn a_written_file_holds_the_model() {
    let (model, dir) = (foreign(), tempfile::tempdir().unwrap());
    let path = dir.path().join("a.gguf");
    for stored in Stored::all() {
        let saved = model.save_gguf(&path, stored).unwrap();
        assert_eq!(saved.bytes, std::fs::metadata(&path).unwrap().len());
        assert!(saved.kept.is_empty());
        let again = Model::load(&path).unwrap();
        assert_eq!(again.network.config(), model.network.config());
        let share = match stored {
            Stored::F32 => 0.0,
            Stored::F16 => 1e-3,
            Stored::Blocks(Blocks::Q8_0) => 6e-3,
            // With four bits a step is an eighth of the largest of 32, which is 2.2 deviations: 0.08 of a deviation by
            // rounding, and more where the other side of the grid, a step shorter, is reached.
            Stored::Blocks(_) => 0.12,
        };
        for ((name, before), (_, after)) in values(&model).iter().zip(values(&again)) {
            let norm =
                |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
            let lost = norm(&mut before.data().iter().zip(after.data()).map(|(a, b)| a - b));
            let all = norm(&mut before.data().iter().copied());
            let share = if before.shape().len() == 1 { 0.0 } else { share };
            assert!(lost <= share * share * all, "{name} in {}: {}", stored.name(), (lost / all).sqrt());
        }
        for text in ["the thin king", "another", "x  y"] {
            assert_eq!(again.tokenizer.encode(text, 24).unwrap(), model.tokenizer.encode(text, 24).unwrap());
        }
        // A second writing changes nothing: decoded blocks are where their own nearest blocks are.
        if matches!(stored, Stored::F32 | Stored::F16 | Stored::Blocks(Blocks::Q8_0)) {
            let second = dir.path().join("b").join("a.gguf");
            std::fs::create_dir_all(second.parent().unwrap()).unwrap();
            again.save_gguf(&second, stored).unwrap();
            assert!(std::fs::read(&path).unwrap() == std::fs::read(&second).unwrap(), "{}", stored.name());
        }
    }
}

/// Rows that are no whole blocks stay in half precision, and are named.
#[test]
fn rows_that_do_not_divide_are_kept_and_named() {
    let Some(model) = shared("stories260k") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf");
    let saved = model.save_gguf(&path, Stored::Blocks(Blocks::Q8_0)).unwrap();
    let kept: Vec<String> = saved.kept.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(kept, (0..5).map(|n| format!("layers.{n}.mlp.down_proj.weight")).collect::<Vec<_>>());
    assert!(saved.kept.iter().all(|(_, width)| *width == 172));
    let file = GgufFile::open(&path).unwrap();
    let kind = |name: &str| file.tensor(name).unwrap().kind.name;
    assert_eq!(kind("blk.0.ffn_down.weight"), "F16");
    assert_eq!(kind("blk.0.ffn_up.weight"), "Q8_0");
    assert_eq!(kind("blk.0.ffn_norm.weight"), "F32");
    // The output is the table of tokens, and stored once.
    assert!(file.tensor("output.weight").is_err());
    assert_eq!(file.header().get("general.file_type"), Some(&Value::U32(7)));
}

/// A trained model tells its story from every file; tokens of texts are the same.
#[test]
fn a_story_is_told_from_a_file() {
    for name in ["stories260k", "babyllama105"] {
        let Some(model) = shared(name) else { return };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.gguf");
        model.save_gguf(&path, Stored::F16).unwrap();
        let again = Model::load(&path).unwrap();
        for text in
            ["Once upon a time", "Lily said: \"Hi!\"\n\nThe end.", "", " two  spaces ", "größer als 3 €"]
        {
            assert_eq!(again.tokenizer.encode(text, 64).unwrap(), model.tokenizer.encode(text, 64).unwrap());
        }
        let options = GenerateOptions { choice: Choice::Greedy, max_tokens: 40, precision: Precision::F32 };
        let story = |model: &Model| {
            let ids = model.prompt("Once upon a time").unwrap();
            model.generate(&ids, &options, &mut |_| ControlFlow::Continue(())).unwrap().tokens
        };
        assert_eq!(story(&again), story(&model), "{name}");
    }
}

#[test]
fn other_models_are_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf");
    let gpt2 = Model::load(&golden("tiny_gpt2")).unwrap();
    assert!(matches!(gpt2.save_gguf(&path, Stored::F16), Err(Error::NoGguf { architecture: "gpt2", .. })));
    // A vocabulary of word pieces, of which GGUF has no kind for a decoder.
    let llama = Model::load(&golden("tiny_llama")).unwrap();
    assert!(matches!(llama.save_gguf(&path, Stored::F16), Err(Error::Format(_))));
    let mut large = foreign();
    let table = tenfold_weight::Path::new("embed_tokens.weight");
    let shape = large.tree.get(&table).unwrap().shape();
    large.tree.insert(table, Form::dense(Array::full(&shape, 1e6)));
    assert!(matches!(large.save_gguf(&path, Stored::F16), Err(Error::Unstorable { .. })));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

fn shared(name: &str) -> Option<Model> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models").join(name);
    if !dir.is_dir() {
        println!("not run on a real model: there is no shared/models/{name} beside the repository");
        return None;
    }
    Some(Model::load(&dir).unwrap())
}

/// Codes go into a file as they are, and come out as codes; what no blocks hold is not rounded a second time.
#[test]
fn codes_stay_codes() {
    let Some(mut model) = shared("stories3m_q80") else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.gguf");
    let weight = tenfold_weight::Path::new("layers.1.self_attn.q_proj.weight");
    let dense = model.tree.get(&weight).unwrap().as_array().unwrap().clone();
    let scheme = tenfold_tensor::Affine::new(4, 32, true).unwrap();
    let pack = |scheme: tenfold_tensor::Affine| {
        let row = |row: &[f32]| {
            let largest = |group: &[f32]| {
                group.iter().fold(0.0f32, |top, x| if x.abs() > top.abs() { *x } else { top })
            };
            let scales: Vec<f32> =
                row.chunks(32).map(|group| Half::nearest(largest(group) / -8.0).value()).collect();
            let code = |(at, x): (usize, &f32)| (x / scales[at / 32] + 8.5).clamp(0.0, 15.0) as u8;
            let parts = AffineRow {
                codes: row.iter().enumerate().map(code).collect(),
                zeros: vec![8; scales.len()],
                scales: scales.clone(),
            };
            let mut bytes = vec![0; scheme.row_bytes(row.len())];
            scheme.pack(&parts, &mut bytes);
            bytes
        };
        let bytes: Vec<u8> = dense.data().chunks(dense.width()).flat_map(row).collect();
        Codes::new(Scheme::Affine(scheme), dense.height(), dense.width(), bytes).unwrap()
    };
    let codes = pack(scheme);
    model.tree.insert(weight.clone(), Form::quant(codes.clone()));
    model.save_gguf(&path, Stored::Blocks(Blocks::Q8_0)).unwrap();
    let file = GgufFile::open(&path).unwrap();
    assert_eq!(file.tensor("blk.1.attn_q.weight").unwrap().kind.name, "Q4_0");
    let again = Model::load(&path).unwrap();
    let got = again.tree.get(&weight).unwrap().as_codes().unwrap();
    assert_eq!(Ok(got), codes.as_blocks().as_ref());
    assert_eq!(got.values(), codes.values());
    assert!(again.tree.get(&tenfold_weight::Path::new("embed_tokens.weight")).unwrap().as_codes().is_some());

    // What is kept in half precision stays so beside blocks, bit for bit.
    let dense = codes.values();
    let halves = Codes::halves(dense.data(), dense.height(), dense.width()).unwrap();
    model.tree.insert(weight.clone(), Form::quant(halves.clone()));
    model.save_gguf(&path, Stored::Blocks(Blocks::Q8_0)).unwrap();
    assert_eq!(GgufFile::open(&path).unwrap().tensor("blk.1.attn_q.weight").unwrap().kind.name, "F16");
    let again = Model::load(&path).unwrap();
    assert_eq!(again.tree.get(&weight).unwrap().as_array().unwrap(), &halves.values());

    let wider = tenfold_tensor::Affine::new(7, 32, false).unwrap();
    model.tree.insert(weight.clone(), Form::quant(pack(wider)));
    let fault = model.save_gguf(&path, Stored::Blocks(Blocks::Q8_0)).unwrap_err();
    assert!(matches!(&fault, Error::Requantized { path, to: "q8_0", .. } if *path == weight), "{fault}");
    model.save_gguf(&path, Stored::F16).unwrap();
    let loaded = Model::load(&path).unwrap();
    let values = loaded.tree.get(&weight).unwrap().as_array().unwrap();
    let largest =
        values.data().iter().zip(codes.values().data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest < 2e-3, "{largest}");
}
