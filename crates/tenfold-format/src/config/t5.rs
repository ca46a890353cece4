//! T5: a pre-norm encoder and a decoder that reads it, with relative positions.

use std::path::Path;

use serde_json::{Value, json};

use super::field::{Fields, token_value};
use super::{Activation, LAYERS_LIMIT, POSITIONS_LIMIT, VOCABULARY_LIMIT, WIDTH_LIMIT};
use crate::error::Result;

/// The word before the name of a gate's nonlinearity.
const GATED: &str = "gated";

/// The architecture of a T5 encoder-decoder; [`Default`] is Hugging Face's (the smallest published model).
#[derive(Clone, Debug, PartialEq)]
pub struct T5Config {
    /// V, tokens in the vocabulary of both halves.
    pub vocabulary: usize,
    /// D, width of a token's vector.
    pub width: usize,
    /// Layers of the encoder.
    pub layers: usize,
    /// Layers of the decoder.
    pub decoder_layers: usize,
    /// H, attention heads.
    pub heads: usize,
    /// K, columns of a head; H K need not be D.
    pub head_width: usize,
    /// F, width of the hidden layer of the feed-forward part.
    pub hidden: usize,
    /// Rows of a table of biases by distance.
    pub buckets: usize,
    /// The distance from which on all share a row, about, in tokens.
    pub farthest: usize,
    /// The length to which texts and answers are cut, in tokens. Positions are relative, so longer ones can be read, too.
    pub positions: usize,
    /// Added to the mean square in norms.
    pub norm_eps: f64,
    /// The nonlinearity of the feed-forward part, or of its gate.
    pub activation: Activation,
    /// Whether the feed-forward part has a gate (versions from 1.1 on).
    pub gated: bool,
    /// Dropout of what blocks add to the stream in training, in [0, 1).
    pub dropout: f64,
    /// What the standard deviations of fresh weights are multiplied with.
    pub initializer_factor: f64,
    /// Whether the output matrix is the table of token vectors.
    pub tied: bool,
    /// Whether last hidden states are divided by sqrt D before the output matrix.
    pub scaled: bool,
    /// The token that a decoder's text begins with.
    pub start_token: u32,
    /// Tokens that end a text.
    pub end_tokens: Vec<u32>,
}

impl Default for T5Config {
    fn default() -> T5Config {
        T5Config {
            vocabulary: 32128,
            width: 512,
            layers: 6,
            decoder_layers: 6,
            heads: 8,
            head_width: 64,
            hidden: 2048,
            buckets: 32,
            farthest: 128,
            positions: 512,
            norm_eps: 1e-6,
            activation: Activation::Relu,
            gated: false,
            dropout: 0.1,
            initializer_factor: 1.0,
            tied: true,
            scaled: true,
            start_token: 0,
            end_tokens: vec![1],
        }
    }
}

impl T5Config {
    /// The file that Hugging Face's loader reads.
    pub fn hf_json(&self) -> Value {
        let feed_forward = match (self.gated, self.activation) {
            (false, activation) => activation.name().to_owned(),
            // By this name it means the approximation.
            (true, Activation::GeluTanh) => format!("{GATED}-gelu"),
            (true, activation) => format!("{GATED}-{}", activation.name()),
        };
        json!({
            "architectures": ["T5ForConditionalGeneration"],
            "model_type": "t5",
            "is_encoder_decoder": true,
            "vocab_size": self.vocabulary,
            "d_model": self.width,
            "num_layers": self.layers,
            "num_decoder_layers": self.decoder_layers,
            "num_heads": self.heads,
            "d_kv": self.head_width,
            "d_ff": self.hidden,
            "relative_attention_num_buckets": self.buckets,
            "relative_attention_max_distance": self.farthest,
            "n_positions": self.positions,
            "layer_norm_epsilon": self.norm_eps,
            "feed_forward_proj": feed_forward,
            "dropout_rate": self.dropout,
            "initializer_factor": self.initializer_factor,
            "tie_word_embeddings": self.tied,
            "scale_decoder_outputs": self.scaled,
            "decoder_start_token_id": self.start_token,
            "eos_token_id": token_value(&self.end_tokens),
            "torch_dtype": "float32",
        })
    }
}

/// The fields that matter, with Hugging Face's defaults.
#[derive(serde::Deserialize)]
#[serde(default)]
pub(super) struct RawT5 {
    vocab_size: usize,
    d_model: usize,
    num_layers: usize,
    num_decoder_layers: Option<usize>,
    num_heads: usize,
    d_kv: usize,
    d_ff: usize,
    relative_attention_num_buckets: usize,
    relative_attention_max_distance: usize,
    n_positions: usize,
    layer_norm_epsilon: f64,
    feed_forward_proj: String,
    dropout_rate: f64,
    initializer_factor: f64,
    tie_word_embeddings: Option<bool>,
    // Where later releases of the library keep what the field above meant.
    scale_decoder_outputs: Option<bool>,
    decoder_start_token_id: Value,
    pad_token_id: Value,
    eos_token_id: Value,
    is_encoder_decoder: Option<bool>,
}

