//! Verbs on a tiny model.

use super::bench::{Bench, code, stderr};
use serde_json::Value;
use std::path::Path;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn inspect_shows_a_model_and_its_file() {
    let bench = Bench::new();
    let text = bench.must(&["inspect", "path:tiny", "--spectra"]);
    assert!(text.contains("encoder.layer.0.output.dense.weight") && text.contains("stable rank"), "{text}");
    let view = json(&bench.must(&["inspect", "path:tiny", "--json"]));
    let file = json(&bench.must(&["inspect", "path:tiny/model.safetensors", "--json"]));
    assert_eq!(view["parameters"], file["parameters"]);
    assert_eq!(file["kind"], "safetensors");
}

#[test]
fn inspect_shows_a_llama2c_file() {
    let bench = Bench::new();
    // Width 4, hidden 6, 1 layer, 2 heads, 1 of keys, 5 tokens, 8 positions; rotary tables stand at the end.
    let (numbers, tables) = (20 + 4 + 16 + 8 + 8 + 16 + 4 + 3 * 24 + 4, 16);
    let header = [4i32, 6, 1, 2, 1, 5, 8].into_iter().flat_map(i32::to_le_bytes);
    let values = (0..numbers + tables).flat_map(|at| (at as f32).to_le_bytes());
    std::fs::create_dir(bench.path("llama")).unwrap();
    std::fs::write(bench.path("llama/model.bin"), header.chain(values).collect::<Vec<u8>>()).unwrap();
    let view = json(&bench.must(&["inspect", "path:llama/model.bin", "--json"]));
    assert_eq!(view["kind"], "llama2.c");
    assert_eq!(view["parameters"], numbers);
    assert_eq!(view["bytes"], 4 * numbers);
    assert_eq!(view["weights"][0]["path"], "model.embed_tokens.weight");
}

