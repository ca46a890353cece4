//! BERT: a post-norm encoder.

use std::path::Path;

use serde_json::{Value, json};

use super::field::Fields;
use super::{Activation, LAYERS_LIMIT, POSITIONS_LIMIT, VOCABULARY_LIMIT, WIDTH_LIMIT};
use crate::error::Result;

/// The architecture of a BERT encoder; [`Default`] is Hugging Face's (the published base model).
#[derive(Clone, Debug, PartialEq)]
pub struct BertConfig {
    /// V, tokens in the vocabulary.
    pub vocabulary: usize,
    /// D, width of a token's vector.
    pub width: usize,
    /// Encoder layers.
    pub layers: usize,
    /// H, attention heads; divides the width.
    pub heads: usize,
    /// F, width of the hidden layer of the feed-forward part.
    pub hidden: usize,
    /// The longest text, in tokens.
    pub positions: usize,
    /// Token types (segments).
    pub types: usize,
    /// Added to the variance in layer norms.
    pub norm_eps: f64,
    /// The nonlinearity of the feed-forward part.
    pub activation: Activation,
    /// Dropout of hidden vectors in training, in [0, 1).
    pub dropout: f64,
    /// Dropout of attention probabilities in training, in [0, 1).
    pub attention_dropout: f64,
    /// Dropout before a classifier in training, in [0, 1); [`BertConfig::dropout`] when absent.
    pub classifier_dropout: Option<f64>,
    /// Standard deviation of fresh weights.
    pub initializer_range: f64,
    /// The token used for padding, if any.
    pub pad_token: Option<u32>,
}

impl Default for BertConfig {
    fn default() -> BertConfig {
        BertConfig {
            vocabulary: 30522,
            width: 768,
            layers: 12,
            heads: 12,
            hidden: 3072,
            positions: 512,
            types: 2,
            norm_eps: 1e-12,
            activation: Activation::Gelu,
            dropout: 0.1,
            attention_dropout: 0.1,
            classifier_dropout: None,
            initializer_range: 0.02,
            pad_token: Some(0),
        }
    }
}

impl BertConfig {
    /// The file that Hugging Face's loader reads.
    pub fn hf_json(&self) -> Value {
        json!({
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": self.vocabulary,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.hidden,
            "max_position_embeddings": self.positions,
            "type_vocab_size": self.types,
            "layer_norm_eps": self.norm_eps,
            "hidden_act": self.activation.name(),
            "hidden_dropout_prob": self.dropout,
            "attention_probs_dropout_prob": self.attention_dropout,
            "classifier_dropout": self.classifier_dropout,
            "initializer_range": self.initializer_range,
            "pad_token_id": self.pad_token,
            "position_embedding_type": "absolute",
            "torch_dtype": "float32",
        })
    }
}

/// The fields that matter, with Hugging Face's defaults.
#[derive(serde::Deserialize)]
#[serde(default)]
pub(super) struct RawBert {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    hidden_dropout_prob: f64,
    attention_probs_dropout_prob: f64,
    classifier_dropout: Option<f64>,
    initializer_range: f64,
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
}

impl Default for RawBert {
    fn default() -> RawBert {
        let bert = BertConfig::default();
        RawBert {
            vocab_size: bert.vocabulary,
            hidden_size: bert.width,
            num_hidden_layers: bert.layers,
            num_attention_heads: bert.heads,
            intermediate_size: bert.hidden,
            max_position_embeddings: bert.positions,
            type_vocab_size: bert.types,
            layer_norm_eps: bert.norm_eps,
            hidden_act: bert.activation.name().to_owned(),
            hidden_dropout_prob: bert.dropout,
            attention_probs_dropout_prob: bert.attention_dropout,
            classifier_dropout: bert.classifier_dropout,
            initializer_range: bert.initializer_range,
            pad_token_id: bert.pad_token,
            position_embedding_type: None,
            is_decoder: None,
        }
    }
}

impl RawBert {
    pub(super) fn check(self, path: &Path) -> Result<BertConfig> {
        let fields = Fields { path };
        let width = fields.count("hidden_size", self.hidden_size, WIDTH_LIMIT)?;
        let heads = fields.divisor("num_attention_heads", self.num_attention_heads, width)?;
        let activation = fields.activation("hidden_act", &self.hidden_act)?;
        if let Some(kind) = self.position_embedding_type.filter(|kind| kind != "absolute") {
            return Err(fields.unsupported("position_embedding_type", kind, &["absolute"]));
        }
        fields.fixed("is_decoder", self.is_decoder, false)?;
        let vocabulary = fields.count("vocab_size", self.vocab_size, VOCABULARY_LIMIT)?;
        // Some files say -1 or nothing; a padding token outside the vocabulary could never be looked up.
        if let Some(pad) = self.pad_token_id.filter(|&pad| pad as usize >= vocabulary) {
            return Err(fields.range("pad_token_id", format!("below {vocabulary}"), pad.to_string()));
        }
        Ok(BertConfig {
            vocabulary,
            width,
            layers: fields.count("num_hidden_layers", self.num_hidden_layers, LAYERS_LIMIT)?,
            heads,
            hidden: fields.count("intermediate_size", self.intermediate_size, WIDTH_LIMIT * 4)?,
            positions: fields.count(
                "max_position_embeddings",
                self.max_position_embeddings,
                POSITIONS_LIMIT,
            )?,
            types: fields.count("type_vocab_size", self.type_vocab_size, POSITIONS_LIMIT)?,
            norm_eps: fields.real("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0)?,
            activation,
            dropout: fields.real("hidden_dropout_prob", self.hidden_dropout_prob, 0.0, 1.0)?,
            attention_dropout: fields.real(
                "attention_probs_dropout_prob",
                self.attention_probs_dropout_prob,
                0.0,
                1.0,
            )?,
            classifier_dropout: match self.classifier_dropout {
                Some(got) => Some(fields.real("classifier_dropout", got, 0.0, 1.0)?),
                None => None,
            },
            initializer_range: fields.real("initializer_range", self.initializer_range, 0.0, 10.0)?,
            pad_token: self.pad_token_id,
        })
    }
}
