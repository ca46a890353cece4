//! The architecture of a model, from Hugging Face's `config.json` and back.
//!
//! Fields that this crate does not use are ignored, because the file carries many; a field that changes the
//! computation and has a value that is not implemented is refused.

mod bert;
mod field;
mod gpt2;
mod llama;
mod t5;

use std::path::Path;

pub use bert::BertConfig;
pub use gpt2::Gpt2Config;
pub use llama::LlamaConfig;
use serde_json::Value;
pub use t5::T5Config;

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
pub const KNOWN: &[&str] = &["bert", "gpt2", "llama", "mistral", "t5"];

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
    pub(crate) const NAMES: &[&str] =
        &["gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "relu", "silu", "swish", "tanh"];

    pub(crate) fn parse(name: &str) -> Option<Activation> {
        Some(match name {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "silu" | "swish" => Activation::Silu,
            "tanh" => Activation::Tanh,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_new",
            Activation::Relu => "relu",
            Activation::Silu => "silu",
            Activation::Tanh => "tanh",
        }
    }
}

/// The architecture of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelConfig {
    /// A BERT encoder.
    Bert(BertConfig),
    /// A GPT-2 decoder.
    Gpt2(Gpt2Config),
    /// A LLaMA decoder, or one of its layout by another name.
    Llama(LlamaConfig),
    /// A T5 encoder-decoder.
    T5(T5Config),
}

impl ModelConfig {
    /// The name used in `model_type` and in manifests.
    pub fn architecture(&self) -> &'static str {
        match self {
            ModelConfig::Bert(_) => "bert",
            ModelConfig::Gpt2(_) => "gpt2",
            ModelConfig::Llama(_) => "llama",
            ModelConfig::T5(_) => "t5",
        }
    }

    /// The same model with another number of layers; nothing for an architecture whose layers are no single stack.
    pub fn with_layers(&self, layers: usize) -> Option<Self> {
        Some(match self {
            ModelConfig::Bert(bert) => ModelConfig::Bert(BertConfig { layers, ..bert.clone() }),
            ModelConfig::Gpt2(gpt2) => ModelConfig::Gpt2(Gpt2Config { layers, ..gpt2.clone() }),
            ModelConfig::Llama(llama) => ModelConfig::Llama(LlamaConfig { layers, ..llama.clone() }),
            ModelConfig::T5(_) => return None,
        })
    }

    /// The file that Hugging Face's loader reads; [`parse`] gives back an equal config.
    pub fn hf_json(&self) -> Value {
        match self {
            ModelConfig::Bert(bert) => bert.hf_json(),
            ModelConfig::Gpt2(gpt2) => gpt2.hf_json(),
            ModelConfig::Llama(llama) => llama.hf_json(),
            ModelConfig::T5(t5) => t5.hf_json(),
        }
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
    let class = kind.architectures.into_iter().flatten().next();
    // Files written before `model_type` existed name only the class.
    let by_class = |class: &str| match class {
        class if class.starts_with("Bert") => Some("bert"),
        class if class.starts_with("GPT2") => Some("gpt2"),
        class if class.starts_with("Llama") => Some("llama"),
        class if class.starts_with("T5") => Some("t5"),
        _ => None,
    };
    let model = kind.model_type.as_deref().or_else(|| class.as_deref().and_then(by_class));
    let bad = Error::json(path);
    match model {
        Some("bert") => {
            let raw: bert::RawBert = serde_json::from_str(text).map_err(bad)?;
            raw.check(path).map(ModelConfig::Bert)
        }
        Some("gpt2") => {
            let raw: gpt2::RawGpt2 = serde_json::from_str(text).map_err(bad)?;
            raw.check(path).map(ModelConfig::Gpt2)
        }
        // The same layers under the same names, as long as no window limits attention.
        Some("llama" | "mistral") => {
            let raw: llama::RawLlama = serde_json::from_str(text).map_err(bad)?;
            raw.check(path).map(ModelConfig::Llama)
        }
        Some("t5") => {
            let raw: t5::RawT5 = serde_json::from_str(text).map_err(bad)?;
            raw.check(path).map(ModelConfig::T5)
        }
        other => {
            let model = other.or(class.as_deref()).unwrap_or("(none)").to_owned();
            Err(Error::UnknownModel { path: path.to_owned(), model, known: KNOWN })
        }
    }
}

#[derive(serde::Deserialize)]
struct RawKind {
    model_type: Option<String>,
    architectures: Option<Vec<String>>,
}
