//! The architecture of a model, from Hugging Face's `config.json` and back.
//!
//! Fields that this crate does not use are ignored, because the file carries many; a field that changes the
//! computation and has a value that is not implemented is refused.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::map;

/// The file name in a model folder.
pub const FILE: &str = "config.json";

/// The longest config that is read, in bytes (label lists can be long).
pub const CONFIG_LIMIT: u64 = 16 << 20;

/// The largest vocabulary, in tokens.
pub const VOCABULARY_LIMIT: usize = 1 << 22;
/// The largest width of a layer, in numbers.
pub const WIDTH_LIMIT: usize = 1 << 16;
/// The largest number of layers.
pub const LAYERS_LIMIT: usize = 1 << 12;
/// The largest number of positions and of token types.
pub const POSITIONS_LIMIT: usize = 1 << 20;

/// The model types that can be read.
pub const KNOWN: &[&str] = &["bert"];

/// A nonlinearity, by the names in `hidden_act`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// `gelu`: exact, by the error function.
    Gelu,
    /// `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`: by the hyperbolic tangent.
    GeluTanh,
    /// `relu`.
    Relu,
    /// `silu`, `swish`.
    Silu,
    /// `tanh`.
    Tanh,
}

impl Activation {
    const NAMES: &[&str] =
        &["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "silu", "swish", "tanh"];

    fn parse(name: &str) -> Option<Activation> {
        Some(match name {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "silu" | "swish" => Activation::Silu,
            "tanh" => Activation::Tanh,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_new",
            Activation::Relu => "relu",
            Activation::Silu => "silu",
            Activation::Tanh => "tanh",
        }
    }
}

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

/// The architecture of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelConfig {
    /// A BERT encoder.
    Bert(BertConfig),
}

impl ModelConfig {
    /// The name used in `model_type` and in manifests.
    pub fn architecture(&self) -> &'static str {
        match self {
            ModelConfig::Bert(_) => "bert",
        }
    }

    /// The file that Hugging Face's loader reads; [`parse`] gives back an equal config.
    pub fn hf_json(&self) -> Value {
        match self {
            ModelConfig::Bert(bert) => bert.hf_json(),
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

/// Reads the `config.json` of the model folder `dir`.
///
/// # Errors
/// As [`parse`], and [`Error::Read`].
pub fn read(dir: &Path) -> Result<ModelConfig> {
    let path = dir.join(FILE);
    parse(&path, &map::read_text(&path, "the config", CONFIG_LIMIT)?)
}

/// Parses the text of a `config.json`; `path` stands for the file in errors.
///
/// # Errors
/// [`Error::Json`]; [`Error::UnknownModel`] for an architecture that is not implemented; [`Error::Unsupported`] and
/// [`Error::OutOfRange`] for settings.
pub fn parse(path: &Path, text: &str) -> Result<ModelConfig> {
    let kind: RawKind = serde_json::from_str(text).map_err(Error::json(path))?;
    let architecture = kind.architectures.into_iter().flatten().next();
    // Files written before `model_type` existed name only the class.
    match (kind.model_type.as_deref(), architecture.as_deref()) {
        (Some("bert"), _) => {}
        (None, Some(class)) if class.starts_with("Bert") => {}
        (model, class) => {
            let model = model.or(class).unwrap_or("(none)").to_owned();
            return Err(Error::UnknownModel { path: path.to_owned(), model, known: KNOWN });
        }
    }
    let raw: RawBert = serde_json::from_str(text).map_err(Error::json(path))?;
    raw.check(path).map(ModelConfig::Bert)
}

#[derive(serde::Deserialize)]
struct RawKind {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
}

/// The fields that matter, with Hugging Face's defaults.
#[derive(serde::Deserialize)]
#[serde(default)]
struct RawBert {
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
    fn check(self, path: &Path) -> Result<BertConfig> {
        let range = |field, expected: String, got: String| Error::OutOfRange {
            path: path.to_owned(),
            field,
            expected,
            got,
        };
        let count = |field, got: usize, limit: usize| match got {
            got if (1..=limit).contains(&got) => Ok(got),
            got => Err(range(field, format!("1 to {limit}"), got.to_string())),
        };
        let real = |field, got: f64, low: f64, high: f64| match got {
            got if (low..high).contains(&got) => Ok(got),
            got => Err(range(field, format!("{low} to {high}"), got.to_string())),
        };
        let unsupported =
            |field, got: String, known| Error::Unsupported { path: path.to_owned(), field, got, known };

        let width = count("hidden_size", self.hidden_size, WIDTH_LIMIT)?;
        let heads = count("num_attention_heads", self.num_attention_heads, width)?;
        if !width.is_multiple_of(heads) {
            return Err(range("num_attention_heads", format!("a divisor of {width}"), heads.to_string()));
        }
        let activation = Activation::parse(&self.hidden_act)
            .ok_or_else(|| unsupported("hidden_act", self.hidden_act.clone(), Activation::NAMES))?;
        if let Some(kind) = self.position_embedding_type.filter(|kind| kind != "absolute") {
            return Err(unsupported("position_embedding_type", kind, &["absolute"]));
        }
        if self.is_decoder == Some(true) {
            return Err(unsupported("is_decoder", "true".to_owned(), &["false"]));
        }
        let vocabulary = count("vocab_size", self.vocab_size, VOCABULARY_LIMIT)?;
        // Some files say -1 or nothing; a padding token outside the vocabulary could never be looked up.
        if let Some(pad) = self.pad_token_id.filter(|&pad| pad as usize >= vocabulary) {
            return Err(range("pad_token_id", format!("below {vocabulary}"), pad.to_string()));
        }
        Ok(BertConfig {
            vocabulary,
            width,
            layers: count("num_hidden_layers", self.num_hidden_layers, LAYERS_LIMIT)?,
            heads,
            hidden: count("intermediate_size", self.intermediate_size, WIDTH_LIMIT * 4)?,
            positions: count("max_position_embeddings", self.max_position_embeddings, POSITIONS_LIMIT)?,
            types: count("type_vocab_size", self.type_vocab_size, POSITIONS_LIMIT)?,
            norm_eps: real("layer_norm_eps", self.layer_norm_eps, 0.0, 1.0)?,
            activation,
            dropout: real("hidden_dropout_prob", self.hidden_dropout_prob, 0.0, 1.0)?,
            attention_dropout: real(
                "attention_probs_dropout_prob",
                self.attention_probs_dropout_prob,
                0.0,
                1.0,
            )?,
            classifier_dropout: match self.classifier_dropout {
                Some(got) => Some(real("classifier_dropout", got, 0.0, 1.0)?),
                None => None,
            },
            initializer_range: real("initializer_range", self.initializer_range, 0.0, 10.0)?,
            pad_token: self.pad_token_id,
        })
    }
}
