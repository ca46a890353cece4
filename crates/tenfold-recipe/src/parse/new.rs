//! A model that begins with random weights: `[model.new]`.

use super::reader::Reader;
use super::section::text_source;
use crate::default;
use crate::fault::Problem;
use crate::place::Located;
use crate::recipe::{Learned, NewArchitecture, NewModel, Vocabulary};
use std::path::PathBuf;

/// The architectures that can begin from nothing.
const ARCHITECTURES: [(&str, Kind); 4] =
    [("bert", Kind::Bert), ("gpt2", Kind::Gpt2), ("llama", Kind::Llama), ("t5", Kind::T5)];
/// The largest size of any kind; how sizes must fit each other is the architecture's to say.
const SIZE_LIMIT: u64 = 1 << 20;
/// The most tokens of a learned vocabulary.
const TOKENS_LIMIT: u64 = 1 << 22;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bert,
    Gpt2,
    Llama,
    T5,
}

/// `[model.new]`; nothing when a fault leaves no model.
pub(super) fn new(table: &Reader<'_>) -> Option<NewModel> {
    let kind = match table.get("architecture") {
        Some(entry) => table.word("architecture", "architecture", entry, &ARCHITECTURES),
        None => Some(Kind::Llama),
    };
    let vocabulary = vocabulary(table, kind);
    let size = |key: &'static str, what: &str| {
        let entry = table.need(key, what)?;
        table.count_of(key, entry, 1..=SIZE_LIMIT).map(|size| size as usize)
    };
    let width = size("width", "numbers of a token's vector");
    let layers = size("layers", "the number of layers");
    let heads = size("heads", "heads of attention, which divide the width");
    let count = |key, usual: Option<usize>| {
        table.count(key, 1..=SIZE_LIMIT, usual.map_or(1, |usual| usual as u64)) as usize
    };
    let times = if kind == Some(Kind::Llama) { default::NEW_GATED_HIDDEN } else { default::NEW_HIDDEN };
    let hidden = count("hidden", width.map(|width| times * width));
    let tied = || table.flag("tied", default::NEW_TIED);
    let architecture = match kind {
        Some(Kind::Bert) => Some(NewArchitecture::Bert),
        Some(Kind::Gpt2) => Some(NewArchitecture::Gpt2 { tied: tied() }),
        Some(Kind::Llama) => {
            Some(NewArchitecture::Llama { key_heads: count("key-heads", heads), tied: tied() })
        }
        Some(Kind::T5) => Some(NewArchitecture::T5 {
            decoder_layers: count("decoder-layers", layers),
            gated: table.flag("gated", default::NEW_GATED),
            tied: tied(),
        }),
        None => {
            // The keys of any are known, so that only the architecture is reported.
            ["key-heads", "decoder-layers", "gated", "tied"].iter().for_each(|key| _ = table.get(key));
            None
        }
    };
    let positions = count("positions", Some(default::NEW_POSITIONS));
    table.finish();
    Some(NewModel {
        architecture: architecture?,
        vocabulary: vocabulary?,
        width: width?,
        hidden,
        layers: layers?,
        heads: heads?,
        positions,
    })
}

fn vocabulary(table: &Reader<'_>, kind: Option<Kind>) -> Option<Vocabulary> {
    let expected = "\"characters\", \"wordpiece\" or \"bpe\" (of the key text), \"bytes\", or \"path:FOLDER\" with the files of a \
                    tokenizer";
    let named = table.need("vocabulary", expected).and_then(|entry| table.text("vocabulary", entry))?;
    let refuse = |named: Located<&str>, expected: &str| {
        let (key, got) = ("vocabulary".to_owned(), format!("{:?}", named.value));
        table.fault(named.place, Problem::OutOfRange { key, expected: expected.to_owned(), got });
    };
    match named.value.strip_prefix("path:") {
        Some(folder) if !folder.is_empty() => Some(Vocabulary::Folder(PathBuf::from(folder))),
        None if named.value == "bytes" => Some(Vocabulary::Bytes),
        None if named.value == "characters" => {
            table.need("text", "whose characters they are, as in [calibration]")?;
            Some(Vocabulary::Characters(text_source(table)))
        }
        None if named.value == "bpe" => {
            Some(Vocabulary::BytePairs(learned(table, default::NEW_LOWER_PAIRS)?))
        }
        None if named.value == "wordpiece" => {
            let found = learned(table, default::NEW_LOWER_PIECES);
            if !matches!(kind, None | Some(Kind::Bert)) {
                refuse(
                    named,
                    "\"bpe\" for decoders: word pieces come between [CLS] and [SEP], as a bert wants them",
                );
                return None;
            }
            Some(Vocabulary::WordPieces(found?))
        }
        _ => {
            refuse(named, expected);
            None
        }
    }
}

fn learned(table: &Reader<'_>, lower: bool) -> Option<Learned> {
    let there = table.need("text", "what it is learned from, as in [calibration]").is_some();
    let text = text_source(table);
    let tokens = table.need("tokens", "the size of the vocabulary");
    let tokens = tokens.and_then(|entry| table.count_of("tokens", entry, 1..=TOKENS_LIMIT));
    let lower = table.flag("lower-case", lower);
    there.then_some(Learned { text, tokens: tokens? as usize, lower })
}
