//! GPT-2's byte-level pairs, from `vocab.json` and `merges.txt` or from a vocabulary in memory.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Tokenizer};

use super::{TOKENIZER_LIMIT, piece};
use crate::error::{Error, Result};
use crate::map;

/// The token between texts.
const END: &str = "<|endoftext|>";
/// What the first line of a file of merges begins with.
const VERSION: &str = "#version";

/// Opens the pair of files.
pub(super) fn open(vocabulary: &Path, merges: &Path) -> Result<Tokenizer> {
    let text = map::read(vocabulary, "the vocabulary", TOKENIZER_LIMIT)?;
    let vocab: HashMap<String, u32> = serde_json::from_slice(&text).map_err(Error::json(vocabulary))?;
    let text = map::read_text(merges, "the merges", TOKENIZER_LIMIT)?;
    let mut pairs = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.is_empty() || (at == 0 && line.starts_with(VERSION)) {
            continue;
        }
        let missing =
            |token: &str| Error::MissingToken { path: vocabulary.to_owned(), token: token.to_owned() };
        let bad = || Error::BadMerge { path: merges.to_owned(), line: at + 1 };
        let (left, right) = line.trim_end().split_once(' ').ok_or_else(bad)?;
        for token in [left, right, &format!("{left}{right}")] {
            if !vocab.contains_key(token) {
                return Err(missing(token));
            }
        }
        pairs.push((left.to_owned(), right.to_owned()));
    }
    let special: &[&str] = if vocab.contains_key(END) { &[END] } else { &[] };
    build(vocabulary, vocab, pairs, special, None)
}

/// The tokenizer of a vocabulary and its merges in order; `special` are tokens that are taken whole, `begin` is put at the
/// start of a text. `path` stands for the file in errors.
pub(super) fn build(
    path: &Path,
    vocab: HashMap<String, u32>,
    pairs: Vec<(String, String)>,
    special: &[&str],
    begin: Option<(&str, u32)>,
) -> Result<Tokenizer> {
    let bad = |source| Error::BadTokenizer { path: path.to_owned(), source };
    let model = BPE::builder().vocab_and_merges(vocab.into_iter().collect::<Vocab>(), pairs).build();
    let mut tokenizer = Tokenizer::new(model.map_err(bad)?);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    let special: Vec<AddedToken> = special.iter().map(|&text| AddedToken::from(text, true)).collect();
    tokenizer.add_special_tokens(&special);
    if let Some((text, id)) = begin {
        tokenizer.with_post_processor(Some(piece::beginning(text, id).map_err(bad)?));
    }
    Ok(tokenizer)
}
