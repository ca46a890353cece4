//! Files that are not what they claim to be: one error, exit code 2, never a panic.

use super::bench::{Bench, code, shared, stderr};
use std::fs;

fn assert_refused(bench: &Bench, source: &str) {
    let output = bench.tenfold(&["inspect", source]);
    let text = stderr(&output);
    assert_eq!(code(&output), 2, "{source}: {text}");
    assert!(text.starts_with("error: "), "{source}: {text}");
    assert_eq!(text.matches("error: ").count(), 1, "{source}: {text}");
    assert!(!text.contains("panicked"), "{source}: {text}");
}

#[test]
fn damaged_checkpoints_are_refused() {
    let bench = Bench::new();
    let whole = bench.read("tiny/model.safetensors");
    let mut cases: Vec<Vec<u8>> =
        [0, 1, 7, 8, 9, 100, whole.len() - 1].iter().map(|len| whole[..*len].to_vec()).collect();
    cases.push([whole.clone(), vec![0]].concat());
    let mut huge = whole.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    cases.push(huge);
    for (at, bytes) in cases.iter().enumerate() {
        let name = format!("case{at}.safetensors");
        fs::write(bench.path(&name), bytes).unwrap();
        assert_refused(&bench, &format!("path:{name}"));
    }
    assert_refused(&bench, "path:not-there.safetensors");
    assert_refused(&bench, "nothing:at-all");
}

#[test]
fn damaged_models_are_refused() {
    let spoil = |name: &str, text: &str| {
        let bench = Bench::new();
        fs::write(bench.path("tiny").join(name), text).unwrap();
        assert_refused(&bench, "path:tiny");
    };
    spoil("config.json", "{");
    spoil("config.json", "{\"model_type\": \"elephant\"}");
    spoil("tokenizer.json", "{\"model\": 7}");
    let bench = Bench::new();
    let config = String::from_utf8(bench.read("tiny/config.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&config).unwrap();
    let mut layers = value.clone();
    layers["num_hidden_layers"] = 7.into();
    spoil("config.json", &layers.to_string());
    let mut width = value;
    width["intermediate_size"] = 99.into();
    spoil("config.json", &width.to_string());
}

#[test]
fn files_found_by_fuzzing_never_panic() {
    let Some(folder) = shared("data/tensor_file_fuzz") else { return };
    let bench = Bench::new();
    let mut seen = 0;
    for kind in ["gguf_fuzz", "gguf_fixtures", "safetensors"] {
        for entry in fs::read_dir(folder.join(kind)).unwrap() {
            let path = entry.unwrap().path();
            let output = bench.tenfold(&["inspect", &format!("path:{}", path.display())]);
            let text = stderr(&output);
            assert!([0, 2].contains(&code(&output)), "{}: {text}", path.display());
            assert_eq!(
                text.matches("error: ").count(),
                usize::from(code(&output) == 2),
                "{}: {text}",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 100);
}
