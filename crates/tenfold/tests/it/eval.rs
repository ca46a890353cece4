//! `tenfold eval`: scores by head and by cosine, and what is said where neither is possible.

use super::bench::{Bench, code, stderr};
use serde_json::Value;
use std::fs;

/// Rows of STS-B and CoLA made of words that any vocabulary splits.
fn with_data() -> Bench {
    let bench = Bench::new();
    for folder in ["data/glue_stsb", "data/glue_cola"] {
        fs::create_dir_all(bench.path(folder)).unwrap();
    }
    bench.write(
        "data/glue_stsb/dev.tsv",
        "sentence1\tsentence2\tscore\na b c\ta b c\t5\na b\tc d e f\t1\nx y z\tx y\t4\n",
    );
    bench.write("data/glue_cola/dev.tsv", "s\t1\t\ta b c\ns\t0\t*\tc b a\n");
    bench
}

#[test]
fn a_model_without_a_head_is_scored_by_cosine() {
    let bench = with_data();
    let json = bench.must(&["eval", "path:tiny", "--tasks", "stsb", "--data", "data", "--json"]);
    let value: Value = serde_json::from_str(&json).unwrap();
    let score = &value["tasks"]["stsb@1"];
    assert_eq!((score["by"].as_str(), score["examples"].as_u64()), (Some("cosine"), Some(3)));
    let main = score["main"].as_f64().unwrap();
    assert!((-100.0..=100.0).contains(&main) && score["metric"] == "spearman");
    let text = bench.must(&["eval", "path:tiny", "--tasks", "stsb@1", "--data", "data"]);
    assert!(text.contains("cosine") && text.contains("spearman"), "{text}");
}

#[test]
fn what_cannot_be_scored_is_one_error() {
    let bench = with_data();
    let cases: [(&[&str], &str); 6] = [
        (&["--tasks", "cola", "--data", "data"], "has no head"),
        (&["--tasks", "stsb,colla", "--data", "data"], "did you mean cola@1"),
        (&["--tasks", "stsb", "--data", "nowhere"], "glue_stsb"),
        (&["--tasks", "stsb"], "--data"),
        (&["--tasks", "mmlu"], "--data"),
        (&["--tasks", "lab-rule"], "needs a decoder"),
    ];
    for (words, expected) in cases {
        let output = bench.tenfold(&[&["eval", "path:tiny"], words].concat());
        assert_eq!(code(&output), 2, "{words:?}");
        assert!(stderr(&output).contains(expected), "{words:?}: {}", stderr(&output));
    }
}

/// A decoder answers both ways, and the laboratory needs no data.
#[test]
fn a_decoder_is_scored_by_likelihood_and_by_generation() {
    let bench = Bench::new();
    let recipe = "name = \"bytes\"\n[model.new]\nvocabulary = \"bytes\"\nwidth = 16\nlayers = 1\nheads = 2\npositions = 96\n\
                  [[phase]]\nobjective = \"language\"\ntext = \"lab:40\"\nsteps = 2\ntokens = 200\n[eval]\ntext = \"lab:5\"\n";
    bench.write("bytes.toml", recipe);
    bench.must(&["run", "bytes.toml", "--out", "out"]);
    let words = ["eval", "path:out/model", "--tasks", "lab-rule,lab-sum@1", "--questions", "8"];
    let json = bench.must(&[&words[..], &["--json"]].concat());
    let value: Value = serde_json::from_str(&json).unwrap();
    let score = &value["tasks"]["lab-sum@1"];
    assert_eq!((score["questions"].as_u64(), score["chance"].as_f64()), (Some(8), Some(25.0)));
    assert!(score["likelihood"].is_number() && score["generation"].is_number());
    let text = bench.must(&words);
    assert!(text.contains("by generation") && text.contains("lab-rule@1"), "{text}");
}
