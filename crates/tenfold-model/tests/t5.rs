//! T5 against transformers: hidden states, logits, losses with gradients and greedy answers of two tiny random models, one of
//! version 1.0 and one of version 1.1; its files; what it refuses.
#![allow(clippy::unwrap_used)] // helpers of tests fail like the tests themselves

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_format::config;
use tenfold_model::{Batch, Choice, Ended, Error, GenerateOptions, Model, Past};
use tenfold_tensor::{Array, Precision};
use tenfold_weight::{Form, LeafId, Path, Scope, Tree};

/// f32 rounding through two and three layers, for numbers up to 1 and relative to larger ones.
const TOLERANCE: f64 = 1e-5;

const MODELS: [&str; 2] = ["tiny_t5", "tiny_t5_gated"];
const BIASES: [&str; 2] = [
    "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
];

fn golden(name: &str) -> PathBuf {
    FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn load(name: &str) -> Model {
    Model::load(&golden(name)).unwrap()
}

fn expected(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(golden(name).join("expected.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|id| id as u32).collect()
}

fn lists(value: &Value) -> Vec<Vec<u32>> {
    value.as_array().unwrap().iter().map(ids).collect()
}

/// All pairs of a golden file in one batch.
fn batch(cases: &[Value]) -> Batch {
    let all = |key: &str| cases.iter().map(|case| ids(&case[key])).collect::<Vec<_>>();
    Batch::from_sequences(&all("ids")).answering(Batch::from_sequences(&all("source")))
}

#[track_caller]
fn assert_close(what: &str, got: &[f32], want: &[f64], top: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= TOLERANCE * want.abs().max(top), "{what} at {at}: {got} against {want}");
    }
}

fn logits(model: &Model, batch: &Batch) -> Array {
    model.network.logits(&Scope::evaluate(&model.tree), batch).unwrap().value().clone()
}

fn all_leaves(tree: &Tree) -> BTreeSet<LeafId> {
    tree.leaves().into_iter().map(|leaf| leaf.id).collect()
}

#[test]
fn packed_pairs_have_the_hidden_states_and_logits_of_transformers() {
    for name in MODELS {
        let (model, expected) = (load(name), expected(name));
        let cases = expected["cases"].as_array().unwrap();
        let batch = batch(cases);
        let scope = Scope::evaluate(&model.tree);
        let hidden = model.network.hidden(&scope, &batch).unwrap();
        let logits = model.network.next_token(&scope, &hidden).unwrap();
        for (case, range) in cases.iter().zip(batch.offsets.ranges()) {
            for (what, packed) in [("hidden", &hidden), ("logits", &logits)] {
                let width = packed.value().width();
                let own = &packed.value().data()[range.start * width..range.end * width];
                assert_close(&format!("{what} of {name}"), own, &numbers(&case[what]), 1.0);
            }
        }
    }
}

#[test]
fn a_loss_and_its_gradients_are_those_of_pytorch() {
    for name in MODELS {
        let (model, expected) = (load(name), expected(name));
        let trains = all_leaves(&model.tree);
        let (sources, answers) = (lists(&expected["sources"]), lists(&expected["answers"]));
        for again in [false, true] {
            let scope = Scope::train(&model.tree, &trains).checkpointing(again);
            let loss = model.network.target_loss(&scope, &sources, &answers).unwrap();
            assert_close("loss", loss.value().data(), &[expected["loss"].as_f64().unwrap()], 1.0);
            let gradients = scope.backward(&loss).unwrap();
            assert_eq!(gradients.len(), trains.len(), "{name}: every leaf takes part");
            for (path, want) in expected["gradients"].as_object().unwrap() {
                let (id, _) = gradients.iter().find(|(id, _)| id.path.as_str() == path).unwrap();
                let want = numbers(want);
                let top = want.iter().fold(0.0f64, |top, x| top.max(x.abs()));
                assert_close(&format!("{name}, gradient of {path}"), gradients[id].data(), &want, 2.0 * top);
            }
        }
    }
}

/// Differences of fourth order along one direction in each of several leaves.
#[test]
fn gradients_agree_with_finite_differences() {
    const STEP: f32 = 1.0 / 64.0;
    for name in MODELS {
        let (model, expected) = (load(name), expected(name));
        let (sources, answers) = (lists(&expected["sources"]), lists(&expected["answers"]));
        let loss = |scope: &Scope<'_>| model.network.target_loss(scope, &sources, &answers).unwrap();
        let trains = all_leaves(&model.tree);
        let scope = Scope::train(&model.tree, &trains);
        let value = loss(&scope);
        let gradients = scope.backward(&value).unwrap();
        let others = [
            "shared.weight",
            "decoder.block.2.layer.1.EncDecAttention.v.weight",
            "decoder.final_layer_norm.weight",
        ];
        let more = if name == "tiny_t5" {
            "encoder.block.1.layer.1.DenseReluDense.wi.weight"
        } else {
            "lm_head.weight"
        };
        for path in BIASES.into_iter().chain(others).chain([more]) {
            let path = Path::new(path);
            let stored = model.tree.get(&path).unwrap().as_array().unwrap();
            let direction = tenfold_testkit::random::array(path.as_str(), stored.shape());
            let norm = direction.data().iter().map(|d| d * d).sum::<f32>().sqrt();
            let at = |factor: f32| {
                let mut moved = stored.clone();
                let pairs = moved.data_mut().iter_mut().zip(direction.data());
                pairs.for_each(|(value, d)| *value += factor * STEP * d / norm);
                let mut tree = model.tree.clone();
                tree.insert(path.clone(), Form::dense(moved));
                f64::from(loss(&Scope::evaluate(&tree)).value().item())
            };
            let difference = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * f64::from(STEP));
            let (_, gradient) = gradients.iter().find(|(id, _)| id.path == path).unwrap();
            let pairs = gradient.data().iter().zip(direction.data());
            let slope = pairs.map(|(g, d)| f64::from(g * d / norm)).sum::<f64>();
            let size = gradient.data().iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt();
            let error = (slope - difference).abs();
            assert!(
                error <= 5e-3 * size + 5e-5,
                "{name}, {path}: {slope} by the tape, {difference} by differences"
            );
        }
    }
}

