//! GPT-2: a pre-norm decoder with learned positions.

use std::path::Path;

use serde_json::{Value, json};

use super::field::{Fields, token_value};
use super::{Activation, LAYERS_LIMIT, POSITIONS_LIMIT, VOCABULARY_LIMIT, WIDTH_LIMIT};
use crate::error::Result;

/// The architecture of a GPT-2 decoder; [`Default`] is Hugging Face's (the smallest published model).
#[derive(Clone, Debug, PartialEq)]
pub struct Gpt2Config {
    /// V, tokens in the vocabulary.
    pub vocabulary: usize,
    /// D, width of a token's vector.
    pub width: usize,
    /// Layers.
    pub layers: usize,
    /// H, attention heads; divides the width.
    pub heads: usize,
    /// F, width of the hidden layer of the feed-forward part.
    pub hidden: usize,
    /// The longest text, in tokens.
    pub positions: usize,
    /// Added to the variance in layer norms.
    pub norm_eps: f64,
    /// The nonlinearity of the feed-forward part.
    pub activation: Activation,
    /// Dropout of what blocks add to the stream in training, in [0, 1).
    pub dropout: f64,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// Whether the output matrix is the table of token vectors.
    pub tied: bool,
    /// The token that begins a text, if any.
    pub begin_token: Option<u32>,
    /// Tokens that end a text.
    pub end_tokens: Vec<u32>,
}

impl Default for Gpt2Config {
    fn default() -> Gpt2Config {
        Gpt2Config {
            vocabulary: 50257,
            width: 768,
            layers: 12,
            heads: 12,
            hidden: 3072,
            positions: 1024,
            norm_eps: 1e-5,
            activation: Activation::GeluTanh,
            dropout: 0.1,
            initializer_range: 0.02,
            tied: true,
            begin_token: Some(50256),
            end_tokens: vec![50256],
        }
    }
}

impl Gpt2Config {
    /// The file that Hugging Face's loader reads.
    pub fn hf_json(&self) -> Value {
        json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": self.vocabulary,
            "n_embd": self.width,
            "n_layer": self.layers,
            "n_head": self.heads,
            "n_inner": self.hidden,
            "n_positions": self.positions,
            "n_ctx": self.positions,
            "layer_norm_epsilon": self.norm_eps,
            "activation_function": self.activation.name(),
            "resid_pdrop": self.dropout,
            "embd_pdrop": self.dropout,
            "attn_pdrop": self.dropout,
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
pub(super) struct RawGpt2 {
    vocab_size: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: Option<usize>,
    n_positions: usize,
    layer_norm_epsilon: f64,
    activation_function: String,
    resid_pdrop: f64,
    initializer_range: f64,
    tie_word_embeddings: bool,
    bos_token_id: Value,
    eos_token_id: Value,
    scale_attn_weights: Option<bool>,
    scale_attn_by_inverse_layer_idx: Option<bool>,
    add_cross_attention: Option<bool>,
}

impl Default for RawGpt2 {
    fn default() -> RawGpt2 {
        let gpt2 = Gpt2Config::default();
        RawGpt2 {
            vocab_size: gpt2.vocabulary,
            n_embd: gpt2.width,
            n_layer: gpt2.layers,
            n_head: gpt2.heads,
            n_inner: None,
            n_positions: gpt2.positions,
            layer_norm_epsilon: gpt2.norm_eps,
            activation_function: gpt2.activation.name().to_owned(),
            resid_pdrop: gpt2.dropout,
            initializer_range: gpt2.initializer_range,
            tie_word_embeddings: gpt2.tied,
            bos_token_id: Value::Null,
            eos_token_id: Value::Null,
            scale_attn_weights: None,
            scale_attn_by_inverse_layer_idx: None,
            add_cross_attention: None,
        }
    }
}

impl RawGpt2 {
    pub(super) fn check(self, path: &Path) -> Result<Gpt2Config> {
        let fields = Fields { path };
        fields.fixed("scale_attn_weights", self.scale_attn_weights, true)?;
        fields.fixed("scale_attn_by_inverse_layer_idx", self.scale_attn_by_inverse_layer_idx, false)?;
        fields.fixed("add_cross_attention", self.add_cross_attention, false)?;
        let width = fields.count("n_embd", self.n_embd, WIDTH_LIMIT)?;
        let vocabulary = fields.count("vocab_size", self.vocab_size, VOCABULARY_LIMIT)?;
        let hidden = self.n_inner.unwrap_or(4 * width);
        Ok(Gpt2Config {
            vocabulary,
            width,
            layers: fields.count("n_layer", self.n_layer, LAYERS_LIMIT)?,
            heads: fields.divisor("n_head", self.n_head, width)?,
            hidden: fields.count("n_inner", hidden, WIDTH_LIMIT * 4)?,
            positions: fields.count("n_positions", self.n_positions, POSITIONS_LIMIT)?,
            norm_eps: fields.real("layer_norm_epsilon", self.layer_norm_epsilon, 0.0, 1.0)?,
            activation: fields.activation("activation_function", &self.activation_function)?,
            dropout: fields.real("resid_pdrop", self.resid_pdrop, 0.0, 1.0)?,
            initializer_range: fields.real("initializer_range", self.initializer_range, 0.0, 10.0)?,
            tied: self.tie_word_embeddings,
            begin_token: fields.tokens("bos_token_id", &self.bos_token_id, vocabulary)?.first().copied(),
            end_tokens: fields.tokens("eos_token_id", &self.eos_token_id, vocabulary)?,
        })
    }
}
