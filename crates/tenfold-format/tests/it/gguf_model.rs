//! GGUF files as models: configs, names, the order of rows, vocabularies.

use std::path::Path;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::config::{LlamaConfig, ModelConfig};
use tenfold_format::gguf::{self, Array, GgufFault, GgufFile, GgufModel, Planned, Value};
use tenfold_format::tokenizer::Tokenizer;

use crate::gguf_file::{planned, written};
use crate::{mutate, shared};

fn config() -> LlamaConfig {
    LlamaConfig {
        vocabulary: 8,
        width: 8,
        layers: 1,
        heads: 2,
        key_heads: 1,
        head_width: 4,
        hidden: 12,
        positions: 16,
        norm_eps: 1e-5,
        rotary_base: 500_000.0,
        tied: true,
        begin_token: Some(1),
        end_tokens: vec![1, 2],
        ..LlamaConfig::default()
    }
}

/// Entries of a small model with a vocabulary of pieces.
fn entries() -> Vec<(String, Value)> {
    let mut entries = gguf::llama_metadata(Path::new("a"), &config()).unwrap();
    let texts = ["<unk>", "<s>", "</s>", "\u{2581}", "a", "b", "ab", "\u{2581}a"].map(str::to_owned);
    let scores = vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, -2.0];
    let mut put = |key: &str, value| entries.push((format!("tokenizer.ggml.{key}"), value));
    put("model", Value::String("llama".into()));
    put("tokens", Value::Array(Array::String(texts.into())));
    put("scores", Value::Array(Array::F32(scores)));
    put("token_type", Value::Array(Array::I32(vec![2, 3, 3, 1, 1, 1, 1, 1])));
    put("unknown_token_id", Value::U32(0));
    put("bos_token_id", Value::U32(1));
    put("eos_token_id", Value::U32(2));
    put("eot_token_id", Value::U32(1));
    entries
}

fn tensors() -> Vec<Planned> {
    let norm = |name: &str| planned(name, &[8], "F32");
    let matrix = |name: &str, rows: u64| planned(name, &[rows, 8], "F16");
    vec![
        matrix("token_embd.weight", 8),
        norm("output_norm.weight"),
        norm("blk.0.attn_norm.weight"),
        matrix("blk.0.attn_q.weight", 8),
        matrix("blk.0.attn_k.weight", 4),
        matrix("blk.0.attn_v.weight", 4),
        matrix("blk.0.attn_output.weight", 8),
        norm("blk.0.ffn_norm.weight"),
        matrix("blk.0.ffn_gate.weight", 12),
        matrix("blk.0.ffn_up.weight", 12),
        planned("blk.0.ffn_down.weight", &[8, 12], "F16"),
    ]
}

fn model() -> Vec<u8> {
    written(&entries(), &tensors()).unwrap()
}

fn open(bytes: Vec<u8>) -> Result<GgufModel, Error> {
    GgufModel::of(GgufFile::from_bytes(Path::new("a.gguf"), bytes)?)
}

#[test]
fn the_config_of_a_written_model_is_read() {
    let model = open(model()).unwrap();
    assert_eq!(model.config, ModelConfig::Llama(config()));
    assert!(model.tensors().any(|(name, _)| name == "model.layers.0.mlp.down_proj.weight"));
}

/// Rows of queries and keys come in Hugging Face's order, all others as they lie.
#[test]
fn rotary_rows_are_put_in_order() {
    let model = open(model()).unwrap();
    let rows = |name: &str| {
        let (_, bytes) = model.read(name).unwrap();
        bytes.chunks_exact(16).map(|row| row[0] / 16).collect::<Vec<u8>>()
    };
    // Names of equal length have equal bytes; a row has 16, so its first byte tells its place.
    let first = |own: &str| own.len() as u8 / 16;
    let base = first("blk.0.attn_q.weight");
    let got = rows("model.layers.0.self_attn.q_proj.weight");
    assert_eq!(got, [0, 2, 1, 3, 4, 6, 5, 7].map(|row| row + base));
    assert_eq!(rows("model.layers.0.self_attn.k_proj.weight"), [0, 2, 1, 3].map(|row| row + base));
    assert_eq!(rows("model.layers.0.self_attn.v_proj.weight"), [0, 1, 2, 3].map(|row| row + base));
    assert_eq!(gguf::llama_rows("blk.0.attn_q.weight", 8, 4), Some(vec![0, 2, 1, 3, 4, 6, 5, 7]));
    let six = gguf::llama_rows("blk.0.attn_k.weight", 6, 6).unwrap();
    assert_eq!(six, [0, 3, 1, 4, 2, 5]);
    assert_eq!(gguf::llama_rows("blk.0.attn_v.weight", 8, 4), None);
}