#[test]
fn generate_prints_text_alone_and_refuses_encoders() {
    let bench = Bench::new();
    // A vocabulary of llama2.c: three special pieces, the bytes, a space and letters, all of one score.
    let mut pieces: Vec<Vec<u8>> = vec![b"<unk>".to_vec(), b"\n<s>\n".to_vec(), b"\n</s>\n".to_vec()];
    pieces.extend((0..=255u8).map(|byte| format!("<0x{byte:02X}>").into_bytes()));
    pieces.extend([" ", "a", "b", "c"].map(|text| text.as_bytes().to_vec()));
    let mut file = 6i32.to_le_bytes().to_vec();
    for piece in &pieces {
        file.extend(0f32.to_le_bytes());
        file.extend((piece.len() as i32).to_le_bytes());
        file.extend(piece);
    }
    // A table of its own for the output says "b" whatever was before.
    let (vocabulary, width) = (pieces.len(), 4);
    let header = [4i32, 6, 1, 2, 1, -(vocabulary as i32), 8].into_iter().flat_map(i32::to_le_bytes);
    let inner = 4 + 16 + 8 + 8 + 16 + 4 + 3 * 24 + 4;
    let table = (0..vocabulary * width).map(|_| 1.0f32);
    let rest = (0..inner + 16).map(|_| 0.5f32);
    let output = (0..vocabulary * width).map(|at| if at / width == 261 { 1.0f32 } else { 0.0 });
    let numbers: Vec<u8> = table.chain(rest).chain(output).flat_map(f32::to_le_bytes).collect();
    std::fs::create_dir(bench.path("story")).unwrap();
    std::fs::write(bench.path("story/model.bin"), header.chain(numbers).collect::<Vec<u8>>()).unwrap();
    std::fs::write(bench.path("story/tok.bin"), file).unwrap();
    let view = json(&bench.must(&["inspect", "path:story", "--json"]));
    assert_eq!(
        (view["kind"].as_str(), view["weights"][0]["path"].as_str()),
        (Some("model"), Some("embed_tokens.weight"))
    );
    let generate = ["generate", "path:story", "--prompt", "ca", "--greedy"];
    assert_eq!(bench.must(&[&generate[..], &["--max-tokens", "3"]].concat()), "cabbb\n");
    let view = json(&bench.must(&[&generate[..], &["--json"]].concat()));
    assert_eq!((view["text"].as_str(), view["ended"].as_str()), (Some("bbbb"), Some("positions")));
    let converted = bench.must(&["convert", "path:story", "plain"]);
    assert!(converted.contains("path:story -> plain (dense"), "{converted}");
    assert_eq!(
        bench.must(&["generate", "path:plain", "--prompt", "ca", "--beams", "2", "--max-tokens", "2"]),
        "cabb\n"
    );
    let convert = ["convert", "path:story", "story.gguf", "--to", "gguf", "--scheme"];
    let kept = bench.must(&[&convert[..], &["q8_0"]].concat());
    let line = "layers.0.mlp.down_proj.weight: rows of 6 are no whole blocks of q8_0, kept in f16";
    assert!(kept.contains(line) && kept.contains("story.gguf (gguf"), "{kept}");
    let refused = bench.tenfold(&[&convert[..], &["q4_k"]].concat());
    assert!(stderr(&refused).contains("known are f32, f16, q4_0"), "{}", stderr(&refused));
    let refused = bench.tenfold(&["convert", "path:plain", "integers", "--to", "gptq"]);
    assert!(
        stderr(&refused).contains("the layout of GPTQ holds codes of linear maps, and none is quantized"),
        "{}",
        stderr(&refused)
    );
    let from_file = ["generate", "path:story.gguf", "--prompt", "ca", "--greedy", "--max-tokens", "3"];
    assert_eq!(bench.must(&from_file), "cabbb\n");
    let view = json(&bench.must(&["inspect", "path:story.gguf", "--json"]));
    assert_eq!(view["kind"], "gguf");
    let costs = json(&bench.must(&[
        "bench",
        "path:plain",
        "--tokens",
        "6",
        "--repeat",
        "2",
        "--train",
        "**",
        "--json",
    ]));
    assert_eq!(costs["bench"]["writing"]["tokens"], 6);
    assert_eq!(costs["bench"]["step"]["trained"], costs["bench"]["parameters"]);
    let refused = bench.tenfold(&["generate", "path:tiny", "--prompt", "ca"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("a bert model does not say which token comes next"));
}

#[test]
fn a_model_that_reads_a_source_prints_its_answer_alone() {
    let bench = Bench::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tenfold-model/tests/golden/tiny_t5");
    std::fs::create_dir(bench.path("t5")).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(golden.join(name), bench.path("t5").join(name)).unwrap();
    }
    let generate = |more: &[&str]| {
        let all = ["generate", "path:t5", "--prompt", "the cab", "--max-tokens", "5"];
        bench.must(&[&all[..], more].concat())
    };
    let view = json(&generate(&["--greedy", "--json"]));
    let text = view["text"].as_str().unwrap();
    assert_eq!(generate(&["--greedy"]), format!("{text}\n"));
    assert_eq!((view["prompt"].as_str(), view["prompt_tokens"].as_u64()), (Some("the cab"), Some(4)));
    assert!(view["tokens"].as_u64().unwrap() <= 5);
    generate(&["--beams", "3"]);
    generate(&["--seed", "2"]);
    // What it is and what a plain copy of it answers stays the same.
    let whole = json(&bench.must(&["inspect", "path:t5", "--json"]));
    assert_eq!(whole["weights"][0]["path"], "decoder.block.0.layer.0.SelfAttention.k.weight");
    bench.must(&["convert", "path:t5", "plain"]);
    let again = ["generate", "path:plain", "--prompt", "the cab", "--max-tokens", "5", "--greedy"];
    assert_eq!(bench.must(&again), format!("{text}\n"));
    let empty =
        bench.tenfold(&["bench", "path:t5", "--tokens", "4", "--repeat", "1", "--train", "**", "--json"]);
    assert_eq!(code(&empty), 0, "{}", stderr(&empty));
}

