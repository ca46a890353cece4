//! LoRA adapters in the layout of Hugging Face's PEFT: a config and a file of tensors, without the model they belong to.
//!
//! ```text
//! adapter_config.json          {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["query"], ...}
//! adapter_model.safetensors    base_model.model.MODULE.lora_A.weight (r x I), .lora_B.weight (O x r)
//! ```

pub mod prefix;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::map;
use crate::pipeline::SETTINGS_LIMIT;

/// The config's name.
pub const CONFIG: &str = "adapter_config.json";
/// The tensors' name.
pub const TENSORS: &str = "adapter_model.safetensors";
/// What stands before every module's name.
pub const PREFIX: &str = "base_model.model.";
/// The largest rank that is read.
const RANK_LIMIT: u64 = 1 << 16;

/// Settings that say how an adapter came about or how it trains, and nothing of what it does.
const HARMLESS: [&str; 17] = [
    "auto_mapping",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];
/// Settings that are read below.
const READ: [&str; 12] = [
    "alpha_pattern",
    "base_model_name_or_path",
    "bias",
    "fan_in_fan_out",
    "init_lora_weights",
    "lora_alpha",
    "modules_to_save",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_rslora",
];

/// What is wrong with an adapter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterFault {
    /// A setting that is not known and does not stand at nothing.
    #[error(
        "{}: {key} = {got} is not supported; merge the adapter into its model with PEFT and load the result", .path.display()
    )]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// Its value.
        got: String,
    },
}

/// What a config says of a LoRA adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// r, where no pattern says otherwise.
    pub rank: usize,
    /// Numerator of the scaling, where no pattern says otherwise.
    pub alpha: f64,
    /// Whether the scaling divides by the root of the rank.
    pub root: bool,
    /// Ranks of modules whose name is, or ends with, the key.
    pub ranks: BTreeMap<String, usize>,
    /// Numerators likewise.
    pub alphas: BTreeMap<String, f64>,
    /// The modules that have a product, by name or end of name.
    pub targets: Vec<String>,
    /// Modules that are stored whole, by name or end of name.
    pub saved: Vec<String>,
    /// Whether the base keeps matrices transposed, as GPT-2 does.
    pub transposed: bool,
    /// The model that it belongs to.
    pub base: Option<String>,
    /// What the model does, in PEFT's words.
    pub task: Option<String>,
}

impl LoraConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for adapters of other kinds and for settings that change what an adapter does and are not
    /// implemented; [`Error::OutOfRange`], [`Error::Json`], [`Error::Read`].
    pub fn read(path: &Path) -> Result<LoraConfig> {
        let text = map::read(path, "an adapter's config", SETTINGS_LIMIT)?;
        let found: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        let fields = Fields { path, found: &found };
        fields.known()?;
        Ok(LoraConfig {
            rank: fields.rank("r", found.get("r").unwrap_or(&Value::Null))?,
            alpha: fields.number("lora_alpha", found.get("lora_alpha").unwrap_or(&json!(8)))?,
            root: found.get("use_rslora") == Some(&Value::Bool(true)),
            ranks: fields.pattern("rank_pattern", Fields::rank)?,
            alphas: fields.pattern("alpha_pattern", Fields::number)?,
            targets: fields.names("target_modules")?,
            saved: fields.names("modules_to_save")?,
            transposed: found.get("fan_in_fan_out") == Some(&Value::Bool(true)),
            base: found.get("base_model_name_or_path").and_then(Value::as_str).map(str::to_owned),
            task: found.get("task_type").and_then(Value::as_str).map(str::to_owned),
        })
    }

    /// The factor of the product of a module whose factors have this rank.
    pub fn scale(&self, module: &str, rank: usize) -> f64 {
        let alpha =
            self.alphas.iter().find(|(key, _)| names(key, module)).map_or(self.alpha, |(_, alpha)| *alpha);
        let rank = rank.max(1) as f64;
        alpha / if self.root { rank.sqrt() } else { rank }
    }

    /// The config as PEFT writes it, as far as it is not left at its default.
    pub fn to_json(&self) -> Value {
        json!({
            "peft_type": "LORA",
            "task_type": self.task,
            "base_model_name_or_path": self.base,
            "inference_mode": true,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "use_rslora": self.root,
            "rank_pattern": self.ranks,
            "alpha_pattern": self.alphas,
            "target_modules": self.targets,
            "modules_to_save": if self.saved.is_empty() { Value::Null } else { json!(self.saved) },
            "fan_in_fan_out": self.transposed,
            "bias": "none",
            "lora_dropout": 0.0,
            "init_lora_weights": true,
        })
    }
}

/// Whether a key of a pattern or list names a module: its whole name or the last parts of it.
fn names(key: &str, module: &str) -> bool {
    module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Checks of the settings of one file.
struct Fields<'a> {
    path: &'a Path,
    found: &'a Map<String, Value>,
}