#[test]
fn greedy_answers_are_those_of_transformers() {
    for name in MODELS {
        let (model, expected) = (load(name), expected(name));
        for case in expected["cases"].as_array().unwrap() {
            let options =
                GenerateOptions { choice: Choice::Greedy, max_tokens: 14, precision: Precision::F32 };
            let mut go_on = |_| ControlFlow::Continue(());
            let written = model.generate(&ids(&case["source"]), &options, &mut go_on).unwrap();
            let mut want = ids(&case["greedy"]);
            let ended = want.last() == Some(&3);
            want.truncate(want.len() - usize::from(ended));
            assert_eq!(written.tokens, want, "{name}");
            assert_eq!(written.ended, if ended { Ended::Token } else { Ended::Length }, "{name}");
        }
    }
}

/// Where a process that was started for it writes what it computed.
const BITS: &str = "TENFOLD_T5_BITS";

/// The number of threads belongs to a process, so that every number gets one.
#[test]
fn threads_change_no_bit() {
    if let Some(file) = std::env::var_os(BITS) {
        return fs::write(file, step_bits()).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let with = |threads: &str| {
        let file = dir.path().join(threads);
        let mut own = Command::new(std::env::current_exe().unwrap());
        let own = own.args(["--exact", "threads_change_no_bit"]);
        let done = own.env(BITS, &file).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        fs::read(file).unwrap()
    };
    let one = with("1");
    assert!(!one.is_empty() && one == with("2") && one == with("3"));
}

/// Loss and gradients of a step of both models.
fn step_bits() -> Vec<u8> {
    let mut bits = Vec::new();
    for name in MODELS {
        let (model, expected) = (load(name), expected(name));
        let (sources, answers) = (lists(&expected["sources"]), lists(&expected["answers"]));
        // Many of them, so that there is something to share out.
        let many = |lists: &[Vec<u32>]| lists.iter().cycle().take(120).cloned().collect::<Vec<_>>();
        let trains = all_leaves(&model.tree);
        let scope = Scope::train(&model.tree, &trains);
        let loss = model.network.target_loss(&scope, &many(&sources), &many(&answers)).unwrap();
        bits.extend(loss.value().item().to_le_bytes());
        let gradients = scope.backward(&loss).unwrap();
        bits.extend(gradients.values().flat_map(|one| one.data()).flat_map(|x| x.to_le_bytes()));
    }
    bits
}

/// A text alone is its own source.
#[test]
fn a_batch_without_a_source_is_read_by_both_halves() {
    let model = load("tiny_t5");
    let texts = Batch::from_sequences(&[vec![5, 6, 9, 3], vec![8]]);
    assert_eq!(logits(&model, &texts), logits(&model, &texts.clone().answering(texts.clone())));
}

type Stored = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A copy of a golden model with other tensors and another config.
fn changed(
    name: &str,
    change: impl FnOnce(&mut Stored, &mut Value),
) -> (tempfile::TempDir, Result<Model, Error>) {
    let dir = tempfile::tempdir().unwrap();
    let file = Checkpoint::open(&golden(name)).unwrap();
    let one = |info: &checkpoint::TensorInfo| (info.shape.clone(), file.read_f32(&info.name).unwrap());
    let mut stored: Stored = file.tensors().map(|info| (info.name.clone(), one(info))).collect();
    let text = fs::read_to_string(golden(name).join(config::FILE)).unwrap();
    let mut settings: Value = serde_json::from_str(&text).unwrap();
    change(&mut stored, &mut settings);
    fs::write(dir.path().join(config::FILE), settings.to_string()).unwrap();
    fs::copy(golden(name).join("tokenizer.json"), dir.path().join("tokenizer.json")).unwrap();
    let list: Vec<_> = stored
        .iter()
        .map(|(name, (shape, values))| (name.clone(), shape.clone(), values.as_slice()))
        .collect();
    checkpoint::write(&dir.path().join(checkpoint::FILE), &list, &BTreeMap::new()).unwrap();
    let model = Model::load(dir.path());
    (dir, model)
}

#[test]
fn tensors_that_repeat_others_or_that_nothing_reads_are_passed_over() {
    let (_dir, model) = changed("tiny_t5", |stored, _| {
        let table = stored["shared.weight"].clone();
        for name in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"] {
            stored.insert(name.to_owned(), table.clone());
        }
        let unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
        stored.insert(unread.to_owned(), stored[BIASES[1]].clone());
    });
    let (model, plain) = (model.unwrap(), load("tiny_t5"));
    assert_eq!(model.tree.parameters(), plain.tree.parameters());
    assert!(model.tree.get(&Path::new("lm_head.weight")).unwrap().owner().is_some());
    let batch = batch(expected("tiny_t5")["cases"].as_array().unwrap());
    assert_eq!(logits(&model, &batch), logits(&plain, &batch));
}

