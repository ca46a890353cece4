//! Estimates of memory against what phases really hold. A binary of its own: the counters of the pool are those of the
//! whole process.
#![allow(clippy::unwrap_used)] // a test that cannot go on should say where

use std::fs;
use std::path::{Path, PathBuf};
use tenfold_model::Model;
use tenfold_recipe::bench::{BenchOptions, measure_recipe};
use tenfold_recipe::{Plan, Recipe, memory};
use tenfold_tensor::{Precision, pool};
use tenfold_testkit::tiny::{TinyBert, sentences};

/// Estimated and measured bytes of the first phase of a recipe on a model.
fn compare(model_dir: &Path, text: &str) -> (usize, usize) {
    let dir = tempfile::tempdir().unwrap();
    let train = dir.path().join("train.txt");
    // All of one length: what the estimate counts with.
    let word = |text: String| text.split_whitespace().next().unwrap_or("a").to_owned();
    let lines: Vec<String> =
        sentences("memory", 400).into_iter().map(|text| vec![word(text); 60].join(" ")).collect();
    fs::write(&train, lines.join("\n")).unwrap();
    let head = format!(
        "name = \"m\"\n[model]\nfrom = \"path:{}\"\n[calibration]\ntext = \"path:{}\"\ntokens = 200\n",
        model_dir.display(),
        train.display()
    );
    let text = format!("{head}{}", text.replace("TRAIN", &train.display().to_string()));
    let recipe = Recipe::parse(Path::new("m.toml"), &text).unwrap();
    let model = Model::load(model_dir).unwrap();
    let plan = Plan::of(&recipe, &model.tree).unwrap();
    let estimate = memory::phases(&recipe, &plan, &model)[0].peak;
    pool::trim();
    let options = BenchOptions {
        batch: 1,
        tokens: 4,
        repetitions: 3,
        precision: Precision::F32,
        train: Vec::new(),
        gradient_checkpointing: false,
    };
    let measured = measure_recipe(model, &recipe, None, &options, &mut |_| {}).unwrap();
    (estimate, measured.phases[0].peak_bytes)
}

/// A copy of an encoder-decoder whose texts are cut to the length of the others'.
fn short(from: &Path, to: &Path) -> PathBuf {
    fs::create_dir(to).unwrap();
    for name in ["model.safetensors", "tokenizer.json"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let config = fs::read_to_string(from.join("config.json")).unwrap();
    fs::write(to.join("config.json"), config.replacen('{', "{\"n_positions\": 64,", 1)).unwrap();
    to.to_owned()
}

#[test]
fn estimates_are_near_what_phases_hold() {
    let dir = tempfile::tempdir().unwrap();
    let bert = dir.path().join("bert");
    let tiny = TinyBert {
        layers: 6,
        width: 64,
        heads: 4,
        hidden: 256,
        positions: 70,
        max_tokens: 64,
        ..TinyBert::default()
    };
    tiny.write(&bert).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenfold-model/tests/golden");
    let phase = |tokens: usize, more: &str| {
        format!(
            "[[phase]]\nobjective = \"distill\"\nsteps = 4\ntokens = {tokens}\ntext = \"path:TRAIN\"\n{more}"
        )
    };
    let svd = |select: &str| format!("[[step]]\nmethod = \"svd\"\nselect = \"{select}\"\nshare = 0.5\n");
    let mpo = "[[step]]\nmethod = \"mpo\"\nselect = \"encoder.**.dense.weight\"\nshare = 0.5\n";
    let add = |method: &str| format!("[[step]]\nmethod = \"{method}\"\nselect = \"encoder.**\"\n");
    let again = "gradient-checkpointing = true\n";
    let encoder = svd("encoder.**.{query,key,value,dense}.weight");
    let cases = [
        ("bert", bert.clone(), format!("{encoder}{}", phase(1000, ""))),
        ("bert, few trained", bert.clone(), phase(1000, "train = \"**.bias\"\n")),
        ("bert, layers again", bert.clone(), format!("{encoder}{}", phase(2000, again))),
        (
            "bert, bottlenecks",
            bert.clone(),
            format!("{}{}", add("houlsby"), phase(1000, "train = \"**.bottleneck.**\"\n")),
        ),
        (
            "bert, prefix",
            bert.clone(),
            format!("{}{}", add("prefix"), phase(1000, "train = \"**.prefix.**\"\n")),
        ),
        ("bert, operators", bert, format!("{mpo}{}", phase(1000, ""))),
        ("gpt2", golden.join("tiny_gpt2"), phase(1500, "")),
        ("llama", golden.join("tiny_llama"), phase(1500, "")),
        ("t5", short(&golden.join("tiny_t5"), &dir.path().join("t5")), phase(1500, "")),
        ("t5, gated", short(&golden.join("tiny_t5_gated"), &dir.path().join("gated")), phase(1500, "")),
    ];
    let mut found = Vec::new();
    for (name, model, text) in cases {
        let (estimate, measured) = compare(&model, &text);
        found.push((name, estimate as f64 / measured as f64, estimate, measured));
    }
    assert!(found.iter().all(|(_, ratio, ..)| (0.95..1.5).contains(ratio)), "{found:?}");
}