/// One change of an entry each, and what is said of it.
#[test]
fn models_that_cannot_be_computed_are_refused() {
    let with = |key: &str, value: Option<Value>| {
        let mut entries = entries();
        entries.retain(|(name, _)| name != key);
        entries.extend(value.map(|value| (key.to_owned(), value)));
        open(written(&entries, &tensors()).unwrap()).unwrap_err()
    };
    let text = |text: &str| Some(Value::String(text.into()));
    let fault = |error: Error| match error {
        Error::GgufModel { fault, .. } => fault,
        other => panic!("{other}"),
    };
    assert!(matches!(with("general.architecture", text("t5")), Error::UnknownModel { .. }));
    assert!(matches!(fault(with("general.architecture", None)), GgufFault::MissingKey { .. }));
    for key in ["block_count", "embedding_length", "attention.head_count", "context_length"] {
        let key = format!("llama.{key}");
        assert_eq!(fault(with(&key, None)), GgufFault::MissingKey { key: key.clone() });
        assert!(matches!(fault(with(&key, text("8"))), GgufFault::Entry { .. }));
        assert!(matches!(
            with(&key, Some(Value::U64(u64::MAX))),
            Error::OutOfRange { .. } | Error::Json { .. } | Error::Unsupported { .. }
        ));
    }
    assert!(matches!(with("llama.attention.head_count", Some(Value::U32(0))), Error::OutOfRange { .. }));
    assert!(matches!(with("llama.rope.dimension_count", Some(Value::U32(2))), Error::Unsupported { .. }));
    assert!(matches!(with("llama.rope.scaling.type", text("yarn")), Error::Unsupported { .. }));
    assert!(matches!(with("llama.expert_count", Some(Value::U32(8))), Error::Unsupported { .. }));
    let nan = Some(Value::F32(f32::NAN));
    assert!(matches!(fault(with("llama.rope.freq_base", nan)), GgufFault::Entry { .. }));
}

#[test]
fn a_vocabulary_of_pieces_splits_texts() {
    let file = GgufFile::from_bytes(Path::new("a.gguf"), model()).unwrap();
    let tokenizer = Tokenizer::from_gguf(file.path(), file.header()).unwrap();
    // A space in front, then the best pair first.
    assert_eq!(tokenizer.encode("ab", 16).unwrap(), [1, 3, 6]);
    assert_eq!(tokenizer.encode("ba", 16).unwrap(), [1, 3, 5, 4]);
    assert_eq!(tokenizer.encode("a a", 16).unwrap(), [1, 7, 7]);
    assert_eq!(tokenizer.decode(&[1, 7, 6, 7]).unwrap(), "aab a");
    // The same entries again, from what the tokenizer says of itself.
    let again = tokenizer.gguf(9).unwrap();
    let find = |key: &str| {
        again.iter().find(|(name, _)| name == &format!("tokenizer.ggml.{key}")).unwrap().1.clone()
    };
    let Value::Array(Array::String(tokens)) = find("tokens") else { panic!() };
    assert_eq!(tokens.len(), 9);
    assert_eq!(tokens[8], "[PAD8]");
    assert_eq!(find("token_type"), Value::Array(Array::I32(vec![2, 3, 3, 1, 1, 1, 1, 1, 5])));
    let Value::Array(Array::F32(scores)) = find("scores") else { panic!() };
    assert!(scores[6] > scores[7]);
    assert_eq!(find("add_bos_token"), Value::Bool(true));
    assert_eq!(find("add_space_prefix"), Value::Bool(true));
    assert_eq!(find("remove_extra_whitespaces"), Value::Bool(false));
    assert_eq!(find("unknown_token_id"), Value::U32(0));
    assert_eq!(find("bos_token_id"), Value::U32(1));
}

#[test]
fn a_vocabulary_of_byte_pairs_splits_texts() {
    let texts = ["<|endoftext|>", "a", "b", "ab", "\u{120}"].map(str::to_owned);
    let merges = |merge: &str| {
        let entry = |key: &str, value| (format!("tokenizer.ggml.{key}"), value);
        let entries = [
            entry("model", Value::String("gpt2".into())),
            entry("pre", Value::String("gpt-2".into())),
            entry("tokens", Value::Array(Array::String(texts.to_vec()))),
            entry("token_type", Value::Array(Array::I32(vec![3, 1, 1, 1, 1]))),
            entry("merges", Value::Array(Array::String(vec![merge.to_owned()]))),
            entry("bos_token_id", Value::U32(0)),
            entry("add_bos_token", Value::Bool(true)),
        ];
        let file = GgufFile::from_bytes(Path::new("a.gguf"), written(&entries, &[]).unwrap()).unwrap();
        (Tokenizer::from_gguf(file.path(), file.header()), entries)
    };
    let (tokenizer, entries) = merges("a b");
    let tokenizer = tokenizer.unwrap();
    assert_eq!(tokenizer.encode("ab ba", 16).unwrap(), [0, 3, 4, 2, 1]);
    assert_eq!(tokenizer.decode(&[0, 3, 4, 2, 1]).unwrap(), "ab ba");
    // What the tokenizer says of itself are the same entries.
    let again = tokenizer.gguf(5).unwrap();
    for entry in &entries {
        assert!(again.contains(entry), "{}", entry.0);
    }
    assert_eq!(again.len(), entries.len());
    assert!(matches!(merges("a").0, Err(Error::BadMerge { line: 1, .. })));
    assert!(matches!(merges("a c").0, Err(Error::BadTokenizer { .. })));
}

