//! A model that begins with random weights: `[model.new]`.

use super::reader::Reader;
use super::section::text_source;
use crate::default;
use crate::fault::Problem;
use crate::recipe::{NewModel, Vocabulary};
use std::path::PathBuf;

/// The architectures that can begin from nothing.
const ARCHITECTURES: [(&str, ()); 1] = [("llama", ())];
/// The largest size of any kind; how sizes must fit each other is the architecture's to say.
const SIZE_LIMIT: u64 = 1 << 20;

/// `[model.new]`; nothing when a fault leaves no model.
pub(super) fn new(table: &Reader<'_>) -> Option<NewModel> {
    if let Some(entry) = table.get("architecture") {
        // There is one; its name may be left out.
        let _ = table.word("architecture", "architecture", entry, &ARCHITECTURES);
    }
    let vocabulary = vocabulary(table);
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
    let hidden = count("hidden", width.map(|width| default::NEW_HIDDEN * width));
    let key_heads = count("key-heads", heads);
    let positions = count("positions", Some(default::NEW_POSITIONS));
    let tied = table.flag("tied", default::NEW_TIED);
    table.finish();
    Some(NewModel {
        vocabulary: vocabulary?,
        width: width?,
        hidden,
        layers: layers?,
        heads: heads?,
        key_heads,
        positions,
        tied,
    })
}

fn vocabulary(table: &Reader<'_>) -> Option<Vocabulary> {
    let expected =
        "\"characters\" (of the key text), \"bytes\", or \"path:FOLDER\" with the files of a tokenizer";
    let named = table.need("vocabulary", expected).and_then(|entry| table.text("vocabulary", entry))?;
    match named.value.strip_prefix("path:") {
        Some(folder) if !folder.is_empty() => Some(Vocabulary::Folder(PathBuf::from(folder))),
        None if named.value == "bytes" => Some(Vocabulary::Bytes),
        None if named.value == "characters" => {
            table.need("text", "whose characters they are, as in [calibration]")?;
            Some(Vocabulary::Characters(text_source(table)))
        }
        _ => {
            let (key, got) = ("vocabulary".to_owned(), format!("{:?}", named.value));
            table.fault(named.place, Problem::OutOfRange { key, expected: expected.to_owned(), got });
            None
        }
    }
}
