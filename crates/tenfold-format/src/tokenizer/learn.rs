//! Vocabularies learned from text: BERT's word pieces and byte pairs. The same texts give the same vocabulary.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::{SpecialToken, Template, TemplateProcessing};
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer, Trainer,
};

use super::piece::PieceFault;
use super::{byte_level, vocabulary};
use crate::config::VOCABULARY_LIMIT;
use crate::error::{Error, Result};

/// BERT's own tokens, in the order of the published vocabularies.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// What pieces inside a word begin with.
const INSIDE: &str = "##";
/// The most characters that word pieces begin with, the most frequent ones.
const CHARACTERS: usize = 1000;
/// How often a pair must stand in the texts to become a piece.
const LEAST: u64 = 2;

const PAD: &str = "<pad>";
const BEGIN: &str = "<s>";
const END: &str = "</s>";
const MASK: &str = "<mask>";

/// Which tokens stand around a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Around {
    /// One that begins it, as decoders want it.
    Begin,
    /// One that ends it, as the encoder of an encoder-decoder wants it.
    End,
    /// Both, and a mask token in the vocabulary, as encoders want it.
    Both,
}

/// The word pieces of some texts, `size` at most.
pub(super) fn word_pieces(path: &Path, texts: &[&str], size: usize, lower: bool) -> Result<Tokenizer> {
    let special = SPECIAL.join("\n");
    let base = vocabulary::of_pieces(path, &special, lower)?;
    let words = |text: &str| {
        let found = words(&base, text)?;
        Ok(found.into_iter().filter(|word| word.chars().count() <= vocabulary::MAX_CHARACTERS).collect())
    };
    let alphabet = alphabet(path, texts, &words)?;
    let least = SPECIAL.len() + 2 * alphabet.len();
    check(path, size, least)?;
    // The library numbers continuing characters in the order of a hash table, unless they are there from the start.
    let own = SPECIAL.iter().map(|text| (*text).to_owned());
    let inside = alphabet.iter().map(|character| format!("{INSIDE}{character}"));
    let first = own.chain(inside).map(|text| AddedToken::from(text, false)).collect();
    let trainer = BpeTrainer::builder()
        .vocab_size(size)
        .min_frequency(LEAST)
        .show_progress(false)
        .special_tokens(first)
        .continuing_subword_prefix(INSIDE.to_owned())
        .build();
    let known = |text: &str| -> tokenizers::Result<Vec<String>> {
        let found: Vec<String> = words(text)?;
        Ok(found.into_iter().filter(|word| word.chars().all(|one| alphabet.contains(&one))).collect())
    };
    let model = learned(path, trainer, texts, &known)?;
    let mut pieces: Vec<(u32, String)> = model.get_vocab().into_iter().map(|(text, id)| (id, text)).collect();
    pieces.sort();
    let lines: Vec<String> = pieces.into_iter().map(|(_, text)| text).collect();
    vocabulary::of_pieces(path, &lines.join("\n"), lower)
}

/// The byte pairs of some texts, `size` tokens at most. Tokens 0, 1 and 2 pad, begin and end.
pub(super) fn byte_pairs(
    path: &Path,
    texts: &[&str],
    size: usize,
    lower: bool,
    around: Around,
) -> Result<Tokenizer> {
    let own: &[&str] = if around == Around::Both { &[PAD, BEGIN, END, MASK] } else { &[PAD, BEGIN, END] };
    let alphabet = ByteLevel::alphabet();
    check(path, size, own.len() + alphabet.len())?;
    let trainer = BpeTrainer::builder()
        .vocab_size(size)
        .min_frequency(LEAST)
        .show_progress(false)
        .special_tokens(own.iter().map(|text| AddedToken::from(*text, true)).collect())
        .initial_alphabet(alphabet.into_iter().collect())
        .build();
    let base = finish(byte_level::build(path, HashMap::new(), Vec::new(), &[], None)?, lower);
    let model = learned(path, trainer, texts, &|text| words(&base, text))?;
    let merges = merges(path, &model)?;
    let vocab: HashMap<String, u32> = model.get_vocab().into_iter().collect();
    let mut tokenizer = finish(byte_level::build(path, vocab, merges, own, None)?, lower);
    let bad = |source| Error::BadTokenizer { path: path.to_owned(), source };
    tokenizer.with_post_processor(Some(framed(around).map_err(bad)?));
    Ok(tokenizer)
}

