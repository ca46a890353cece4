//! Adapters in the layout of Hugging Face's PEFT: a config and a file of tensors, without the model they belong to.
//!
//! ```text
//! adapter_config.json          {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["query"], ...}
//! adapter_model.safetensors    base_model.model.MODULE.lora_A.weight (r x I), .lora_B.weight (O x r),
//!                              .lora_magnitude_vector (O) with "use_dora"; with "peft_type": "IA3"
//!                              base_model.model.MODULE.ia3_l (O x 1, or 1 x I for "feedforward_modules")
//! ```

mod field;
mod ia3;
mod lora;
pub mod prefix;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::map;
use crate::pipeline::SETTINGS_LIMIT;
use field::Fields;
pub use ia3::Ia3Config;
pub use lora::LoraConfig;

/// The config's name.
pub const CONFIG: &str = "adapter_config.json";
/// The tensors' name.
pub const TENSORS: &str = "adapter_model.safetensors";
/// What stands before every module's name.
pub const PREFIX: &str = "base_model.model.";

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

/// What a config says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum AdapterConfig {
    /// Low-rank products beside matrices.
    Lora(LoraConfig),
    /// Vectors that stretch outputs or inputs.
    Ia3(Ia3Config),
}

/// What configs of every kind say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Common {
    /// The modules that the adapter changes, by name or end of name; empty where a pattern says so.
    pub targets: Vec<String>,
    /// Whether every module that a target names is changed; some layers can be left out.
    pub whole: bool,
    /// Modules that are stored whole, by name or end of name.
    pub saved: Vec<String>,
    /// Whether the base keeps matrices transposed, as GPT-2 does.
    pub transposed: bool,
    /// The model that it belongs to.
    pub base: Option<String>,
    /// What the model does, in PEFT's words.
    pub task: Option<String>,
}

impl AdapterConfig {
    /// Reads a config.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for adapters of other kinds and, with [`Error::Adapter`], for settings that change what an
    /// adapter does and are not implemented; [`Error::OutOfRange`], [`Error::Json`], [`Error::Read`].
    pub fn read(path: &Path) -> Result<AdapterConfig> {
        let text = map::read(path, "an adapter's config", SETTINGS_LIMIT)?;
        let found: Map<String, Value> =
            serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.to_owned(), source })?;
        let fields = Fields { path, found: &found };
        match fields.text("peft_type") {
            Some("LORA") => LoraConfig::of(&fields).map(AdapterConfig::Lora),
            Some("IA3") => Ia3Config::of(&fields).map(AdapterConfig::Ia3),
            other => Err(fields.unsupported("peft_type", other.unwrap_or("nothing"), &["LORA", "IA3"])),
        }
    }

    /// What configs of every kind say.
    pub fn common(&self) -> &Common {
        match self {
            AdapterConfig::Lora(config) => &config.common,
            AdapterConfig::Ia3(config) => &config.common,
        }
    }

    /// The config as PEFT writes it, as far as it is not left at its default.
    pub fn to_json(&self) -> Value {
        match self {
            AdapterConfig::Lora(config) => config.to_json(),
            AdapterConfig::Ia3(config) => config.to_json(),
        }
    }
}

impl Common {
    /// Whether the adapter must have tensors for a module.
    pub fn covers(&self, module: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|key| names(key, module));
        self.whole
            && named(&self.targets)
            && !self.saved.iter().any(|key| module.split('.').any(|part| part == key))
    }

    /// The settings by their names in PEFT.
    fn to_json(&self) -> Map<String, Value> {
        let saved = (!self.saved.is_empty()).then_some(&self.saved);
        let settings = [
            ("task_type", Value::from(self.task.clone())),
            ("base_model_name_or_path", Value::from(self.base.clone())),
            ("inference_mode", Value::Bool(true)),
            ("target_modules", Value::from(self.targets.clone())),
            ("modules_to_save", saved.map_or(Value::Null, |saved| Value::from(saved.clone()))),
            ("fan_in_fan_out", Value::Bool(self.transposed)),
        ];
        settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }
}

