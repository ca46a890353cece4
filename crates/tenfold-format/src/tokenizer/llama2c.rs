//! The vocabularies of llama2.c: int32, the longest piece; then per piece a float32 score, an int32 length and as many
//! bytes, all little-endian. Pieces 0, 1 and 2 are the unknown, the begin and the end token; then there may be one per
//! byte. A text gets a space in front.

use std::path::Path;

use tokenizers::Tokenizer;

use super::piece::{self, PIECE_LIMIT, Piece, PieceFault, Settings};
use crate::config::VOCABULARY_LIMIT;
use crate::error::{Error, Result};

/// The begin and the end token as other programs write them; in the file line breaks surround them.
const OWN: [&str; 2] = ["<s>", "</s>"];

/// The tokenizer of the file content `bytes`; `path` stands for the file in errors.
pub(super) fn build(path: &Path, bytes: &[u8]) -> Result<Tokenizer> {
    let pieces = read(bytes).map_err(|fault| Error::Pieces { path: path.to_owned(), fault })?;
    let settings = Settings {
        unknown: 0,
        begin: Some(1),
        end: Some(2),
        space: ' ',
        prefix: true,
        collapse: false,
        bytes: pieces.iter().any(|piece| piece::is_byte(&piece.text)),
    };
    piece::build(path, &pieces, &settings)
}

fn read(bytes: &[u8]) -> Result<Vec<Piece>, PieceFault> {
    let four = |offset: usize| match bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>()) {
        Some(four) => Ok(*four),
        None => Err(PieceFault::Truncated { offset }),
    };
    let longest = i32::from_le_bytes(four(0)?);
    if !(1..=PIECE_LIMIT as i32).contains(&longest) {
        return Err(PieceFault::Record { what: "a longest piece of no possible length", offset: 0 });
    }
    let (mut pieces, mut offset) = (Vec::new(), 4);
    while offset < bytes.len() {
        let id = pieces.len();
        if id == VOCABULARY_LIMIT {
            return Err(PieceFault::TooMany);
        }
        let (score, length) = (f32::from_le_bytes(four(offset)?), i32::from_le_bytes(four(offset + 4)?));
        let length = usize::try_from(length).ok().filter(|length| *length <= longest as usize);
        let what = "a piece longer than the longest";
        let length = length.ok_or(PieceFault::Record { what, offset })?;
        let text = bytes.get(offset + 8..offset + 8 + length).ok_or(PieceFault::Truncated { offset })?;
        let text = std::str::from_utf8(text).map_err(|_| PieceFault::NotUtf8 { id })?;
        let own = id.checked_sub(1).and_then(|at| OWN.get(at));
        let text = own.map_or(text, |own| own).to_owned();
        let plain = id > OWN.len() && !piece::is_byte(&text);
        pieces.push(Piece { text, score, plain });
        offset += 8 + length;
    }
    match pieces.len() > OWN.len() {
        true => Ok(pieces),
        false => Err(PieceFault::TooFew { got: pieces.len() }),
    }
}
