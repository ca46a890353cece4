//! The entries of a tokenizer, from the file of Hugging Face's library.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use super::{BYTE, CONTROL, GPT2_SPLIT, NORMAL, SPACE, UNKNOWN, UNUSED};
use crate::error::{Error, Result};
use crate::gguf::{Array, Value};
use crate::tokenizer::piece;

/// What can be written.
const KNOWN: &[&str] = &["scored pieces without words", "byte-level pairs of GPT-2"];

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Json>,
    pre_tokenizer: Option<Json>,
    post_processor: Option<Json>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: Json,
    #[serde(default)]
    merges: Vec<Merge>,
    unk_token: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
}

/// A merge, in either of the two ways that the library has written them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

#[derive(Deserialize)]
struct Added {
    id: usize,
    content: String,
    #[serde(default)]
    special: bool,
}

/// Entries for a model with `rows` rows in its table of tokens; rows behind the last token get one that no text has.
///
/// # Errors
/// [`Error::Unsupported`] for a tokenizer of which GGUF has no kind; [`Error::Json`].
pub(in crate::tokenizer) fn entries(path: &Path, json: &str, rows: usize) -> Result<Vec<(String, Value)>> {
    let file: File = serde_json::from_str(json).map_err(Error::json(path))?;
    let unsupported =
        |got: String| Error::Unsupported { path: path.to_owned(), field: "tokenizer", got, known: KNOWN };
    if file.model.kind.as_deref() != Some("BPE") {
        return Err(unsupported(file.model.kind.unwrap_or_else(|| "of no kind".to_owned())));
    }
    let vocabulary: HashMap<String, usize> =
        Deserialize::deserialize(&file.model.vocab).map_err(Error::json(path))?;
    let mut tokens: BTreeMap<usize, String> = vocabulary.into_iter().map(|(text, id)| (id, text)).collect();
    tokens.extend(file.added_tokens.iter().map(|added| (added.id, added.content.clone())));
    let special: BTreeMap<&str, usize> = file
        .added_tokens
        .iter()
        .filter(|one| one.special)
        .map(|one| (one.content.as_str(), one.id))
        .collect();
    let pairs = file.model.merges.iter().map(|merge| match merge {
        Merge::Pair(left, right) => (left.as_str(), right.as_str()),
        Merge::Line(line) => line.split_once(' ').unwrap_or((line, "")),
    });
    let pairs: Vec<(&str, &str)> = pairs.collect();
    let unknown = file.model.unk_token.as_deref();
    let byte_level = match kind_of(file.pre_tokenizer.as_ref()) {
        None => false,
        Some("ByteLevel") if file.pre_tokenizer.as_ref().is_some_and(|one| one["use_regex"] != false) => true,
        Some(other) => return Err(unsupported(format!("with the words of {other}"))),
    };
    let kind = |id: usize, text: &str| match text {
        text if unknown == Some(text) && !byte_level => UNKNOWN,
        text if special.get(text) == Some(&id) => CONTROL,
        text if file.model.byte_fallback && piece::is_byte(text) => BYTE,
        _ => NORMAL,
    };
    let count = rows.max(tokens.last_key_value().map_or(0, |(last, _)| last + 1));
    let (mut texts, mut kinds) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for id in 0..count {
        let text = tokens.get(&id);
        kinds.push(text.map_or(UNUSED, |text| kind(id, text)));
        texts.push(text.cloned().unwrap_or_else(|| format!("[PAD{id}]")));
    }
    let begin = begin(file.post_processor.as_ref());
    let mut entries = Vec::new();
    let mut put = |key: &str, value| entries.push((format!("tokenizer.ggml.{key}"), value));
    if byte_level {
        put("model", Value::String("gpt2".to_owned()));
        put("pre", Value::String(GPT2_SPLIT.to_owned()));
        let merges = pairs.iter().map(|(left, right)| format!("{left} {right}")).collect();
        put("merges", Value::Array(Array::String(merges)));
    } else {
        put("model", Value::String("llama".to_owned()));
        put("pre", Value::String("default".to_owned()));
        let scores = scores(&texts, &pairs);
        // Pieces of llama2.c have spaces as they are, which here would never be met.
        if !replaces_space(file.normalizer.as_ref()) {
            texts.iter_mut().for_each(|text| *text = text.replace(' ', &SPACE.to_string()));
        }
        put("scores", Value::Array(Array::F32(scores)));
        put("add_space_prefix", Value::Bool(has(file.normalizer.as_ref(), "Prepend")));
        put("remove_extra_whitespaces", Value::Bool(collapses(file.normalizer.as_ref())));
        if let Some(id) = unknown.and_then(|unknown| tokens.iter().find(|(_, text)| *text == unknown)) {
            put("unknown_token_id", Value::U32(*id.0 as u32));
        }
    }
    put("add_bos_token", Value::Bool(begin.is_some()));
    if let Some(id) = begin.and_then(|begin| special.get(begin.as_str()).copied()) {
        put("bos_token_id", Value::U32(id as u32));
    }
    put("tokens", Value::Array(Array::String(texts)));
    put("token_type", Value::Array(Array::I32(kinds)));
    Ok(entries)
}

/// A score for every token: the sooner a merge makes a piece, the higher. Pieces that no merge makes are never joined,
/// so theirs says nothing.
fn scores(texts: &[String], pairs: &[(&str, &str)]) -> Vec<f32> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (left, right) in pairs {
        let rank = ranks.len();
        ranks.entry(format!("{left}{right}")).or_insert(rank);
    }
    texts.iter().map(|text| ranks.get(text).map_or(0.0, |rank| -(*rank as f32) - 1.0)).collect()
}

fn kind_of(part: Option<&Json>) -> Option<&str> {
    part?.get("type")?.as_str()
}

/// The steps of a normalizer.
fn steps(normalizer: Option<&Json>) -> &[Json] {
    match normalizer {
        Some(one) if one["type"] == "Sequence" => one["normalizers"].as_array().map_or(&[], Vec::as_slice),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    }
}

fn has(normalizer: Option<&Json>, kind: &str) -> bool {
    steps(normalizer).iter().any(|step| step["type"] == kind)
}

/// Whether spaces become the sign that stands for them.
fn replaces_space(normalizer: Option<&Json>) -> bool {
    steps(normalizer)
        .iter()
        .any(|step| step["pattern"]["String"] == " " && step["content"] == SPACE.to_string())
}

/// Whether several spaces become one.
fn collapses(normalizer: Option<&Json>) -> bool {
    steps(normalizer).iter().any(|step| step["pattern"]["Regex"] == piece::SPACES)
}

/// The token that a text begins with.
fn begin(processor: Option<&Json>) -> Option<String> {
    let processor = processor?;
    let template = match processor["type"].as_str()? {
        "Sequence" => {
            processor["processors"].as_array()?.iter().find(|one| one["type"] == "TemplateProcessing")?
        }
        _ => processor,
    };
    Some(template["single"].get(0)?["SpecialToken"]["id"].as_str()?.to_owned())
}
