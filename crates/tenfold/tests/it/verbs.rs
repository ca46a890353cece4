//! Verbs on a tiny model.

use super::bench::{Bench, code, stderr};
use serde_json::Value;

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
fn inspect_shows_a_llama2c_file_and_its_folder() {
    let bench = Bench::new();
    // Width 4, hidden 6, 1 layer, 2 heads, 1 of keys, 5 tokens, 8 positions; rotary tables stand at the end.
    let (numbers, tables) = (20 + 4 + 16 + 8 + 8 + 16 + 4 + 3 * 24 + 4, 16);
    let header = [4i32, 6, 1, 2, 1, 5, 8].into_iter().flat_map(i32::to_le_bytes);
    let values = (0..numbers + tables).flat_map(|at| (at as f32).to_le_bytes());
    std::fs::create_dir(bench.path("llama")).unwrap();
    std::fs::write(bench.path("llama/model.bin"), header.chain(values).collect::<Vec<u8>>()).unwrap();
    for source in ["path:llama/model.bin", "path:llama"] {
        let view = json(&bench.must(&["inspect", source, "--json"]));
        assert_eq!(view["kind"], "llama2.c", "{source}");
        assert_eq!(view["parameters"], numbers, "{source}");
        assert_eq!(view["bytes"], 4 * numbers, "{source}");
        assert_eq!(view["weights"][0]["path"], "model.embed_tokens.weight");
    }
    assert!(bench.must(&["inspect", "path:llama"]).contains("model.layers.0.self_attn.q_proj.weight"));
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
fn doctor_answers_in_json() {
    let bench = Bench::new();
    let output = bench.tenfold(&["doctor", "--json"]);
    let checks = json(&String::from_utf8(output.stdout).unwrap());
    assert!(checks.as_array().unwrap().iter().any(|check| check["name"] == "processor"));
}