#[test]
fn bench_times_what_was_asked_for() {
    let bench = Bench::new();
    let words = ["bench", "path:tiny", "--batch", "3", "--tokens", "9", "--repeat", "4"];
    let text = bench.must(&words);
    assert!(text.contains("forward") && !text.contains("training step"), "{text}");
    let costs =
        json(&bench.must(&[&words[..], &["--precision", "bf16", "--train", "**.bias", "--json"]].concat()));
    let found = &costs["bench"];
    let times = [&found["single"], &found["many"], &found["step"]["time"]];
    for (time, texts) in times.into_iter().zip([1, 3, 3]) {
        assert_eq!((&time["batch"], &time["tokens"]), (&json(&texts.to_string()), &json("9")));
        let [least, median, most] = ["least_ms", "ms", "most_ms"].map(|name| time[name].as_f64().unwrap());
        assert!(0.0 < least && least <= median && median <= most, "{time}");
    }
    assert!(found["writing"].is_null(), "an encoder writes nothing");
    let fresh = found["parameters"].as_u64().unwrap();
    let biases = json(&bench.must(&["inspect", "path:tiny", "--json"]));
    let biases = biases["weights"].as_array().unwrap().iter();
    let biases = biases.filter(|weight| weight["path"].as_str().unwrap().ends_with(".bias"));
    // The pooler's is there and has no part in sentence vectors.
    assert_eq!(
        found["step"]["trained"],
        biases.map(|weight| weight["parameters"].as_u64().unwrap()).sum::<u64>()
    );
    let kept = found["step"]["peak_bytes"].as_u64().unwrap();
    let again = json(
        &bench.must(
            &[
                &words[..],
                &["--precision", "bf16", "--train", "**.bias", "--gradient-checkpointing", "--json"],
            ]
            .concat(),
        ),
    );
    assert!(again["bench"]["step"]["peak_bytes"].as_u64().unwrap() < kept);
    let costs = json(&bench.must(&["bench", "recipe.toml", "--tokens", "9", "--repeat", "2", "--json"]));
    let phase = &costs["bench"]["phases"][0];
    assert!(phase["ms"].as_f64().unwrap() > 0.0 && phase["trained"].as_u64().unwrap() > 0, "{phase}");
    assert!(costs["bench"]["model"]["parameters"].as_u64() < Some(fresh), "it was rewritten");
    assert!(bench.must(&["bench", "recipe.toml", "--tokens", "9", "--repeat", "2"]).contains("rewriting"));
    let refused = bench.tenfold(&["bench", "recipe.toml", "--train", "**"]);
    assert!(code(&refused) == 2 && stderr(&refused).contains("--train"), "{}", stderr(&refused));
    let refused = bench.tenfold(&["bench", "path:tiny", "--precision", "f16"]);
    assert!(stderr(&refused).contains("known are f32, bf16x3, bf16"), "{}", stderr(&refused));
    let refused = bench.tenfold(&["bench", "path:tiny", "--train", "nothing.**"]);
    assert_eq!(code(&refused), 2);
}

#[test]
fn adapters_are_written_and_read() {
    let bench = Bench::new();
    let lora = "name = \"lora\"\n[model]\nfrom = \"path:tiny\"\n[[step]]\nmethod = \"lora\"\nrank = 2\n\
                select = \"encoder.**.query.weight\"\n[[phase]]\nobjective = \"distill\"\nsteps = 2\ntrain = [\"#down\", \"#up\"]\n";
    bench.write("lora.toml", lora);
    bench.must(&["run", "lora.toml", "--out", "lora"]);
    let refused = bench.tenfold(&["convert", "path:lora/model", "adapter", "--to", "peft"]);
    assert!(stderr(&refused).contains("--base"), "{}", stderr(&refused));
    bench.must(&["convert", "path:lora/model", "adapter", "--to", "peft", "--base", "path:tiny"]);
    bench.must(&["convert", "path:tiny", "again", "--to", "tenfold", "--adapter", "adapter"]);
    let view = |source: &str| json(&bench.must(&["inspect", source, "--json"]))["parameters"].clone();
    assert_eq!(view("path:again"), view("path:lora/model"));
    let other =
        bench.tenfold(&["convert", "path:lora/model", "none", "--to", "peft", "--base", "path:lora/model"]);
    assert!(stderr(&other).contains("that the base has not"), "{}", stderr(&other));
}

