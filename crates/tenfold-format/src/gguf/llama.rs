//! LLaMA in GGUF: entries, names of tensors, and the order of rows of queries and keys.
//!
//! Source: `convert_hf_to_gguf.py` and `gguf-py/gguf/constants.py` of <https://github.com/ggml-org/llama.cpp>.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::{Gguf, GgufFault, Value};
use crate::config::{self, Activation, LlamaConfig, ModelConfig};
use crate::error::{Error, Result};

/// The value of `general.architecture`.
pub(super) const ARCHITECTURE: &str = "llama";

/// Names outside of layers: in GGUF, in Hugging Face's checkpoints.
const OUTER: [(&str, &str); 3] =
    [("token_embd", "model.embed_tokens"), ("output_norm", "model.norm"), ("output", "lm_head")];

/// Names in a layer: in GGUF behind `blk.N.`, in Hugging Face's checkpoints behind `model.layers.N.`.
const INNER: [(&str, &str); 9] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The name in GGUF of a tensor of a Hugging Face checkpoint.
pub fn name_of(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".weight")?;
    if let Some((own, _)) = OUTER.iter().find(|(_, other)| *other == stem) {
        return Some(format!("{own}.weight"));
    }
    let (layer, part) = stem.strip_prefix("model.layers.")?.split_once('.')?;
    let (own, _) = INNER.iter().find(|(_, other)| *other == part)?;
    Some(format!("blk.{layer}.{own}.weight"))
}

/// The name in Hugging Face's checkpoints of a tensor of a GGUF file.
pub(super) fn hugging_face_name(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".weight")?;
    if let Some((_, other)) = OUTER.iter().find(|(own, _)| *own == stem) {
        return Some(format!("{other}.weight"));
    }
    let (layer, part) = stem.strip_prefix("blk.")?.split_once('.')?;
    let (_, other) = INNER.iter().find(|(own, _)| *own == part)?;
    Some(format!("model.layers.{layer}.{other}.weight"))
}

/// For every row of the tensor `name` of a GGUF file the row of Hugging Face's checkpoint that it is, where the order
/// differs: in queries and keys. There the pairs that positions turn are rows (j, j + K/2) of a head; in GGUF they are
/// neighbors, (2j, 2j + 1). `rows` is a multiple of the head width K.
pub fn rows_of(name: &str, rows: usize, head_width: usize) -> Option<Vec<usize>> {
    let half = head_width / 2;
    let place = |row: usize| {
        let (head, at) = (row / head_width, row % head_width);
        head * head_width + at % 2 * half + at / 2
    };
    let turned = name.ends_with(".attn_q.weight") || name.ends_with(".attn_k.weight");
    turned.then(|| (0..rows).map(place).collect())
}

/// The entries that describe a LLaMA decoder; those of its tokenizer are not among them.
///
/// # Errors
/// [`Error::Unsupported`] for a gate that is not SiLU, of which GGUF has no entry; `path` stands for the model.
pub fn metadata(path: &Path, config: &LlamaConfig) -> Result<Vec<(String, Value)>> {
    if config.activation != Activation::Silu {
        return Err(Error::Unsupported {
            path: path.to_owned(),
            field: "hidden_act",
            got: config.activation.name().to_owned(),
            known: &["silu"],
        });
    }
    let own = |key: &str, value| (format!("{ARCHITECTURE}.{key}"), value);
    let count = |key: &str, value: usize| own(key, Value::U32(value as u32));
    Ok(vec![
        ("general.architecture".to_owned(), Value::String(ARCHITECTURE.to_owned())),
        count("vocab_size", config.vocabulary),
        count("context_length", config.positions),
        count("embedding_length", config.width),
        count("block_count", config.layers),
        count("feed_forward_length", config.hidden),
        count("attention.head_count", config.heads),
        count("attention.head_count_kv", config.key_heads),
        count("attention.key_length", config.head_width),
        count("attention.value_length", config.head_width),
        own("attention.layer_norm_rms_epsilon", Value::F32(config.norm_eps as f32)),
        count("rope.dimension_count", config.head_width),
        own("rope.freq_base", Value::F32(config.rotary_base as f32)),
    ])
}

