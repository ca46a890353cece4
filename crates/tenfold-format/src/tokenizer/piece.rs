//! Byte-pair encoding by scored pieces, as SentencePiece and llama2.c write their vocabularies.
//!
//! A text begins as its characters; then the adjacent pair whose joined piece scores highest is joined, the leftmost
//! among equals, until no two neighbors make a piece. Written as merges this is the encoding of the tokenizer library: a
//! merge for every way to make a piece of two, in the order of falling scores.

use std::collections::HashMap;
use std::path::Path;

use tokenizers::decoders::{
    DecoderWrapper, byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence, strip::Strip,
};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Prepend, Replace, Sequence as Normalizers};
use tokenizers::processors::template::{SpecialToken, Template, TemplateProcessing};
use tokenizers::{AddedToken, Tokenizer};

use crate::config::VOCABULARY_LIMIT;
use crate::error::{Error, Result};

/// The longest piece, in bytes.
pub(super) const PIECE_LIMIT: usize = 1 << 12;

/// Spaces that are reduced to one.
pub(super) const SPACES: &str = " {2,}";

/// What is wrong with a vocabulary of scored pieces.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PieceFault {
    /// A size that no vocabulary of some texts can have.
    #[error(
        "{got} tokens, and the texts need {least} to {most}: their characters and the special tokens come first"
    )]
    Size {
        /// The least.
        least: usize,
        /// The most.
        most: usize,
        /// What was asked for.
        got: usize,
    },
    /// The file ends inside a record.
    #[error("truncated at byte {offset}")]
    Truncated {
        /// Where the record begins.
        offset: usize,
    },
    /// A record that is no valid part of its format.
    #[error("{what} at byte {offset}")]
    Record {
        /// The fault.
        what: &'static str,
        /// Where the record begins.
        offset: usize,
    },
    /// A piece that is no text.
    #[error("piece {id} is not UTF-8")]
    NotUtf8 {
        /// Its number.
        id: usize,
    },
    /// A score that orders nothing.
    #[error("the score of piece {id} is not a number")]
    Score {
        /// Its number.
        id: usize,
    },
    /// A piece that occurs twice.
    #[error("pieces {first} and {second} are both {piece:?}")]
    Duplicate {
        /// The text.
        piece: String,
        /// The first.
        first: usize,
        /// The second.
        second: usize,
    },
    /// More pieces than any vocabulary has.
    #[error("more than {VOCABULARY_LIMIT} pieces")]
    TooMany,
    /// Fewer pieces than the three that have a meaning of their own.
    #[error("{got} pieces, expected at least the unknown, the begin and the end token")]
    TooFew {
        /// Their number.
        got: usize,
    },
    /// Another way of encoding.
    #[error("encoding by {got}; only byte pairs are read")]
    Kind {
        /// Its name.
        got: &'static str,
    },
    /// Text normalization that is not implemented.
    #[error("normalization rule {got:?}; only identity is read")]
    Normalization {
        /// Its name.
        got: String,
    },
}

/// One piece.
pub(super) struct Piece {
    pub(super) text: String,
    /// Higher is joined earlier.
    pub(super) score: f32,
    /// Whether it can be made of others: not so for tokens with a meaning of their own and for single bytes.
    pub(super) plain: bool,
}

/// How a text is prepared and which pieces have a meaning of their own.
pub(super) struct Settings {
    pub(super) unknown: usize,
    pub(super) begin: Option<usize>,
    pub(super) end: Option<usize>,
    /// What stands for a space in pieces.
    pub(super) space: char,
    /// Whether a text gets a space in front.
    pub(super) prefix: bool,
    /// Whether spaces at the ends are dropped and others reduced to one.
    pub(super) collapse: bool,
    /// Whether characters that are no piece become their bytes.
    pub(super) bytes: bool,
}

