//! LLaMA: a pre-norm decoder with rotary positions, root-mean-square norms and a gated feed-forward part.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::field::{Fields, token_value};
use super::{Activation, LAYERS_LIMIT, POSITIONS_LIMIT, VOCABULARY_LIMIT, WIDTH_LIMIT};
use crate::error::Result;

/// The largest base of rotary angles.
const ROTARY_BASE_LIMIT: f64 = 1e12;

/// The architecture of a LLaMA decoder; [`Default`] is Hugging Face's (the published model of 7 billion weights).
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// V, tokens in the vocabulary.
    pub vocabulary: usize,
    /// D, width of a token's vector.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// H, attention heads of queries.
    pub heads: usize,
    /// Attention heads of keys and values; divides `heads`.
    pub key_heads: usize,
    /// K, columns of a head; even.
    pub head_width: usize,
    /// F, width of the hidden layer of the feed-forward part.
    pub hidden: usize,
    /// The longest text, in tokens.
    pub positions: usize,
    /// Added to the mean square in norms.
    pub norm_eps: f64,
    /// The nonlinearity of the gate.
    pub activation: Activation,
    /// Base of the rotary angles.
    pub rotary_base: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Whether the output matrix is the table of token vectors.
    pub tied: bool,
    /// The token that begins a text, if any.
    pub begin_token: Option<u32>,
    /// Tokens that end a text.
    pub end_tokens: Vec<u32>,
}

impl Default for LlamaConfig {
    fn default() -> LlamaConfig {
        LlamaConfig {
            vocabulary: 32000,
            width: 4096,
            layers: 32,
            heads: 32,
            key_heads: 32,
            head_width: 128,
            hidden: 11008,
            positions: 2048,
            norm_eps: 1e-6,
            activation: Activation::Silu,
            rotary_base: 10_000.0,
            initializer_range: 0.02,
            tied: false,
            begin_token: Some(1),
            end_tokens: vec![2],
        }
    }
}

impl LlamaConfig {
    /// The file that Hugging Face's loader reads.
    pub fn hf_json(&self) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "head_dim": self.head_width,
            "intermediate_size": self.hidden,
            "max_position_embeddings": self.positions,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": self.activation.name(),
            "rope_theta": self.rotary_base,
            "initializer_range": self.initializer_range,
            "tie_word_embeddings": self.tied,
            "bos_token_id": self.begin_token,
            "eos_token_id": token_value(&self.end_tokens),
            "torch_dtype": "float32",
        })
    }
}

/// The fields that matter, with Hugging Face's defaults.
#[derive(serde::Deserialize)]
#[serde(default)]
pub(super) struct RawLlama {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    hidden_act: String,
    rope_theta: Option<f64>,
    rope_scaling: Option<Map<String, Value>>,
    // Where later releases of the library keep base and scaling.
    rope_parameters: Option<Map<String, Value>>,
    partial_rotary_factor: Option<f64>,
    initializer_range: f64,
    tie_word_embeddings: bool,
    bos_token_id: Value,
    eos_token_id: Value,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    sliding_window: Option<usize>,
}

impl Default for RawLlama {
    fn default() -> RawLlama {
        let llama = LlamaConfig::default();
        RawLlama {
            vocab_size: llama.vocabulary,
            hidden_size: llama.width,
            num_hidden_layers: llama.layers,
            num_attention_heads: llama.heads,
            num_key_value_heads: None,
            head_dim: None,
            intermediate_size: llama.hidden,
            max_position_embeddings: llama.positions,
            rms_norm_eps: llama.norm_eps,
            hidden_act: llama.activation.name().to_owned(),
            rope_theta: None,
            rope_scaling: None,
            rope_parameters: None,
            partial_rotary_factor: None,
            initializer_range: llama.initializer_range,
            tie_word_embeddings: llama.tied,
            bos_token_id: Value::Null,
            eos_token_id: Value::Null,
            attention_bias: None,
            mlp_bias: None,
            sliding_window: None,
        }
    }
}

impl RawLlama {
    pub(super) fn check(self, path: &Path) -> Result<LlamaConfig> {
        let fields = Fields { path };
        fields.fixed("attention_bias", self.attention_bias, false)?;
        fields.fixed("mlp_bias", self.mlp_bias, false)?;
        let settings = [("rope_scaling", &self.rope_scaling), ("rope_parameters", &self.rope_parameters)];
        for (field, settings) in settings {
            let Some(settings) = settings else { continue };
            let kind = settings.get("rope_type").or_else(|| settings.get("type"));
            let kind = kind.map_or("default".to_owned(), |kind| kind.as_str().unwrap_or("?").to_owned());
            if kind != "default" {
                return Err(fields.unsupported(field, kind, &["default"]));
            }
        }
        let parts = self.rope_parameters.as_ref();
        let share = parts.and_then(|all| all.get("partial_rotary_factor")?.as_f64());
        if let Some(share) = self.partial_rotary_factor.or(share).filter(|share| *share != 1.0) {
            return Err(fields.unsupported("partial_rotary_factor", share.to_string(), &["1"]));
        }
        let positions =
            fields.count("max_position_embeddings", self.max_position_embeddings, POSITIONS_LIMIT)?;
        // A window that no text exceeds limits nothing.
        if let Some(window) = self.sliding_window.filter(|window| *window < positions) {
            return Err(fields.unsupported("sliding_window", window.to_string(), &["null"]));
        }
        let width = fields.count("hidden_size", self.hidden_size, WIDTH_LIMIT)?;
        let heads = fields.count("num_attention_heads", self.num_attention_heads, WIDTH_LIMIT)?;
        let head_width = match self.head_dim {
            Some(head_width) => fields.count("head_dim", head_width, WIDTH_LIMIT / heads)?,
            None => width / fields.divisor("num_attention_heads", heads, width)?,
        };
        if !head_width.is_multiple_of(2) {
            return Err(fields.range("head_dim", "an even number".to_owned(), head_width.to_string()));
        }
        let vocabulary = fields.count("vocab_size", self.vocab_size, VOCABULARY_LIMIT)?;
        let base = self.rope_theta.or_else(|| parts.and_then(|all| all.get("rope_theta")?.as_f64()));
        Ok(LlamaConfig {
            vocabulary,
            width,
            layers: fields.count("num_hidden_layers", self.num_hidden_layers, LAYERS_LIMIT)?,
            heads,
            key_heads: fields.divisor(
                "num_key_value_heads",
                self.num_key_value_heads.unwrap_or(heads),
                heads,
            )?,
            head_width,
            hidden: fields.count("intermediate_size", self.intermediate_size, WIDTH_LIMIT * 4)?,
            positions,
            norm_eps: fields.real("rms_norm_eps", self.rms_norm_eps, 0.0, 1.0)?,
            activation: fields.activation("hidden_act", &self.hidden_act)?,
            rotary_base: fields.real("rope_theta", base.unwrap_or(10_000.0), 1.0, ROTARY_BASE_LIMIT)?,
            initializer_range: fields.real("initializer_range", self.initializer_range, 0.0, 10.0)?,
            tied: self.tie_word_embeddings,
            begin_token: fields.tokens("bos_token_id", &self.bos_token_id, vocabulary)?.first().copied(),
            end_tokens: fields.tokens("eos_token_id", &self.eos_token_id, vocabulary)?,
        })
    }
}
