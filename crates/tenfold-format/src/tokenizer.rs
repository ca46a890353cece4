//! Text to token ids, by the model's own tokenizer file.
//!
//! `tokenizer.json` is read by Hugging Face's library; where there is only a `vocab.txt`, BERT's word pieces are put
//! together from it and `tokenizer_config.json`; from `vocab.json` and `merges.txt` GPT-2's byte pairs, and from the
//! vocabularies of SentencePiece, llama2.c and GGUF byte pairs by score. Truncation and padding written into the file are ignored: the caller
//! says how many tokens a text may have, and batches here are never padded.

mod byte_level;
mod gguf;
mod learn;
mod llama2c;
mod piece;
mod sentencepiece;
mod single;
mod vocabulary;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokenizers::utils::truncation::{TruncationParams, truncate_encodings};
use tokenizers::{Encoding, PostProcessor, TruncationDirection, TruncationStrategy};

pub use learn::Around;
pub use piece::PieceFault;

use crate::error::{Error, Result};
use crate::gguf::{Gguf, Value};
use crate::map;

/// The file of Hugging Face's library.
pub const FILE: &str = "tokenizer.json";
/// The word pieces of a BERT model, one a line.
pub const VOCABULARY: &str = "vocab.txt";
/// The byte pairs of GPT-2, with [`MERGES`].
pub const PAIRS: &str = "vocab.json";
/// The order in which byte pairs are joined.
pub const MERGES: &str = "merges.txt";
/// A SentencePiece model, by its usual name; `tok*.model` where that is missing.
pub const PIECES: &str = "tokenizer.model";
/// Settings beside either.
pub const SETTINGS: &str = "tokenizer_config.json";

/// The longest tokenizer file that is read, in bytes.
pub const TOKENIZER_LIMIT: u64 = 256 << 20;

/// A model's tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    path: PathBuf,
}

impl Tokenizer {
    /// Opens the tokenizer of the model folder `dir`: the first of `tokenizer.json`, `vocab.txt`, `vocab.json` with
    /// `merges.txt`, `tokenizer.model`, `tok*.bin`, `tok*.model`.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`]; [`Error::BadTokenizer`], [`Error::MissingToken`] and so on for unusable files.
    pub fn open(dir: &Path) -> Result<Tokenizer> {
        let (file, vocabulary) = (dir.join(FILE), dir.join(VOCABULARY));
        if file.is_file() {
            let bytes = map::read(&file, "the tokenizer", TOKENIZER_LIMIT)?;
            return Tokenizer::from_json(&file, &bytes);
        }
        if vocabulary.is_file() {
            let inner = vocabulary::open(&vocabulary, &dir.join(SETTINGS))?;
            return Ok(Tokenizer { inner, path: vocabulary });
        }
        let (pairs, merges) = (dir.join(PAIRS), dir.join(MERGES));
        if pairs.is_file() && merges.is_file() {
            let inner = byte_level::open(&pairs, &merges)?;
            return Ok(Tokenizer { inner, path: pairs });
        }
        let pieces = dir.join(PIECES);
        let missing = || Error::NoTokenizer { path: dir.to_owned() };
        let file = if pieces.is_file() { pieces } else { loose(dir)?.ok_or_else(missing)? };
        let bytes = map::read(&file, "the vocabulary", TOKENIZER_LIMIT)?;
        Tokenizer::from_pieces(&file, &bytes)
    }

    /// Reads the content of a SentencePiece model, or of a vocabulary of llama2.c where the name of `path` ends in
    /// `.bin`; `path` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Pieces`], [`Error::BadTokenizer`].
    pub fn from_pieces(path: &Path, bytes: &[u8]) -> Result<Tokenizer> {
        let plain = path.extension().is_some_and(|ending| ending == "bin");
        let inner = if plain { llama2c::build(path, bytes)? } else { sentencepiece::build(path, bytes)? };
        Ok(Tokenizer { inner, path: path.to_owned() })
    }

