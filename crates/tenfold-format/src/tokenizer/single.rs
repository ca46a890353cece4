//! Vocabularies without pieces of several characters: the characters of a text, or bytes. Tokens 0, 1 and 2 are the unknown,
//! the begin and the end token, as in the files of llama2.c; a text begins with token 1.

use std::collections::BTreeSet;
use std::path::Path;

use tokenizers::Tokenizer;

use super::piece::{self, Piece, PieceFault, Settings};
use crate::config::VOCABULARY_LIMIT;
use crate::error::{Error, Result};

/// The token that begins a text.
pub(super) const BEGIN: u32 = 1;
/// The token that ends a text.
pub(super) const END: u32 = 2;

const OWN: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// One token for every character of the texts, in the order of their code points; all others are unknown.
pub(super) fn characters<'t>(path: &Path, texts: impl Iterator<Item = &'t str>) -> Result<Tokenizer> {
    let found: BTreeSet<char> = texts.flat_map(str::chars).collect();
    if found.len() + OWN.len() > VOCABULARY_LIMIT {
        return Err(Error::Pieces { path: path.to_owned(), fault: PieceFault::TooMany });
    }
    build(path, found.into_iter().map(String::from), false)
}

/// One token for every byte of UTF-8.
pub(super) fn bytes(path: &Path) -> Result<Tokenizer> {
    build(path, (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")), true)
}

fn build(path: &Path, pieces: impl Iterator<Item = String>, bytes: bool) -> Result<Tokenizer> {
    let own = OWN.iter().map(|text| Piece { text: (*text).to_owned(), score: 0.0, plain: false });
    let pieces: Vec<Piece> =
        own.chain(pieces.map(|text| Piece { text, score: 0.0, plain: !bytes })).collect();
    let (begin, end) = (Some(BEGIN as usize), Some(END as usize));
    let settings = Settings { unknown: 0, begin, end, space: ' ', prefix: false, collapse: false, bytes };
    piece::build(path, &pieces, &settings)
}