/// The config that the entries of a file describe.
///
/// # Errors
/// [`Error::Gguf`] for missing entries and entries of a wrong type; otherwise as [`config::parse`].
pub(super) fn config(path: &Path, header: &Gguf) -> Result<ModelConfig> {
    let entries = Entries { path, header };
    let heads = entries.count("attention.head_count")?;
    let width = entries.count("embedding_length")?;
    let own = entries.maybe("attention.key_length")?;
    let head_width = own.or_else(|| width.checked_div(heads)).unwrap_or(0);
    let equal =
        [("attention.value_length", "a head width of values"), ("rope.dimension_count", "rotary columns")];
    for (key, field) in equal {
        match entries.maybe(key)? {
            Some(got) if got != head_width => {
                let got = format!("{got} in heads of {head_width}");
                return Err(entries.unsupported(field, got, &["the head width"]));
            }
            _ => {}
        }
    }
    if entries.maybe("expert_count")?.is_some_and(|count| count > 0) {
        return Err(entries.unsupported("expert_count", "more than 0".to_owned(), &["0"]));
    }
    if let Some(kind) =
        entries.find("rope.scaling.type").and_then(|value| value.as_str()).filter(|kind| *kind != "none")
    {
        return Err(entries.unsupported("rope.scaling.type", kind.to_owned(), &["none"]));
    }
    if header.tensors.iter().any(|tensor| tensor.name == "rope_freqs.weight") {
        return Err(entries.unsupported("rope_freqs.weight", "present".to_owned(), &["absent"]));
    }
    let rows = |name: &str| {
        header.tensors.iter().find(|tensor| tensor.name == name).map(|one| one.shape[..].first())
    };
    let vocabulary = rows("token_embd.weight").flatten().copied().unwrap_or(0);
    let id = |name: &str| header.get(&format!("tokenizer.ggml.{name}_token_id")).and_then(Value::as_u64);
    // What some converters write for an absent token.
    let id = |name: &str| id(name).filter(|id| *id < vocabulary);
    let mut ends: Vec<u64> = ["eot", "eom", "eos"].into_iter().filter_map(id).collect();
    ends.dedup();
    let json = json!({
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": entries.count("block_count")?,
        "num_attention_heads": heads,
        "num_key_value_heads": entries.maybe("attention.head_count_kv")?.unwrap_or(heads),
        "head_dim": head_width,
        "intermediate_size": entries.count("feed_forward_length")?,
        "max_position_embeddings": entries.count("context_length")?,
        "rms_norm_eps": entries.real("attention.layer_norm_rms_epsilon")?,
        "rope_theta": entries.maybe_real("rope.freq_base")?.unwrap_or(10_000.0),
        "hidden_act": "silu",
        "tie_word_embeddings": rows("output.weight").is_none(),
        "bos_token_id": id("bos"),
        "eos_token_id": Json::from(ends),
    });
    config::parse(path, &json.to_string())
}

/// Entries of one architecture.
struct Entries<'a> {
    path: &'a Path,
    header: &'a Gguf,
}

impl Entries<'_> {
    fn find(&self, key: &str) -> Option<&Value> {
        self.header.get(&format!("{ARCHITECTURE}.{key}"))
    }

    fn count(&self, key: &str) -> Result<u64> {
        self.maybe(key)?.ok_or_else(|| self.missing(key))
    }

    fn maybe(&self, key: &str) -> Result<Option<u64>> {
        let wrong = |value: &Value| self.wrong(key, "a whole number that is not negative", value);
        self.find(key).map(|value| value.as_u64().ok_or_else(|| wrong(value))).transpose()
    }

    fn real(&self, key: &str) -> Result<f64> {
        self.maybe_real(key)?.ok_or_else(|| self.missing(key))
    }

    fn maybe_real(&self, key: &str) -> Result<Option<f64>> {
        let read = |value: &Value| match *value {
            // The shortest decimal of a number in single precision is the one that was meant: 1e-5, not 9.99999974e-6.
            Value::F32(value) => value.to_string().parse().ok().filter(|value: &f64| value.is_finite()),
            Value::F64(value) => Some(value).filter(|value| value.is_finite()),
            _ => None,
        };
        self.find(key)
            .map(|value| read(value).ok_or_else(|| self.wrong(key, "a finite number", value)))
            .transpose()
    }

    fn missing(&self, key: &str) -> Error {
        self.fault(GgufFault::MissingKey { key: format!("{ARCHITECTURE}.{key}") })
    }

    fn wrong(&self, key: &str, expected: &'static str, got: &Value) -> Error {
        self.fault(GgufFault::Entry { key: format!("{ARCHITECTURE}.{key}"), expected, got: got.to_string() })
    }

    fn fault(&self, fault: GgufFault) -> Error {
        Error::GgufModel { path: self.path.to_owned(), fault }
    }

    fn unsupported(&self, field: &'static str, got: String, known: &'static [&'static str]) -> Error {
        Error::Unsupported { path: self.path.to_owned(), field, got, known }
    }
}