    /// A fresh tokenizer with a token for every character of some texts; others are unknown to it. A text begins with
    /// [`Tokenizer::BEGIN`], and [`Tokenizer::END`] is there for a model to end one with.
    ///
    /// # Errors
    /// [`Error::Pieces`] for more characters than any vocabulary has tokens.
    ///
    /// ```
    /// use tenfold_format::tokenizer::Tokenizer;
    ///
    /// let letters = Tokenizer::of_characters(["ab", "b c"].into_iter())?;
    /// assert_eq!(letters.vocabulary_size(), 3 + 4);
    /// assert_eq!(letters.encode("cab", 9)?, [1, 6, 4, 5]);
    /// assert_eq!(letters.decode(&[1, 6, 3, 4])?, "c a");
    /// # Ok::<(), tenfold_format::Error>(())
    /// ```
    pub fn of_characters<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Tokenizer> {
        let path = PathBuf::from("characters");
        Ok(Tokenizer { inner: single::characters(&path, texts)?, path })
    }

    /// A fresh tokenizer with a token for every byte; otherwise as [`Tokenizer::of_characters`].
    ///
    /// # Errors
    /// None that can be met; those of the library.
    pub fn of_bytes() -> Result<Tokenizer> {
        let path = PathBuf::from("bytes");
        Ok(Tokenizer { inner: single::bytes(&path)?, path })
    }

    /// BERT's word pieces, `size` at most, learned from some texts by joining frequent neighbors. The tokens `[PAD]`, `[UNK]`, `[CLS]`,
    /// `[SEP]` and `[MASK]` come first. With `lower`, texts lose their capitals and accents.
    ///
    /// # Errors
    /// [`Error::Pieces`] for fewer tokens than the texts have characters need; [`Error::Tokenize`],
    /// [`Error::BadTokenizer`] for faults of the library.
    ///
    /// # Source
    /// Schuster and Nakajima 2012; pieces are chosen by frequency, as in Hugging Face's trainer.
    pub fn learn_word_pieces(texts: &[&str], size: usize, lower: bool) -> Result<Tokenizer> {
        let path = PathBuf::from("wordpiece");
        Ok(Tokenizer { inner: learn::word_pieces(&path, texts, size, lower)?, path })
    }

    /// Byte pairs in the manner of GPT-2, `size` tokens at most, learned from some texts. `<pad>`, `<s>` and `</s>` come first; which
    /// of them stand around a text, `around` says. With `lower`, texts lose their capitals.
    ///
    /// # Errors
    /// As [`Tokenizer::learn_word_pieces`].
    ///
    /// # Source
    /// Sennrich et al. 2016; over bytes as in Radford et al. 2019.
    pub fn learn_byte_pairs(texts: &[&str], size: usize, lower: bool, around: Around) -> Result<Tokenizer> {
        let path = PathBuf::from("bpe");
        Ok(Tokenizer { inner: learn::byte_pairs(&path, texts, size, lower, around)?, path })
    }

    /// The token that begins a text in fresh vocabularies.
    pub const BEGIN: u32 = single::BEGIN;
    /// The token that ends a text in fresh vocabularies.
    pub const END: u32 = single::END;

    /// The tokenizer in the metadata of a GGUF file; `path` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::GgufModel`] for missing and misshapen entries; [`Error::Unsupported`] for a kind that is not known;
    /// [`Error::Pieces`], [`Error::BadTokenizer`], [`Error::DuplicateToken`], [`Error::BadMerge`].
    pub fn from_gguf(path: &Path, header: &Gguf) -> Result<Tokenizer> {
        Ok(Tokenizer { inner: gguf::build(path, header)?, path: path.to_owned() })
    }

    /// The entries that say in a GGUF file what this tokenizer does, for a model with `rows` rows in its table of tokens.
    /// Tokens that end a text are the model's to say.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a tokenizer of which GGUF has no kind; [`Error::BadTokenizer`].
    pub fn gguf(&self, rows: usize) -> Result<Vec<(String, Value)>> {
        gguf::entries(&self.path, &self.json()?, rows)
    }

    /// Reads the content of a `tokenizer.json`; `path` stands for the file in errors.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::BadTokenizer`].
    pub fn from_json(path: &Path, bytes: &[u8]) -> Result<Tokenizer> {
        // First, because the library does not say where the fault is, and panics at some.
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(Error::json(path))?;
        let bad = |source| Error::BadTokenizer { path: path.to_owned(), source };
        let inner = guard(|| {
            let mut inner = tokenizers::Tokenizer::from_bytes(bytes)?;
            inner.with_truncation(None)?;
            inner.with_padding(None);
            // Some faults (a template with a token that it does not define) show only in use.
            inner.encode_fast("a", true)?;
            inner.encode_fast(("a", "b"), true)?;
            Ok(inner)
        });
        Ok(Tokenizer { inner: inner.map_err(bad)?, path: path.to_owned() })
    }

