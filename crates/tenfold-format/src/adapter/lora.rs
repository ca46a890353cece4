//! What a config says of a LoRA adapter.

use super::field::Fields;
use super::{Common, names};
use crate::error::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Settings that are read beside those of every kind.
const READ: [&str; 8] = [
    "alpha_pattern",
    "bias",
    "init_lora_weights",
    "lora_alpha",
    "r",
    "rank_pattern",
    "use_dora",
    "use_rslora",
];
/// Settings that say how an adapter came about or how it trains, and nothing of what it does.
const HARMLESS: [&str; 8] = [
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "qalora_group_size",
];

/// What a config says of a LoRA adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    /// What configs of every kind say.
    pub common: Common,
    /// r, where no pattern says otherwise.
    pub rank: usize,
    /// Numerator of the scaling, where no pattern says otherwise.
    pub alpha: f64,
    /// Whether the scaling divides by the root of the rank.
    pub root: bool,
    /// Whether the norms of rows are stored, too (DoRA).
    pub magnitude: bool,
    /// Ranks of modules whose name is, or ends with, the key.
    pub ranks: BTreeMap<String, usize>,
    /// Numerators likewise.
    pub alphas: BTreeMap<String, f64>,
}

impl LoraConfig {
    pub(super) fn of(fields: &Fields<'_>) -> Result<LoraConfig> {
        fields.known(&READ, &HARMLESS)?;
        if let Some(bias) = fields.text("bias").filter(|bias| *bias != "none") {
            return Err(fields.unsupported("bias", bias, &["none"]));
        }
        // Other beginnings change the base when the adapter is loaded.
        match fields.found.get("init_lora_weights") {
            None | Some(Value::Bool(_) | Value::Null) => {}
            Some(Value::String(word)) if word == "gaussian" => {}
            Some(other) => {
                let known = &["true", "false", "gaussian"];
                return Err(fields.unsupported("init_lora_weights", &other.to_string(), known));
            }
        }
        let value = |key: &str| fields.found.get(key);
        Ok(LoraConfig {
            common: fields.common()?,
            rank: fields.rank("r", value("r").unwrap_or(&Value::Null))?,
            alpha: fields.number("lora_alpha", value("lora_alpha").unwrap_or(&json!(8)))?,
            root: fields.flag("use_rslora")?,
            magnitude: fields.flag("use_dora")?,
            ranks: fields.pattern("rank_pattern", Fields::rank)?,
            alphas: fields.pattern("alpha_pattern", Fields::number)?,
        })
    }

    /// The factor of the product of a module whose factors have this rank.
    pub fn scale(&self, module: &str, rank: usize) -> f64 {
        let alpha =
            self.alphas.iter().find(|(key, _)| names(key, module)).map_or(self.alpha, |(_, alpha)| *alpha);
        let rank = rank.max(1) as f64;
        alpha / if self.root { rank.sqrt() } else { rank }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut settings = self.common.to_json();
        let own = [
            ("peft_type", json!("LORA")),
            ("r", json!(self.rank)),
            ("lora_alpha", json!(self.alpha)),
            ("use_rslora", json!(self.root)),
            ("use_dora", json!(self.magnitude)),
            ("rank_pattern", json!(self.ranks)),
            ("alpha_pattern", json!(self.alphas)),
            ("bias", json!("none")),
            ("lora_dropout", json!(0.0)),
            ("init_lora_weights", json!(true)),
        ];
        settings.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value)));
        Value::Object(settings)
    }
}
