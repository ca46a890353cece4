//! How a sentence encoder turns token vectors into one vector: the settings files of sentence-transformers.
//!
//! ```text
//! modules.json                 the steps in order: Transformer, Pooling, and perhaps Normalize
//! sentence_bert_config.json    {"max_seq_length": 256}
//! 1_Pooling/config.json        which pooling
//! ```

use std::path::{Component, Path};

use serde_json::{Value, json};

use crate::atomic;
use crate::error::{Error, Result};
use crate::map;

/// The file that lists the steps.
pub const FILE: &str = "modules.json";

/// The longest settings file that is read, in bytes.
pub const SETTINGS_LIMIT: u64 = 1 << 20;

/// The settings of the first step.
pub(crate) const TRANSFORMER_FILE: &str = "sentence_bert_config.json";

/// The folder in which the pooling settings are written.
const POOLING_FOLDER: &str = "1_Pooling";

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pooling {
    /// Their mean.
    #[default]
    Mean,
    /// That of the first token (`[CLS]`).
    First,
}

/// The settings of a sentence encoder; [`Default`] is what sentence-transformers takes for a bare encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pipeline {
    /// The longest text in tokens, special ones included; the model's positions when absent.
    pub max_tokens: Option<usize>,
    /// How token vectors become one.
    pub pooling: Pooling,
    /// Whether the result is scaled to length 1.
    pub normalize: bool,
}

/// Reads the settings in the model folder `dir`; nothing when it is no sentence encoder's.
///
/// # Errors
/// [`Error::Unsupported`] for steps and poolings that are not implemented, [`Error::PathEscapes`], [`Error::Json`],
/// [`Error::Read`], [`Error::OutOfRange`].
pub fn read(dir: &Path) -> Result<Option<Pipeline>> {
    let path = dir.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let modules: Vec<Module> = json_file(&path)?;
    let mut pipeline = Pipeline { max_tokens: max_tokens(dir)?, ..Pipeline::default() };
    for module in &modules {
        match module.kind.rsplit('.').next() {
            Some("Transformer") => {}
            Some("Pooling") => pipeline.pooling = pooling(&path, dir, &module.path)?,
            Some("Normalize") => pipeline.normalize = true,
            _ => {
                let known = &["Transformer", "Pooling", "Normalize"];
                let got = module.kind.clone();
                return Err(Error::Unsupported { path, field: "type", got, known });
            }
        }
    }
    Ok(Some(pipeline))
}

/// Writes the settings into the model folder `dir`, so that sentence-transformers reads them too; `width` is the length
/// of a vector.
///
/// # Errors
/// [`Error::Write`] or [`Error::DiskFull`].
pub fn write(dir: &Path, pipeline: &Pipeline, width: usize) -> Result<()> {
    let module = |index: usize, path: &str, kind: &str| {
        json!({ "idx": index, "name": index.to_string(), "path": path,
                "type": format!("sentence_transformers.models.{kind}") })
    };
    let mut modules = vec![module(0, "", "Transformer"), module(1, POOLING_FOLDER, "Pooling")];
    if pipeline.normalize {
        modules.push(module(2, "2_Normalize", "Normalize"));
    }
    let first = pipeline.pooling == Pooling::First;
    let pooling = json!({
        "word_embedding_dimension": width,
        "pooling_mode_cls_token": first,
        "pooling_mode_mean_tokens": !first,
        "pooling_mode_max_tokens": false,
        "pooling_mode_mean_sqrt_len_tokens": false,
    });
    let folder = atomic::create_folder(&dir.join(POOLING_FOLDER))?;
    write_json(&folder.join("config.json"), &pooling)?;
    // The tokenizer does the lower-casing; a second one here would change texts of cased models.
    let transformer = json!({ "max_seq_length": pipeline.max_tokens, "do_lower_case": false });
    write_json(&dir.join(TRANSFORMER_FILE), &transformer)?;
    write_json(&dir.join(FILE), &Value::Array(modules))
}

/// The pooling settings that the steps in `dir` name, relative to it.
pub(crate) fn pooling_file(dir: &Path) -> Result<Option<String>> {
    let path = dir.join(FILE);
    let modules: Vec<Module> = json_file(&path)?;
    let Some(pooling) = modules.iter().find(|module| module.kind.ends_with("Pooling")) else {
        return Ok(None);
    };
    inside(&path, &pooling.path)?;
    Ok(Some(format!("{}/config.json", pooling.path.trim_end_matches('/'))))
}

#[derive(serde::Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

fn max_tokens(dir: &Path) -> Result<Option<usize>> {
    #[derive(serde::Deserialize)]
    struct Raw {
        max_seq_length: Option<usize>,
    }
    let path = dir.join(TRANSFORMER_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let max = json_file::<Raw>(&path)?.max_seq_length;
    match max {
        Some(0) => Err(Error::OutOfRange {
            path,
            field: "max_seq_length",
            expected: "1 or more".into(),
            got: "0".into(),
        }),
        max => Ok(max),
    }
}

fn pooling(modules: &Path, dir: &Path, sub: &str) -> Result<Pooling> {
    inside(modules, sub)?;
    let path = dir.join(sub).join("config.json");
    let settings: serde_json::Map<String, Value> = json_file(&path)?;
    let flags = settings.iter().filter(|(key, value)| key.starts_with("pooling_mode_") && **value == true);
    let mut modes: Vec<&str> = flags.map(|(key, _)| key.trim_start_matches("pooling_mode_")).collect();
    // Releases from 2025 on write one word in place of the flags.
    if let Some(Value::String(mode)) = settings.get("pooling_mode") {
        modes.push(mode);
    }
    match modes[..] {
        ["mean_tokens" | "mean"] => Ok(Pooling::Mean),
        ["cls_token" | "cls"] => Ok(Pooling::First),
        _ => {
            let got = if modes.is_empty() { "none".to_owned() } else { modes.join(" + ") };
            Err(Error::Unsupported { path, field: "pooling_mode", got, known: &["mean", "cls"] })
        }
    }
}

/// Refuses a folder name that leaves the model's folder.
fn inside(modules: &Path, sub: &str) -> Result<()> {
    let plain = Path::new(sub).components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !sub.is_empty() && !sub.contains(['\\', ':', '?', '#']) {
        return Ok(());
    }
    Err(Error::PathEscapes { path: modules.to_owned(), got: sub.to_owned() })
}

fn json_file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&map::read(path, "the settings", SETTINGS_LIMIT)?).map_err(Error::json(path))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    atomic::write(path, format!("{value:#}\n").as_bytes())
}