fn finish(mut tokenizer: Tokenizer, lower: bool) -> Tokenizer {
    if lower {
        tokenizer.with_normalizer(Some(Lowercase));
    }
    tokenizer
}

/// Puts the tokens around texts.
fn framed(around: Around) -> tokenizers::Result<TemplateProcessing> {
    let (single, pair) = match around {
        Around::Begin => (format!("{BEGIN} $A"), format!("{BEGIN} $A {BEGIN}:1 $B:1")),
        Around::End => (format!("$A {END}"), format!("$A {END} $B:1 {END}:1")),
        Around::Both => (format!("{BEGIN} $A {END}"), format!("{BEGIN} $A {END} $B:1 {END}:1")),
    };
    let template = |text: String| Template::try_from(text).map_err(tokenizers::Error::from);
    let token = |text: &str, id: u32| SpecialToken::from((text.to_owned(), id));
    TemplateProcessing::builder()
        .single(template(single)?)
        .pair(template(pair)?)
        .special_tokens(vec![token(BEGIN, super::Tokenizer::BEGIN), token(END, super::Tokenizer::END)])
        .build()
        .map_err(tokenizers::Error::from)
}

fn check(path: &Path, size: usize, least: usize) -> Result<()> {
    if size < least || size > VOCABULARY_LIMIT {
        let fault = PieceFault::Size { least, most: VOCABULARY_LIMIT, got: size };
        return Err(Error::Pieces { path: path.to_owned(), fault });
    }
    Ok(())
}

/// The words of a text as a tokenizer sees them before it looks for pieces.
fn words(tokenizer: &Tokenizer, text: &str) -> tokenizers::Result<Vec<String>> {
    let mut normalized = NormalizedString::from(text);
    if let Some(normalizer) = tokenizer.get_normalizer() {
        normalizer.normalize(&mut normalized)?;
    }
    let mut split = PreTokenizedString::from(normalized);
    if let Some(splitter) = tokenizer.get_pre_tokenizer() {
        splitter.pre_tokenize(&mut split)?;
    }
    let found = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(found.into_iter().map(|(word, _, _)| word.to_owned()).collect())
}

/// The most frequent characters; among equals those of the smaller code points.
fn alphabet(
    path: &Path,
    texts: &[&str],
    words: &impl Fn(&str) -> tokenizers::Result<Vec<String>>,
) -> Result<BTreeSet<char>> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for text in texts {
        let found = super::guard(|| words(text)).map_err(|source| failed(path, text, source))?;
        for character in found.iter().flat_map(|word| word.chars()) {
            *counts.entry(character).or_default() += 1;
        }
    }
    let mut order: Vec<(char, u64)> = counts.into_iter().collect();
    order.sort_by_key(|(character, count)| (std::cmp::Reverse(*count), *character));
    Ok(order.into_iter().take(CHARACTERS).map(|(character, _)| character).collect())
}

/// Pieces and merges by a trainer of the library.
fn learned(
    path: &Path,
    trainer: BpeTrainer,
    texts: &[&str],
    words: &(impl Fn(&str) -> tokenizers::Result<Vec<String>> + Sync),
) -> Result<BPE> {
    let run = || {
        let mut trainer = trainer.clone();
        trainer.feed(texts.iter(), words)?;
        let mut model = BPE::default();
        trainer.train(&mut model)?;
        Ok(model)
    };
    super::guard(run).map_err(|source| Error::BadTokenizer { path: path.to_owned(), source })
}

/// The merges of a model in order, as its file has them.
fn merges(path: &Path, model: &BPE) -> Result<Vec<(String, String)>> {
    let json = serde_json::to_value(model).map_err(Error::json(path))?;
    let listed = json.get("merges").and_then(Value::as_array).cloned().unwrap_or_default();
    serde_json::from_value(Value::Array(listed)).map_err(Error::json(path))
}

fn failed(path: &Path, text: &str, source: tokenizers::Error) -> Error {
    Error::Tokenize { path: path.to_owned(), bytes: text.len(), source }
}