impl Default for RawT5 {
    fn default() -> RawT5 {
        let t5 = T5Config::default();
        RawT5 {
            vocab_size: t5.vocabulary,
            d_model: t5.width,
            num_layers: t5.layers,
            num_decoder_layers: None,
            num_heads: t5.heads,
            d_kv: t5.head_width,
            d_ff: t5.hidden,
            relative_attention_num_buckets: t5.buckets,
            relative_attention_max_distance: t5.farthest,
            n_positions: t5.positions,
            layer_norm_epsilon: t5.norm_eps,
            feed_forward_proj: t5.activation.name().to_owned(),
            dropout_rate: t5.dropout,
            initializer_factor: t5.initializer_factor,
            tie_word_embeddings: None,
            scale_decoder_outputs: None,
            decoder_start_token_id: Value::Null,
            pad_token_id: t5.start_token.into(),
            eos_token_id: token_value(&t5.end_tokens),
            is_encoder_decoder: None,
        }
    }
}

impl RawT5 {
    pub(super) fn check(self, path: &Path) -> Result<T5Config> {
        let fields = Fields { path };
        fields.fixed("is_encoder_decoder", self.is_encoder_decoder, true)?;
        let named = match self.feed_forward_proj.split_once('-') {
            None => (false, self.feed_forward_proj.as_str()),
            Some((GATED, "gelu")) => (true, Activation::GeluTanh.name()),
            Some((GATED, name)) => (true, name),
            Some(_) => (false, self.feed_forward_proj.as_str()),
        };
        let (gated, activation) = (named.0, fields.activation("feed_forward_proj", named.1)?);
        let vocabulary = fields.count("vocab_size", self.vocab_size, VOCABULARY_LIMIT)?;
        let layers = fields.count("num_layers", self.num_layers, LAYERS_LIMIT)?;
        let decoder_layers = self.num_decoder_layers.unwrap_or(layers);
        let heads = fields.count("num_heads", self.num_heads, WIDTH_LIMIT)?;
        let buckets = fields.count(
            "relative_attention_num_buckets",
            self.relative_attention_num_buckets,
            POSITIONS_LIMIT,
        )?;
        // The encoder halves them for keys before and after a token, and halves those for near and far ones.
        if buckets < 4 {
            let field = "relative_attention_num_buckets";
            return Err(fields.range(field, "4 or more".to_owned(), buckets.to_string()));
        }
        let farthest = fields.count(
            "relative_attention_max_distance",
            self.relative_attention_max_distance,
            POSITIONS_LIMIT,
        )?;
        if farthest <= buckets / 2 {
            let (field, near) = ("relative_attention_max_distance", buckets / 2);
            return Err(fields.range(
                field,
                format!("above {near}, half of the buckets"),
                farthest.to_string(),
            ));
        }
        let tied = self.tie_word_embeddings.unwrap_or(true);
        let start = fields.tokens("decoder_start_token_id", &self.decoder_start_token_id, vocabulary)?;
        let pad = fields.tokens("pad_token_id", &self.pad_token_id, vocabulary)?;
        let start_token = start.first().or(pad.first()).copied();
        let no_start = || fields.range("decoder_start_token_id", "a token".to_owned(), "null".to_owned());
        Ok(T5Config {
            vocabulary,
            width: fields.count("d_model", self.d_model, WIDTH_LIMIT)?,
            layers,
            decoder_layers: fields.count("num_decoder_layers", decoder_layers, LAYERS_LIMIT)?,
            heads,
            head_width: fields.count("d_kv", self.d_kv, WIDTH_LIMIT / heads)?,
            hidden: fields.count("d_ff", self.d_ff, WIDTH_LIMIT * 4)?,
            buckets,
            farthest,
            positions: fields.count("n_positions", self.n_positions, POSITIONS_LIMIT)?,
            norm_eps: fields.real("layer_norm_epsilon", self.layer_norm_epsilon, 0.0, 1.0)?,
            activation,
            gated,
            dropout: fields.real("dropout_rate", self.dropout_rate, 0.0, 1.0)?,
            initializer_factor: fields.real("initializer_factor", self.initializer_factor, 0.0, 1e3)?,
            tied,
            scaled: self.scale_decoder_outputs.unwrap_or(tied),
            start_token: start_token.ok_or_else(no_start)?,
            end_tokens: fields.tokens("eos_token_id", &self.eos_token_id, vocabulary)?,
        })
    }
}