impl Fields<'_> {
    /// Every setting that is not read must say nothing.
    fn known(&self) -> Result<()> {
        let text = |key: &str| self.found.get(key).and_then(Value::as_str);
        match text("peft_type") {
            Some("LORA") => {}
            other => return Err(self.unsupported("peft_type", other.unwrap_or("nothing"), &["LORA"])),
        }
        if let Some(bias) = text("bias").filter(|bias| *bias != "none") {
            return Err(self.unsupported("bias", bias, &["none"]));
        }
        // Other beginnings change the base when the adapter is loaded.
        match self.found.get("init_lora_weights") {
            None | Some(Value::Bool(_) | Value::Null) => {}
            Some(Value::String(word)) if word == "gaussian" => {}
            Some(other) => {
                return Err(self.unsupported(
                    "init_lora_weights",
                    &other.to_string(),
                    &["true", "false", "gaussian"],
                ));
            }
        }
        let silent = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        for (key, value) in self.found {
            let known = READ.contains(&key.as_str()) || HARMLESS.contains(&key.as_str());
            if !known && !silent(value) {
                let (path, key, got) = (self.path.to_owned(), key.clone(), value.to_string());
                return Err(AdapterFault::Setting { path, key, got }.into());
            }
        }
        Ok(())
    }

    fn rank(&self, field: &'static str, value: &Value) -> Result<usize> {
        let rank = value.as_u64().filter(|rank| (1..=RANK_LIMIT).contains(rank));
        rank.map(|rank| rank as usize).ok_or_else(|| self.range(field, "a rank from 1 to 65536", value))
    }

    fn number(&self, field: &'static str, value: &Value) -> Result<f64> {
        let number = value.as_f64().filter(|number| number.is_finite());
        number.ok_or_else(|| self.range(field, "a number", value))
    }

    fn pattern<T>(
        &self,
        field: &'static str,
        of: fn(&Self, &'static str, &Value) -> Result<T>,
    ) -> Result<BTreeMap<String, T>> {
        let Some(Value::Object(map)) = self.found.get(field) else { return Ok(BTreeMap::new()) };
        let entry = |(key, value): (&String, &Value)| {
            self.plain(field, key)?;
            Ok((key.clone(), of(self, field, value)?))
        };
        map.iter().map(entry).collect()
    }

    fn names(&self, field: &'static str) -> Result<Vec<String>> {
        match self.found.get(field) {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .map(|name| match name.as_str() {
                    Some(name) => Ok(name.to_owned()),
                    None => Err(self.range(field, "names of modules", name)),
                })
                .collect(),
            // A text is a pattern over whole names; the tensors say which modules it meant.
            Some(Value::String(_)) => Ok(Vec::new()),
            Some(other) => Err(self.range(field, "names of modules", other)),
        }
    }

    /// Keys may be regular expressions in PEFT; plain names are all that is read.
    fn plain(&self, field: &'static str, key: &str) -> Result<()> {
        let plain = key.chars().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '_' | '-' | '.'));
        if plain { Ok(()) } else { Err(self.unsupported(field, key, &["names and ends of names"])) }
    }

    fn range(&self, field: &'static str, expected: &str, got: &Value) -> Error {
        let (path, expected, got) = (self.path.to_owned(), expected.to_owned(), got.to_string());
        Error::OutOfRange { path, field, expected, got }
    }

    fn unsupported(&self, field: &'static str, got: &str, known: &'static [&'static str]) -> Error {
        Error::Unsupported { path: self.path.to_owned(), field, got: got.to_owned(), known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LoraConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        std::fs::write(&path, text).unwrap();
        LoraConfig::read(&path)
    }

    #[test]
    fn scales_follow_patterns_by_ends_of_names() {
        let config = read(
            r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "alpha_pattern": {"layer.1.query": 4, "value": 2},
                "target_modules": ["query", "value"], "use_dora": false, "some_new_setting": null}"#,
        )
        .unwrap();
        assert_eq!(config.scale("encoder.layer.1.query", 8), 0.5);
        assert_eq!(config.scale("encoder.layer.11.query", 8), 2.0);
        assert_eq!(config.scale("encoder.layer.1.value", 4), 0.5);
        let root = LoraConfig { root: true, ..config };
        assert_eq!(root.scale("encoder.layer.11.query", 16), 4.0);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let config = LoraConfig {
            rank: 4,
            alpha: 6.5,
            root: true,
            ranks: BTreeMap::from([("query".to_owned(), 2)]),
            alphas: BTreeMap::from([("a.b".to_owned(), 3.0)]),
            targets: vec!["query".to_owned()],
            saved: vec!["classifier".to_owned()],
            transposed: false,
            base: Some("x/y".to_owned()),
            task: None,
        };
        assert_eq!(read(&config.to_json().to_string()).unwrap(), config);
    }

    #[test]
    fn what_would_change_the_result_is_refused_by_name() {
        for (more, word) in [
            (r#""use_dora": true"#, "use_dora"),
            (r#""lora_bias": true"#, "lora_bias"),
            (r#""bias": "all""#, "bias = all"),
            (r#""init_lora_weights": "pissa""#, "init_lora_weights"),
            (r#""rank_pattern": {".*query": 4}"#, "rank_pattern"),
            (r#""r": 0"#, "r is 0"),
            (r#""lora_alpha": "x""#, "lora_alpha"),
            (r#""a_setting_of_tomorrow": 3"#, "a_setting_of_tomorrow"),
        ] {
            let text = format!(r#"{{"peft_type": "LORA", "r": 8, {more}}}"#);
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        assert!(read(r#"{"peft_type": "IA3"}"#).unwrap_err().to_string().contains("peft_type = IA3"));
        assert!(read("{").is_err() && read("[]").is_err());
    }
}