/// Later releases of transformers write that every output is tied, and store one that is not.
#[test]
fn an_output_of_its_own_counts_more_than_what_the_config_says() {
    let (_dir, model) = changed("tiny_t5_gated", |_, settings| {
        settings["tie_word_embeddings"] = true.into();
        settings["scale_decoder_outputs"] = false.into();
    });
    let batch = batch(expected("tiny_t5_gated")["cases"].as_array().unwrap());
    assert_eq!(logits(&model.unwrap(), &batch), logits(&load("tiny_t5_gated"), &batch));
}

/// Other programs scale what is tied only, so an output that no longer is takes the scale along.
#[test]
fn an_untied_output_is_written_with_its_scale() {
    let mut model = load("tiny_t5");
    let (output, batch) =
        (Path::new("lm_head.weight"), batch(expected("tiny_t5")["cases"].as_array().unwrap()));
    let own = tenfold_testkit::random::array("output", &[40, 24]);
    model.tree.insert(output.clone(), Form::dense(own.clone()));
    let before = logits(&model, &batch);
    let dir = tempfile::tempdir().unwrap();
    for (place, plain) in [("plain", true), ("own", false)] {
        let place = dir.path().join(place);
        match plain {
            true => model.save_dense(&place).unwrap(),
            false => model.save(&place, None).unwrap(),
        };
        let again = Model::load(&place).unwrap();
        let want: Vec<f64> = before.data().iter().map(|x| f64::from(*x)).collect();
        assert_close("logits of an untied output", logits(&again, &batch).data(), &want, 1.0);
        let stored = again.tree.get(&output).unwrap().as_array().unwrap().clone();
        assert_eq!(stored == own, !plain);
    }
    let text = fs::read_to_string(dir.path().join("plain").join(config::FILE)).unwrap();
    let settings: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&settings["tie_word_embeddings"], &settings["scale_decoder_outputs"]),
        (&false.into(), &false.into())
    );
}