#[test]
fn vocabularies_that_do_not_hold_together_are_refused() {
    let with = |key: &str, value: Option<Value>| {
        let mut entries = entries();
        let key = format!("tokenizer.ggml.{key}");
        entries.retain(|(name, _)| *name != key);
        entries.extend(value.map(|value| (key, value)));
        let file = GgufFile::from_bytes(Path::new("a.gguf"), written(&entries, &[]).unwrap()).unwrap();
        Tokenizer::from_gguf(file.path(), file.header()).unwrap_err()
    };
    let floats = |count: usize| Some(Value::Array(Array::F32(vec![0.0; count])));
    assert!(matches!(with("model", None), Error::GgufModel { fault: GgufFault::MissingKey { .. }, .. }));
    assert!(matches!(with("model", Some(Value::String("bert".into()))), Error::Unsupported { .. }));
    assert!(matches!(with("tokens", None), Error::GgufModel { fault: GgufFault::MissingKey { .. }, .. }));
    assert!(matches!(with("tokens", floats(8)), Error::GgufModel { fault: GgufFault::Entry { .. }, .. }));
    assert!(matches!(with("scores", floats(7)), Error::GgufModel { fault: GgufFault::Entry { .. }, .. }));
    assert!(matches!(with("scores", None), Error::GgufModel { fault: GgufFault::MissingKey { .. }, .. }));
    let nan = Some(Value::Array(Array::F32(vec![f32::NAN; 8])));
    assert!(matches!(with("scores", nan), Error::Pieces { .. }));
    let same = Some(Value::Array(Array::String(vec!["a".into(); 8])));
    assert!(matches!(with("tokens", same), Error::Pieces { .. }));
    let kinds = Some(Value::Array(Array::I32(vec![1])));
    assert!(matches!(with("token_type", kinds), Error::GgufModel { fault: GgufFault::Entry { .. }, .. }));
    let split = with("model", Some(Value::String("gpt2".into())));
    assert!(matches!(split, Error::Unsupported { field: "tokenizer.ggml.pre", .. }), "{split}");
}

/// Everything that can be asked of files that fuzzing found, and of real ones.
#[test]
fn shared_files_are_read_or_refused_to_the_last_tensor() {
    let mut seen = 0;
    for folder in ["gguf_fuzz", "gguf_fixtures"] {
        for path in shared::files(&format!("tensor_file_fuzz/{folder}")).into_iter().flatten() {
            seen += 1;
            let Ok(file) = GgufFile::open(&path) else { continue };
            for info in &file.header().tensors {
                let _ = file.tensor(&info.name);
            }
            let _ = Tokenizer::from_gguf(&path, file.header());
            let _ = GgufModel::of(file).map(|model| model.tensors().count());
        }
    }
    println!("{seen} files");
}

/// The vocabularies that llama.cpp tests itself with, and the tokens that it finds in the texts beside them.
#[test]
fn real_vocabularies_split_texts_as_llama_cpp_does() {
    let Some(folder) = shared::data("tokenizers/gguf_vocab") else { return };
    // GPT-2 begins no text with a token of its own, LLaMA does.
    for (name, special) in [("gpt-2", 0), ("llama-spm", 1)] {
        let path = folder.join(format!("ggml-vocab-{name}.gguf"));
        let file = GgufFile::open(&path).unwrap();
        let tokenizer = Tokenizer::from_gguf(file.path(), file.header()).unwrap();
        let beside = |end: &str| std::fs::read_to_string(path.with_extension(format!("gguf.{end}"))).unwrap();
        let (texts, tokens) = (beside("inp"), beside("out"));
        let texts: Vec<&str> = texts.split("\n__ggml_vocab_test__\n").collect();
        let tokens: Vec<&str> = tokens.lines().collect();
        assert_eq!(texts.len(), tokens.len() + 1, "{name}: every text ends with the mark");
        for (text, expected) in texts.iter().zip(tokens) {
            let expected: Vec<u32> = expected.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let got = tokenizer.encode(text, 4096).unwrap();
            assert_eq!(got[special..], expected, "{name}: {text:?}");
        }
    }
}

proptest! {
    #![proptest_config(mutate::config())]

    /// A damaged model is read or refused, whatever is asked of it.
    #[test]
    fn a_damaged_model_is_read_or_refused(changes in mutate::mutations()) {
        let bytes = mutate::apply(model(), &changes);
        let Ok(file) = GgufFile::from_bytes(Path::new("a.gguf"), bytes) else { return Ok(()) };
        let _ = Tokenizer::from_gguf(Path::new("a.gguf"), file.header());
        if let Ok(model) = GgufModel::of(file) {
            let names: Vec<String> = model.tensors().map(|(name, _)| name.to_owned()).collect();
            for name in names {
                let _ = model.read(&name);
            }
        }
    }
}
