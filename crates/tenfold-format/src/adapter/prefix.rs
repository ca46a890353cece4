//! Prefixes (PEFT's `PREFIX_TUNING`): one tensor with the keys and values of every layer.
//!
//! ```text
//! adapter_config.json          {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 20, "num_layers": 6, "token_dim": 384, ...}
//! adapter_model.safetensors    prompt_embeddings (P x 2 L D'): key of layer 0, value of layer 0, key of layer 1, ...
//! ```

use super::AdapterFault;
use super::field::{Fields, silent};
use crate::error::{Error, Result};
use crate::map;
use crate::pipeline::SETTINGS_LIMIT;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The name of the tensor.
pub const PROMPT: &str = "prompt_embeddings";
/// What stands before the names of modules that are stored whole.
pub const WHOLE: &str = "base_model.";
/// PEFT's word for adapters of this kind.
const KIND: &str = "PREFIX_TUNING";
/// The most rows, layers, or numbers per row that are read.
const LIMIT: u64 = 1 << 20;

/// Settings that say how a prefix came about or how it trains, and nothing of what it does. The network that may have made it is
/// not stored: the tensor holds what it gave.
const HARMLESS: [&str; 10] = [
    "auto_mapping",
    "base_model_name_or_path",
    "encoder_hidden_size",
    "inference_mode",
    "init_weights",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "prefix_projection",
    "revision",
];
/// Settings that are read below.
const READ: [&str; 6] = [
    "num_attention_heads",
    "num_layers",
    "num_transformer_submodules",
    "num_virtual_tokens",
    "task_type",
    "token_dim",
];

/// What a config says of a prefix.
#[derive(Clone, Debug, PartialEq)]
pub struct PrefixConfig {
    /// P.
    pub rows: usize,
    /// L.
    pub layers: usize,
    /// D', numbers of a key.
    pub width: usize,
    /// Heads of keys.
    pub heads: usize,
    /// Modules that are stored whole, by name or end of name.
    pub saved: Vec<String>,
    /// The model that it belongs to.
    pub base: Option<String>,
    /// What the model does, in PEFT's words.
    pub task: Option<String>,
}

impl PrefixConfig {
    /// Reads a config; nothing where it is of an adapter of another kind.
    ///
    /// # Errors
    /// [`Error::Unsupported`] and [`AdapterFault::Setting`] for settings that change what a prefix does and are not implemented;
    /// [`Error::OutOfRange`], [`Error::Json`], [`Error::Read`].
    pub fn read(path: &Path) -> Result<Option<PrefixConfig>> {
        let text = map::read(path, "an adapter's config", SETTINGS_LIMIT)?;
        let found: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        if found.get("peft_type").and_then(Value::as_str) != Some(KIND) {
            return Ok(None);
        }
        let fields = Fields { path, found: &found };
        for (key, value) in &found {
            let known = READ.contains(&key.as_str()) || HARMLESS.contains(&key.as_str());
            if !known && !silent(value) {
                let (path, key, got) = (path.to_owned(), key.clone(), value.to_string());
                return Err(AdapterFault::Setting { path, key, got }.into());
            }
        }
        // Two would be an encoder and a decoder.
        match found.get("num_transformer_submodules") {
            None | Some(Value::Null) => {}
            Some(value) if value.as_u64() == Some(1) => {}
            Some(other) => {
                return Err(fields.unsupported("num_transformer_submodules", &other.to_string(), &["1"]));
            }
        }
        let count = |field: &'static str| {
            let value = found.get(field).unwrap_or(&Value::Null);
            let count = value.as_u64().filter(|count| (1..=LIMIT).contains(count));
            count
                .map(|count| count as usize)
                .ok_or_else(|| fields.range(field, "a whole number from 1 to 1048576", value))
        };
        Ok(Some(PrefixConfig {
            rows: count("num_virtual_tokens")?,
            layers: count("num_layers")?,
            width: count("token_dim")?,
            heads: count("num_attention_heads")?,
            saved: fields.names("modules_to_save")?,
            base: fields.text("base_model_name_or_path").map(str::to_owned),
            task: fields.text("task_type").map(str::to_owned),
        }))
    }

    /// The config as PEFT writes it.
    pub fn to_json(&self) -> Value {
        json!({
            "peft_type": KIND,
            "task_type": self.task,
            "base_model_name_or_path": self.base,
            "inference_mode": true,
            "num_virtual_tokens": self.rows,
            "num_layers": self.layers,
            "token_dim": self.width,
            "num_attention_heads": self.heads,
            "num_transformer_submodules": 1,
            "encoder_hidden_size": self.width,
            "prefix_projection": false,
            "modules_to_save": if self.saved.is_empty() { Value::Null } else { json!(self.saved) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::CONFIG;
    use super::*;

    fn read(text: &str) -> Result<Option<PrefixConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        std::fs::write(&path, text).unwrap();
        PrefixConfig::read(&path)
    }

    fn with(more: &str) -> String {
        format!(
            r#"{{"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 3, "num_layers": 2, "token_dim": 24,
                "num_attention_heads": 3{more}}}"#
        )
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = PrefixConfig {
            rows: 3,
            layers: 2,
            width: 24,
            heads: 3,
            saved: vec!["classifier".to_owned()],
            base: Some("x/y".to_owned()),
            task: None,
        };
        assert_eq!(read(&config.to_json().to_string()).unwrap(), Some(config));
        assert_eq!(read(r#"{"peft_type": "LORA"}"#).unwrap(), None);
    }

    #[test]
    fn what_would_change_the_result_is_refused_by_name() {
        assert!(read(&with(r#", "prefix_projection": true, "a_new_setting": null"#)).unwrap().is_some());
        for (text, word) in [
            (with(r#", "num_transformer_submodules": 2"#), "num_transformer_submodules = 2"),
            (with(r#", "a_setting_of_tomorrow": 3"#), "a_setting_of_tomorrow"),
            (with("").replace(": 3,", ": 0,"), "num_virtual_tokens is 0"),
            (with("").replace("\"num_layers\": 2, ", ""), "num_layers"),
            (with("").replace(": 24", ": \"x\""), "token_dim"),
        ] {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
    }
}