/// Whether a key of a pattern or list names a module: its whole name or the last parts of it.
fn names(key: &str, module: &str) -> bool {
    module.strip_suffix(key).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn read(text: &str) -> Result<AdapterConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(CONFIG);
        std::fs::write(&path, text).unwrap();
        AdapterConfig::read(&path)
    }

    fn common() -> Common {
        Common {
            targets: vec!["query".to_owned()],
            whole: true,
            saved: vec!["classifier".to_owned()],
            transposed: false,
            base: Some("x/y".to_owned()),
            task: None,
        }
    }

    #[test]
    fn scales_follow_patterns_by_ends_of_names() {
        let config = read(
            r#"{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "alpha_pattern": {"layer.1.query": 4, "value": 2},
                "target_modules": ["query", "value"], "use_dora": false, "some_new_setting": null}"#,
        );
        let AdapterConfig::Lora(config) = config.unwrap() else { panic!("another kind") };
        assert_eq!(config.scale("encoder.layer.1.query", 8), 0.5);
        assert_eq!(config.scale("encoder.layer.11.query", 8), 2.0);
        assert_eq!(config.scale("encoder.layer.1.value", 4), 0.5);
        let root = LoraConfig { root: true, ..config };
        assert_eq!(root.scale("encoder.layer.11.query", 16), 4.0);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let lora = LoraConfig {
            common: common(),
            rank: 4,
            alpha: 6.5,
            root: true,
            magnitude: true,
            ranks: BTreeMap::from([("query".to_owned(), 2)]),
            alphas: BTreeMap::from([("a.b".to_owned(), 3.0)]),
        };
        let ia3 = Ia3Config { common: common(), inputs: vec!["output.dense".to_owned()] };
        for config in [AdapterConfig::Lora(lora), AdapterConfig::Ia3(ia3)] {
            assert_eq!(read(&config.to_json().to_string()).unwrap(), config);
        }
    }

    #[test]
    fn modules_are_covered_by_ends_of_names_unless_stored_whole_or_left_out() {
        let of = |more: &str| {
            let text = format!(r#"{{"peft_type": "IA3", "target_modules": ["dense", "a.key"]{more}}}"#);
            read(&text).unwrap().common().clone()
        };
        let plain = of("");
        assert!(plain.covers("x.a.key") && plain.covers("pooler.dense") && !plain.covers("x.key"));
        assert!(!of(r#", "modules_to_save": ["pooler"]"#).covers("pooler.dense"));
        assert!(!of(r#", "exclude_modules": ["x.dense"]"#).covers("dense"));
    }

    #[test]
    fn what_would_change_the_result_is_refused_by_name() {
        let refused = |kind: &str, more: &str| {
            let text = format!(r#"{{"peft_type": "{kind}", "r": 8, {more}}}"#);
            read(&text).unwrap_err().to_string()
        };
        for (more, word) in [
            (r#""lora_bias": true"#, "lora_bias"),
            (r#""use_dora": 1"#, "use_dora"),
            (r#""bias": "all""#, "bias = all"),
            (r#""init_lora_weights": "pissa""#, "init_lora_weights"),
            (r#""rank_pattern": {".*query": 4}"#, "rank_pattern"),
            (r#""r": 0"#, "r is 0"),
            (r#""lora_alpha": "x""#, "lora_alpha"),
            (r#""a_setting_of_tomorrow": 3"#, "a_setting_of_tomorrow"),
        ] {
            // The last of two equal keys counts.
            assert!(refused("LORA", more).contains(word), "{word}: {}", refused("LORA", more));
        }
        for (more, word) in [
            (r#""feedforward_modules": 3"#, "feedforward_modules"),
            (r#""a_setting_of_tomorrow": 3"#, "a_setting_of_tomorrow"),
        ] {
            let text = format!(r#"{{"peft_type": "IA3", {more}}}"#);
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        let other = read(r#"{"peft_type": "VERA"}"#).unwrap_err().to_string();
        assert!(other.contains("peft_type = VERA") && other.contains("IA3"), "{other}");
        assert!(read("{").is_err() && read("[]").is_err());
    }
}