    /// Splits `text` into at most `max_tokens` ids, special tokens included; the end of a text that is too long is cut
    /// off, and the final special token kept.
    ///
    /// # Errors
    /// [`Error::TooFewTokens`] when the special tokens alone are more; [`Error::Tokenize`].
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>> {
        let room = self.room(max_tokens, false)?;
        let mut encoding = self.split(text)?;
        encoding.truncate(room, 0, TruncationDirection::Right);
        Ok(self.finish(encoding, None, text.len())?.get_ids().to_vec())
    }

    /// Splits two texts into one sequence of at most `max_tokens` ids, special tokens included, and the type of each
    /// (0 in the first text, 1 in the second); the longer text is cut first.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_pair(&self, first: &str, second: &str, max_tokens: usize) -> Result<(Vec<u32>, Vec<u32>)> {
        let params = TruncationParams {
            max_length: self.room(max_tokens, true)?,
            strategy: TruncationStrategy::LongestFirst,
            stride: 0,
            direction: TruncationDirection::Right,
        };
        let bytes = first.len() + second.len();
        let (first, second) = truncate_encodings(self.split(first)?, Some(self.split(second)?), &params)
            .map_err(|source| self.failed(bytes, source))?;
        let encoding = self.finish(first, second, bytes)?;
        Ok((encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec()))
    }

    /// The text of some ids; tokens with a meaning of their own are left out, and bytes that are no text become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenize`].
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        guard(|| self.inner.decode(ids, true)).map_err(|source| self.failed(4 * ids.len(), source))
    }

    /// The number of ids, added tokens included.
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The token with this id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of this token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's content as Hugging Face's library writes it, for saving beside a model.
    ///
    /// # Errors
    /// [`Error::BadTokenizer`].
    pub fn json(&self) -> Result<String> {
        guard(|| self.inner.to_string(true))
            .map_err(|source| Error::BadTokenizer { path: self.path.clone(), source })
    }

    /// Tokens of text among `max_tokens`.
    fn room(&self, max_tokens: usize, pair: bool) -> Result<usize> {
        let special = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(pair));
        max_tokens.checked_sub(special).ok_or(Error::TooFewTokens { max_tokens, special })
    }

    fn split(&self, text: &str) -> Result<Encoding> {
        guard(|| self.inner.encode_fast(text, false)).map_err(|source| self.failed(text.len(), source))
    }

    /// Adds the special tokens.
    fn finish(&self, mut first: Encoding, mut second: Option<Encoding>, bytes: usize) -> Result<Encoding> {
        // What was cut off would otherwise get special tokens too, only to be thrown away.
        first.take_overflowing();
        second.as_mut().map(Encoding::take_overflowing);
        guard(|| self.inner.post_process(first, second, true)).map_err(|source| self.failed(bytes, source))
    }

    fn failed(&self, bytes: usize, source: tokenizers::Error) -> Error {
        Error::Tokenize { path: self.path.clone(), bytes, source }
    }
}

/// The vocabulary of llama2.c or SentencePiece of a folder, by its name: `tok*.bin` before `tok*.model`.
fn loose(dir: &Path) -> Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::read(dir))? {
        let path = entry.map_err(Error::read(dir))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with("tok") && (name.ends_with(".bin") || name.ends_with(".model")) {
            found.push((name.ends_with(".model"), path));
        }
    }
    Ok(found.into_iter().min().map(|(_, path)| path))
}

/// What a panic inside the tokenizer library said.
#[derive(Debug, thiserror::Error)]
#[error("the tokenizer library panicked: {message}")]
struct Panicked {
    message: String,
}

/// Runs `work` of the library; a panic, with which it answers some malformed files, becomes an error.
fn guard<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    // The library's state is only read here, so nothing can be seen half changed after a panic.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Err(Box::new(Panicked { message }))
    })
}