#[test]
fn checkpoints_that_do_not_fit_are_refused_by_name() {
    let fault = |change: fn(&mut Stored, &mut Value)| changed("tiny_t5", change).1.err().unwrap();
    let missing = fault(|stored, _| drop(stored.remove(BIASES[0])));
    assert!(matches!(&missing, Error::MissingWeights { paths, .. } if paths[..] == [BIASES[0]]), "{missing}");
    let missing = fault(|stored, _| drop(stored.remove("decoder.block.2.layer.1.EncDecAttention.o.weight")));
    assert!(
        missing.to_string().contains("lacks decoder.block.2.layer.1.EncDecAttention.o.weight"),
        "{missing}"
    );
    let untied = fault(|_, settings| settings["tie_word_embeddings"] = false.into());
    assert!(untied.to_string().contains("lacks lm_head.weight"), "{untied}");
    let extra = fault(|_, settings| settings["num_decoder_layers"] = 2.into());
    assert!(matches!(extra, Error::ExtraWeights { .. }), "{extra}");
    let shape = fault(|_, settings| settings["relative_attention_num_buckets"] = 10.into());
    assert!(matches!(&shape, Error::WeightShape { path, .. } if BIASES.contains(&&path[..])), "{shape}");
    let gate = fault(|_, settings| settings["feed_forward_proj"] = "gated-gelu".into());
    assert!(gate.to_string().contains("DenseReluDense.wi_0.weight"), "{gate}");
    let nan = fault(|stored, _| stored.get_mut("shared.weight").unwrap().1[7] = f32::NAN);
    assert!(matches!(nan, Error::NonFinite { index: 7, .. }), "{nan}");
}

#[test]
fn what_takes_another_architecture_is_refused() {
    let model = load("tiny_t5");
    let scope = Scope::evaluate(&model.tree);
    let text = Batch::from_sequences(&[vec![0, 5]]);
    let alone = model.network.go_on(&scope, &text, &mut Past::new(1, 4)).err().unwrap();
    assert_eq!(alone.to_string(), "a t5 model answers to a source text, and there is none");
    let full = text.clone().answering(text);
    let full = model.network.go_on(&scope, &full, &mut Past::new(1, 1)).err().unwrap();
    assert!(matches!(full, Error::TooLong { got: 2, most: 1 }), "{full}");
    let head = model.with_head(2, 1).err().unwrap().to_string();
    assert!(head.contains("t5 has a decoder"), "{head}");
    let pair = [vec![5u32, 3]];
    let gpt2 = load("tiny_gpt2");
    let none =
        gpt2.network.target_loss(&Scope::evaluate(&gpt2.tree), &pair, &pair).err().unwrap().to_string();
    assert!(none.starts_with("a gpt2 model has no encoder"), "{none}");
    let empty: [Vec<u32>; 1] = [Vec::new()];
    assert!(model.network.target_loss(&scope, &pair, &empty).is_err(), "nothing to learn");
    assert!(model.network.target_loss(&scope, &[vec![40u32]], &pair).is_err(), "an id outside the table");
}

#[test]
fn texts_end_as_the_tokenizer_says() {
    let model = load("tiny_t5");
    let prompt = model.prompt("the cab").unwrap();
    assert_eq!(prompt.last(), Some(&3));
    assert_eq!(model.tokenizer.decode(&prompt).unwrap(), "the cab");
    assert_eq!(model.tokenize("the cab in on").unwrap().last(), Some(&3));
    // A long source is read whole, though texts are cut to 512 tokens elsewhere.
    let long = Batch::from_sequences(&[vec![0, 9]]).answering(Batch::from_sequences(&[vec![7; 700]]));
    assert!(logits(&model, &long).data().iter().all(|x| x.is_finite()));
}