/// The tokenizer of a list of pieces; `path` stands for their file in errors.
pub(super) fn build(path: &Path, pieces: &[Piece], settings: &Settings) -> Result<Tokenizer> {
    let fault = |fault| Error::Pieces { path: path.to_owned(), fault };
    let bad = |source| Error::BadTokenizer { path: path.to_owned(), source };
    let mut ids: HashMap<&str, u32> = HashMap::new();
    for (id, piece) in pieces.iter().enumerate() {
        if !piece.score.is_finite() {
            return Err(fault(PieceFault::Score { id }));
        }
        if let Some(first) = ids.insert(&piece.text, id as u32) {
            let (piece, first) = (piece.text.clone(), first as usize);
            return Err(fault(PieceFault::Duplicate { piece, first, second: id }));
        }
    }
    let model = BPE::builder()
        .vocab_and_merges(
            ids.iter().map(|(text, id)| ((*text).to_owned(), *id)).collect::<Vocab>(),
            merges(pieces, &ids),
        )
        .unk_token(pieces[settings.unknown].text.clone())
        .fuse_unk(true)
        .byte_fallback(settings.bytes)
        .build()
        .map_err(bad)?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers(settings).map_err(bad)?)));
    let back = |from: char, to: &str| Replace::new(ReplacePattern::String(from.into()), to);
    let mut decoders: Vec<DecoderWrapper> =
        vec![back(settings.space, " ").map_err(bad)?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if settings.prefix {
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    tokenizer.with_decoder(Some(Sequence::new(decoders)));
    let named = |id: Option<usize>| id.map(|id| pieces[id].text.clone());
    let own = [Some(settings.unknown), settings.begin, settings.end].into_iter().filter_map(named);
    tokenizer.add_special_tokens(&own.map(|text| AddedToken::from(text, true)).collect::<Vec<_>>());
    if let (Some(begin), Some(text)) = (settings.begin, named(settings.begin)) {
        tokenizer.with_post_processor(Some(beginning(&text, begin as u32).map_err(bad)?));
    }
    Ok(tokenizer)
}

/// Puts a token at the start of every text.
pub(super) fn beginning(text: &str, id: u32) -> tokenizers::Result<TemplateProcessing> {
    let template = |text: String| Template::try_from(text).map_err(tokenizers::Error::from);
    TemplateProcessing::builder()
        .single(template(format!("{text} $A"))?)
        .pair(template(format!("{text} $A {text}:1 $B:1"))?)
        .special_tokens(vec![SpecialToken::from((text.to_owned(), id))])
        .build()
        .map_err(tokenizers::Error::from)
}

/// Every way to make a piece of two, those of the highest score first.
fn merges(pieces: &[Piece], ids: &HashMap<&str, u32>) -> Vec<(String, String)> {
    let mut order: Vec<usize> = (0..pieces.len()).filter(|&id| pieces[id].plain).collect();
    order.sort_by(|&a, &b| pieces[b].score.total_cmp(&pieces[a].score));
    let known = |text: &str| ids.get(text).is_some_and(|&id| pieces[id as usize].plain);
    let mut merges = Vec::new();
    for id in order {
        let text = &pieces[id].text;
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if known(left) && known(right) {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
    }
    merges
}

fn normalizers(settings: &Settings) -> tokenizers::Result<Vec<NormalizerWrapper>> {
    let mut list: Vec<NormalizerWrapper> = Vec::new();
    let space = settings.space.to_string();
    if settings.collapse {
        // Spaces alone: line breaks are characters like others.
        list.push(Replace::new(ReplacePattern::Regex("^ +| +$".to_owned()), "")?.into());
        list.push(Replace::new(ReplacePattern::Regex(SPACES.to_owned()), " ")?.into());
    }
    if settings.space != ' ' {
        list.push(Replace::new(ReplacePattern::String(" ".to_owned()), space.as_str())?.into());
    }
    if settings.prefix {
        list.push(Prepend::new(space).into());
    }
    Ok(list)
}

/// Whether a piece stands for one byte: `<0x0A>`.
pub(super) fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && u8::from_str_radix(digits, 16).is_ok())
}
