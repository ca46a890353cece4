//! Tokenizers in the metadata of GGUF files.
//!
//! `tokenizer.ggml.model` says which kind: `llama`, pieces with scores, joined as SentencePiece does; or `gpt2`,
//! byte-level pairs with merges, split into words as `tokenizer.ggml.pre` names. Source: the specification at
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod write;

use std::path::Path;

use tokenizers::Tokenizer;

use super::byte_level;
use super::piece::{self, Piece, Settings};
use crate::config::VOCABULARY_LIMIT;
use crate::error::{Error, Result};
use crate::gguf::{Array, Gguf, GgufFault, Value};

pub(super) use write::entries;

/// What stands for a space in pieces.
const SPACE: char = '\u{2581}';
/// Numbers of the kinds of tokens.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// The kinds of tokenizers that are known.
const MODELS: &[&str] = &["llama", "gpt2"];
/// The ways of splitting into words that are known.
const SPLITS: &[&str] = &[GPT2_SPLIT];
const GPT2_SPLIT: &str = "gpt-2";

/// The tokenizer that the entries of a file describe; `path` stands for the file in errors.
pub(super) fn build(path: &Path, header: &Gguf) -> Result<Tokenizer> {
    let entries = Entries { path, header };
    let tokens = entries.strings("tokens")?;
    if tokens.is_empty() || tokens.len() > VOCABULARY_LIMIT {
        let got = format!("an array of {}", tokens.len());
        return Err(entries.wrong("tokens", "an array of some tokens", got));
    }
    match entries.text("model")? {
        "llama" => pieces(&entries, tokens),
        "gpt2" => pairs(&entries, tokens),
        other => Err(Error::Unsupported {
            path: path.to_owned(),
            field: "tokenizer.ggml.model",
            got: other.to_owned(),
            known: MODELS,
        }),
    }
}

/// Scored pieces.
fn pieces(entries: &Entries<'_>, tokens: &[String]) -> Result<Tokenizer> {
    let scores = match entries.array("scores")? {
        Some(Array::F32(scores)) if scores.len() == tokens.len() => scores,
        Some(other) => return Err(entries.wrong("scores", "one f32 per token", sized(other))),
        None => return Err(entries.missing("scores")),
    };
    let kinds = entries.kinds(tokens.len())?;
    let kind = |id: usize| kinds.map_or(NORMAL, |kinds| kinds[id]);
    let pieces: Vec<Piece> = tokens
        .iter()
        .zip(scores)
        .enumerate()
        .map(|(id, (text, &score))| {
            let plain = matches!(kind(id), NORMAL | USER) && !piece::is_byte(text);
            Piece { text: text.clone(), score, plain }
        })
        .collect();
    let id = |name: &str| entries.token(name, tokens.len());
    let unknown = (0..tokens.len()).find(|&id| kind(id) == UNKNOWN);
    let unknown = id("unknown").or(unknown).ok_or_else(|| entries.missing("unknown_token_id"))?;
    let settings = Settings {
        unknown,
        begin: id("bos").filter(|_| entries.flag("add_bos_token", true)),
        end: id("eos"),
        space: SPACE,
        prefix: entries.flag("add_space_prefix", true),
        collapse: entries.flag("remove_extra_whitespaces", false),
        bytes: (0..tokens.len()).any(|id| kind(id) == BYTE),
    };
    piece::build(entries.path, &pieces, &settings)
}

/// Byte-level pairs.
fn pairs(entries: &Entries<'_>, tokens: &[String]) -> Result<Tokenizer> {
    let split = entries.find("pre").and_then(Value::as_str).unwrap_or("default");
    if split != GPT2_SPLIT {
        return Err(Error::Unsupported {
            path: entries.path.to_owned(),
            field: "tokenizer.ggml.pre",
            got: split.to_owned(),
            known: SPLITS,
        });
    }
    let kinds = entries.kinds(tokens.len())?;
    let mut merges = Vec::new();
    for (at, merge) in entries.strings("merges")?.iter().enumerate() {
        // A token may begin with a space where the byte level is not that of GPT-2: the first one inside divides.
        let pair = merge.split_once(' ').filter(|(left, right)| !left.is_empty() && !right.is_empty());
        let (left, right) =
            pair.ok_or_else(|| Error::BadMerge { path: entries.path.to_owned(), line: at + 1 })?;
        merges.push((left.to_owned(), right.to_owned()));
    }
    let special = |id: usize| kinds.is_some_and(|kinds| matches!(kinds[id], CONTROL | UNKNOWN));
    let special: Vec<&str> =
        tokens.iter().enumerate().filter(|(id, _)| special(*id)).map(|(_, token)| token.as_str()).collect();
    let mut vocabulary = std::collections::HashMap::new();
    for (id, token) in tokens.iter().enumerate() {
        if let Some(first) = vocabulary.insert(token.clone(), id as u32) {
            let (path, token) = (entries.path.to_owned(), token.clone());
            return Err(Error::DuplicateToken { path, token, first: first as usize + 1, second: id + 1 });
        }
    }
    let begin = entries.token("bos", tokens.len()).filter(|_| entries.flag("add_bos_token", false));
    let begin = begin.map(|id| (tokens[id].as_str(), id as u32));
    byte_level::build(entries.path, vocabulary, merges, &special, begin)
}

fn sized(array: &Array) -> String {
    format!("[{} x {}]", array.len(), array.kind())
}

/// The entries of a tokenizer.
struct Entries<'a> {
    path: &'a Path,
    header: &'a Gguf,
}

impl<'a> Entries<'a> {
    fn find(&self, key: &str) -> Option<&'a Value> {
        self.header.get(&format!("tokenizer.ggml.{key}"))
    }

    fn text(&self, key: &str) -> Result<&'a str> {
        let value = self.find(key).ok_or_else(|| self.missing(key))?;
        value.as_str().ok_or_else(|| self.wrong(key, "a text", value.to_string()))
    }

    fn array(&self, key: &str) -> Result<Option<&'a Array>> {
        match self.find(key) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(array)),
            Some(other) => Err(self.wrong(key, "an array", other.to_string())),
        }
    }

    fn strings(&self, key: &str) -> Result<&'a [String]> {
        match self.array(key)? {
            Some(Array::String(items)) => Ok(items),
            Some(other) => Err(self.wrong(key, "an array of texts", sized(other))),
            None => Err(self.missing(key)),
        }
    }

    /// The kind of every token.
    fn kinds(&self, tokens: usize) -> Result<Option<&'a [i32]>> {
        match self.array("token_type")? {
            None => Ok(None),
            Some(Array::I32(kinds)) if kinds.len() == tokens => Ok(Some(kinds)),
            Some(other) => Err(self.wrong("token_type", "one i32 per token", sized(other))),
        }
    }

    /// A token with a meaning; an id outside the vocabulary is what some converters write for none.
    fn token(&self, name: &str, tokens: usize) -> Option<usize> {
        let id = self.find(&format!("{name}_token_id"))?.as_u64()?;
        usize::try_from(id).ok().filter(|id| *id < tokens)
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        match self.find(key) {
            Some(Value::Bool(flag)) => *flag,
            _ => default,
        }
    }

    fn missing(&self, key: &str) -> Error {
        self.fault(GgufFault::MissingKey { key: format!("tokenizer.ggml.{key}") })
    }

    fn wrong(&self, key: &str, expected: &'static str, got: String) -> Error {
        self.fault(GgufFault::Entry { key: format!("tokenizer.ggml.{key}"), expected, got })
    }

    fn fault(&self, fault: GgufFault) -> Error {
        Error::GgufModel { path: self.path.to_owned(), fault }
    }
}