/// Vectors as a recipe orders them, with biases that follow their matrices, into PEFT's files and back.
#[test]
fn vectors_are_planned_trained_written_and_read() {
    let bench = Bench::new();
    let head = "[model]\nfrom = \"path:tiny\"\n[[step]]\nmethod = \"ia3\"\n";
    let outputs = "select = \"encoder.**.{key,value}.{weight,bias}\"\n";
    let inputs = "[[step]]\nmethod = \"ia3\"\nstretch = \"inputs\"\nselect = \"encoder.layer.*.output.dense.weight\"\n";
    let phase =
        "[[phase]]\nobjective = \"distill\"\nsteps = 2\ntrain = \"#scale\"\noptimizer = { lr = 0.1 }\n";
    bench.write("ia3.toml", &format!("name = \"ia3\"\n{head}{outputs}{inputs}{phase}"));
    let plan = json(&bench.must(&["plan", "ia3.toml", "--json"]));
    bench.must(&["run", "ia3.toml", "--out", "ia3"]);
    let view = |source: &str| json(&bench.must(&["inspect", source, "--json"]));
    let parameters = |source: &str| view(source)["parameters"].as_u64().unwrap();
    let added = parameters("path:ia3/model") - parameters("path:tiny");
    assert_eq!(plan["totals"]["trainable"], added, "every vector once, whoever follows it");
    bench.must(&["convert", "path:ia3/model", "adapter", "--to", "peft", "--base", "path:tiny"]);
    bench.must(&["convert", "path:tiny", "again", "--to", "tenfold", "--adapter", "adapter"]);
    assert_eq!(view("path:again")["weights"], view("path:ia3/model")["weights"]);
    let alone = "select = \"encoder.**.key.bias\"\n";
    bench.write("alone.toml", &format!("name = \"alone\"\n{head}{alone}{phase}"));
    let refused = bench.tenfold(&["plan", "alone.toml"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("key.weight, which is not selected"), "{}", stderr(&refused));
}

#[test]
fn plan_equals_what_run_did() {
    let bench = Bench::new();
    let plan = json(&bench.must(&["plan", "recipe.toml", "--json"]));
    assert!(bench.must(&["plan", "recipe.toml"]).contains("low rank"));
    bench.must(&["run", "recipe.toml", "--out", "out"]);
    let view = json(&bench.must(&["inspect", "path:out/model", "--json"]));
    assert_eq!(plan["totals"]["parameters_after"], view["parameters"]);
    let weights: Vec<&Value> = view["weights"].as_array().unwrap().iter().collect();
    for row in plan["rows"].as_array().unwrap() {
        let found = weights.iter().find(|weight| weight["path"] == row["path"]).unwrap();
        assert_eq!(found["form"], row["to"], "{}", row["path"]);
        assert_eq!(found["parameters"], row["parameters_after"], "{}", row["path"]);
    }
}

#[test]
fn convert_writes_what_other_programs_read() {
    let bench = Bench::new();
    bench.must(&["run", "recipe.toml", "--out", "out"]);
    bench.must(&["convert", "path:out/model", "dense"]);
    assert!(!bench.path("dense/tenfold.json").exists());
    let dense = json(&bench.must(&["inspect", "path:dense", "--json"]));
    let first = json(&bench.must(&["inspect", "path:tiny", "--json"]));
    assert_eq!(dense["parameters"], first["parameters"]);
    // The tenfold layout of the dense model is the same model again.
    bench.must(&["convert", "path:out/model", "again", "--to", "tenfold"]);
    assert_eq!(bench.read("again/model.safetensors"), bench.read("out/model/model.safetensors"));
}

#[test]
fn explain_knows_methods_and_suggests() {
    let bench = Bench::new();
    assert!(bench.must(&["explain"]).contains("svd"));
    assert!(bench.must(&["explain", "svd"]).contains("Eckart"));
    let output = bench.tenfold(&["explain", "svdd"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("did you mean \"svd\"?"));
}

#[test]
fn a_device_is_used_or_its_lack_is_named() {
    let bench = Bench::new();
    let odd = bench.tenfold(&["doctor", "--device", "tpu"]);
    assert!(code(&odd) == 2 && stderr(&odd).contains("known are cpu, cuda and cuda:N"), "{}", stderr(&odd));
    let output = bench.tenfold(&["doctor", "--device", "cuda:99"]);
    // No machine has a hundred devices.
    assert_eq!(code(&output), 2);
    let expected = match cfg!(feature = "cuda") {
        true => "--device cuda:99: no device can be used",
        false => "cargo build --release --features cuda",
    };
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}

#[test]
fn doctor_answers_in_json() {
    let bench = Bench::new();
    let output = bench.tenfold(&["doctor", "--json"]);
    let checks = json(&String::from_utf8(output.stdout).unwrap());
    assert!(checks.as_array().unwrap().iter().any(|check| check["name"] == "processor"));
}
