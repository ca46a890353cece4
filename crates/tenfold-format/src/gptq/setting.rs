//! What a checkpoint says of how it was quantized: `quantization_config` in `config.json`, or `quantize_config.json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{BITS, Version};
use crate::config;
use crate::error::{Error, Result};
use crate::map;

/// The method's name in configs.
pub const METHOD: &str = "gptq";
/// The file of settings beside a config that lacks them.
pub(super) const FILE: &str = "quantize_config.json";
/// The longest file of settings, in bytes.
const LIMIT: u64 = 1 << 20;

/// Settings of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GptqSettings {
    /// Width of a code.
    pub bits: u32,
    /// Inputs of a group; a whole row when absent.
    pub group_size: Option<usize>,
    /// Whether columns were visited in the order of their weight, so that groups need not be neighbors.
    pub desc_act: bool,
    /// Whether all zero points are 2^(b-1).
    pub sym: bool,
    /// How zero points are stored.
    pub version: Version,
    /// Patterns of the names of linear maps that are not quantized.
    pub skip: Vec<String>,
}

/// What stands before a pattern of names that are not quantized, in `dynamic`.
const SKIP: &str = "-:";

impl GptqSettings {
    /// The settings of the model folder `dir`; nothing where it is not quantized.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Unsupported`], [`Error::OutOfRange`], [`Error::Read`].
    pub fn of(dir: &Path) -> Result<Option<GptqSettings>> {
        let path = dir.join(config::FILE);
        if path.is_file() {
            let text = map::read(&path, "the config", config::CONFIG_LIMIT)?;
            let all: Map<String, Value> = serde_json::from_slice(&text).map_err(Error::json(&path))?;
            match all.get("quantization_config") {
                Some(Value::Object(own)) => return Self::parse(&path, own).map(Some),
                Some(Value::Null) | None => {}
                Some(other) => {
                    let (got, expected) = (other.to_string(), "an object".to_owned());
                    return Err(Error::OutOfRange { path, field: "quantization_config", expected, got });
                }
            }
        }
        let path = dir.join(FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let text = map::read(&path, "the settings", LIMIT)?;
        let own: Map<String, Value> = serde_json::from_slice(&text).map_err(Error::json(&path))?;
        Self::parse(&path, &own).map(Some)
    }

    /// Reads settings; `path` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Unsupported`] and [`Error::OutOfRange`].
    pub fn parse(path: &Path, own: &Map<String, Value>) -> Result<GptqSettings> {
        let unsupported = |field, got: &Value, known| {
            let got = got.as_str().map_or_else(|| got.to_string(), str::to_owned);
            Err(Error::Unsupported { path: path.to_owned(), field, got, known })
        };
        let range = |field, expected: &str, got: &Value| Error::OutOfRange {
            path: path.to_owned(),
            field,
            expected: expected.to_owned(),
            got: got.to_string(),
        };
        // Early files say nothing of the method, and there was one.
        match own.get("quant_method") {
            Some(got) if got != METHOD => return unsupported("quant_method", got, &[METHOD]),
            _ => {}
        }
        let format = own.get("checkpoint_format").or_else(|| own.get("format"));
        let version = match format.and_then(Value::as_str) {
            None | Some("gptq") => Version::V1,
            Some("gptq_v2") => Version::V2,
            Some(_) => {
                let known = &["gptq", "gptq_v2"];
                return unsupported("checkpoint_format", format.unwrap_or(&Value::Null), known);
            }
        };
        match own.get("pack_dtype") {
            Some(got) if got != "int32" => return unsupported("pack_dtype", got, &["int32"]),
            _ => {}
        }
        let rules = own.get("dynamic").and_then(Value::as_object);
        let mut skip = Vec::new();
        for (rule, change) in rules.into_iter().flatten() {
            match rule.strip_prefix(SKIP) {
                Some(pattern) => skip.push(pattern.to_owned()),
                // A rule that changes nothing.
                None if change.as_object().is_some_and(Map::is_empty) => {}
                None => return unsupported("dynamic", &json!({ rule: change }), &["{}", "rules of \"-:\""]),
            }
        }
        let bits = own.get("bits").unwrap_or(&Value::Null);
        let known = bits.as_u64().and_then(|got| BITS.into_iter().find(|one| u64::from(*one) == got));
        let bits = known.ok_or_else(|| range("bits", "2, 3, 4 or 8", bits))?;
        let group = own.get("group_size").unwrap_or(&Value::Null);
        let group_size = match group.as_i64() {
            None if group.is_null() => None,
            Some(-1) => None,
            Some(size) if (1..=config::WIDTH_LIMIT as i64 * 4).contains(&size) => Some(size as usize),
            _ => return Err(range("group_size", "-1, or at least 1", group)),
        };
        let flag = |key: &str, default| own.get(key).and_then(Value::as_bool).unwrap_or(default);
        let (desc_act, sym) = (flag("desc_act", false), flag("sym", true));
        Ok(GptqSettings { bits, group_size, desc_act, sym, version, skip })
    }

    /// The settings as `quantization_config` and `quantize_config.json` have them.
    pub fn json(&self) -> Value {
        let format = match self.version {
            Version::V1 => "gptq",
            Version::V2 => "gptq_v2",
        };
        let skip: Map<String, Value> =
            self.skip.iter().map(|pattern| (format!("{SKIP}{pattern}"), json!({}))).collect();
        json!({
            "quant_method": METHOD,
            "dynamic": skip,
            "checkpoint_format": format,
            "bits": self.bits,
            "group_size": self.group_size.map_or(-1, |size| size as i64),
            "desc_act": self.desc_act,
            "sym": self.sym,
            "lm_head": false,
            "pack_dtype": "int32",
        })
    }
}
