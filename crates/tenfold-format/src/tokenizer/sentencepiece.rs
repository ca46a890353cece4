//! SentencePiece models: a protocol-buffer message with pieces (field 1: text 1, score 2, kind 3), the trainer's settings
//! (field 2: kind of model 3, tokens with a meaning of their own 40 to 42) and the normalizer's (field 3: name 1, table 2,
//! space in front 3, collapse spaces 4). Source: sentencepiece_model.proto of
//! <https://github.com/google/sentencepiece>. Byte pairs with identity normalization are read.

use std::path::Path;

use tokenizers::Tokenizer;

use super::piece::{self, PIECE_LIMIT, Piece, PieceFault, Settings};
use crate::config::VOCABULARY_LIMIT;
use crate::error::{Error, Result};

/// What stands for a space in pieces.
const SPACE: char = '\u{2581}';
/// Kinds of pieces.
const NORMAL: u64 = 1;
const USER: u64 = 4;
/// Kinds of models by number.
const KINDS: [&str; 5] = ["no rule", "unigrams", "byte pairs", "words", "characters"];
const BYTE_PAIRS: u64 = 2;

/// The tokenizer of the file content `bytes`; `path` stands for the file in errors.
pub(super) fn build(path: &Path, bytes: &[u8]) -> Result<Tokenizer> {
    let (pieces, settings) = read(bytes).map_err(|fault| Error::Pieces { path: path.to_owned(), fault })?;
    piece::build(path, &pieces, &settings)
}

fn read(bytes: &[u8]) -> Result<(Vec<Piece>, Settings), PieceFault> {
    let mut pieces = Vec::new();
    // The defaults of the message.
    let (mut kind, mut own) = (1, [0u64, 1, 2]);
    let (mut name, mut table, mut prefix, mut collapse) = (String::new(), 0, true, true);
    let mut whole = Message { bytes, at: 0, base: 0 };
    while let Some((field, value)) = whole.next()? {
        match (field, value) {
            (1, Value::Bytes(part)) => {
                if pieces.len() == VOCABULARY_LIMIT {
                    return Err(PieceFault::TooMany);
                }
                pieces.push(one(part, pieces.len())?);
            }
            (2, Value::Bytes(mut part)) => {
                while let Some(found) = part.next()? {
                    match found {
                        (3, Value::Number(number)) => kind = number,
                        // A negative number, the sign of an absent token, is a large one here.
                        (field @ 40..=42, Value::Number(number)) => own[field as usize - 40] = number,
                        _ => {}
                    }
                }
            }
            (3, Value::Bytes(mut part)) => {
                while let Some(found) = part.next()? {
                    match found {
                        (1, Value::Bytes(text)) => name = String::from_utf8_lossy(text.bytes).into_owned(),
                        (2, Value::Bytes(rules)) => table = rules.bytes.len(),
                        (3, Value::Number(on)) => prefix = on != 0,
                        (4, Value::Number(on)) => collapse = on != 0,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    if kind != BYTE_PAIRS {
        return Err(PieceFault::Kind { got: KINDS.get(kind as usize).copied().unwrap_or(KINDS[0]) });
    }
    if table > 0 {
        return Err(PieceFault::Normalization { got: name });
    }
    let id = |number: u64| usize::try_from(number).ok().filter(|id| *id < pieces.len());
    let unknown = id(own[0]).ok_or(PieceFault::TooFew { got: pieces.len() })?;
    let bytes = pieces.iter().any(|piece| piece::is_byte(&piece.text));
    let (begin, end) = (id(own[1]), id(own[2]));
    Ok((pieces, Settings { unknown, begin, end, space: SPACE, prefix, collapse, bytes }))
}

fn one(mut part: Message<'_>, id: usize) -> Result<Piece, PieceFault> {
    let (mut text, mut score, mut kind) = (String::new(), 0.0, NORMAL);
    let offset = part.base;
    while let Some(found) = part.next()? {
        match found {
            (1, Value::Bytes(bytes)) if bytes.bytes.len() > PIECE_LIMIT => {
                return Err(PieceFault::Record { what: "a piece of no possible length", offset });
            }
            (1, Value::Bytes(bytes)) => {
                let decoded = std::str::from_utf8(bytes.bytes).map_err(|_| PieceFault::NotUtf8 { id })?;
                text = decoded.to_owned();
            }
            (2, Value::Word(bits)) => score = f32::from_bits(bits),
            (3, Value::Number(number)) => kind = number,
            _ => {}
        }
    }
    let plain = (kind == NORMAL || kind == USER) && !piece::is_byte(&text);
    Ok(Piece { text, score, plain })
}

/// A protocol-buffer message, read field by field.
struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the message begins in the file.
    base: usize,
}

enum Value<'a> {
    Number(u64),
    Word(u32),
    Bytes(Message<'a>),
    Long,
}

impl<'a> Message<'a> {
    /// The next field and its value; nothing at the end.
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, PieceFault> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let start = self.base + self.at;
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            1 => self.take(8).map(|_| Value::Long)?,
            2 => {
                let length = self.number()?;
                let base = self.base + self.at;
                let length = usize::try_from(length).map_err(|_| PieceFault::Truncated { offset: base })?;
                Value::Bytes(Message { bytes: self.take(length)?, at: 0, base })
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Word(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            _ => return Err(PieceFault::Record { what: "no protocol-buffer field", offset: start }),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PieceFault> {
        let offset = self.base + self.at;
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..count).ok_or(PieceFault::Truncated { offset })?;
        self.at += count;
        Ok(taken)
    }

    /// A variable-length number of at most ten bytes.
    fn number(&mut self) -> Result<u64, PieceFault> {
        let offset = self.base + self.at;
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(PieceFault::Record { what: "a number without end", offset })
    }
}
