//! BERT's word pieces from `vocab.txt`: clean, perhaps lower-case, split at spaces and punctuation, then take the
//! longest known piece from the left (`##` marks pieces inside a word).

use std::collections::HashMap;
use std::path::Path;

use tokenizers::decoders::wordpiece::WordPiece as Decoder;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::TOKENIZER_LIMIT;
use crate::error::{Error, Result};
use crate::map;

/// Words longer than this become the unknown token, as in the published tokenizer.
pub(super) const MAX_CHARACTERS: usize = 100;

/// Opens the word pieces at `path`, with the settings at `settings` when that file exists.
pub(super) fn open(path: &Path, settings: &Path) -> Result<Tokenizer> {
    let text = map::read_text(path, "the vocabulary", TOKENIZER_LIMIT)?;
    let settings = if settings.is_file() {
        let bytes = map::read(settings, "the tokenizer settings", TOKENIZER_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(Error::json(settings))?
    } else {
        Settings::default()
    };
    build(path, &text, &settings)
}

/// The tokenizer of some pieces, one a line, with the usual names of BERT's own tokens.
pub(super) fn of_pieces(path: &Path, text: &str, lower: bool) -> Result<Tokenizer> {
    build(path, text, &Settings { do_lower_case: lower, ..Settings::default() })
}

/// What matters in `tokenizer_config.json`, with Hugging Face's defaults.
#[derive(serde::Deserialize)]
#[serde(default)]
struct Settings {
    do_lower_case: bool,
    strip_accents: Option<bool>,
    tokenize_chinese_chars: bool,
    unk_token: Token,
    cls_token: Token,
    sep_token: Token,
    pad_token: Option<Token>,
    mask_token: Option<Token>,
}

impl Default for Settings {
    fn default() -> Settings {
        let token = |text: &str| Token::Text(text.to_owned());
        Settings {
            do_lower_case: true,
            strip_accents: None,
            tokenize_chinese_chars: true,
            unk_token: token("[UNK]"),
            cls_token: token("[CLS]"),
            sep_token: token("[SEP]"),
            pad_token: Some(token("[PAD]")),
            mask_token: Some(token("[MASK]")),
        }
    }
}

/// A special token, which releases of the Python library write in either way.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Object { content: String },
}

impl Token {
    fn text(&self) -> &str {
        match self {
            Token::Text(text) | Token::Object { content: text } => text,
        }
    }
}

fn build(path: &Path, text: &str, settings: &Settings) -> Result<Tokenizer> {
    let mut ids: HashMap<&str, u32> = HashMap::new();
    // Trailing space is dropped from a line, as the library does.
    for (id, line) in text.lines().map(str::trim_end).enumerate() {
        if let Some(first) = ids.insert(line, id as u32) {
            return Err(Error::DuplicateToken {
                path: path.to_owned(),
                token: line.to_owned(),
                first: first as usize + 1,
                second: id + 1,
            });
        }
    }
    let id = |token: &Token| -> Result<(String, u32)> {
        let missing = || Error::MissingToken { path: path.to_owned(), token: token.text().to_owned() };
        Ok((token.text().to_owned(), *ids.get(token.text()).ok_or_else(missing)?))
    };
    let (unknown, _) = id(&settings.unk_token)?;
    let (cls, sep) = (id(&settings.cls_token)?, id(&settings.sep_token)?);

    let bad = |source| Error::BadTokenizer { path: path.to_owned(), source };
    let model = WordPiece::builder()
        .vocab(WordPiece::read_bytes(text.as_bytes()).map_err(bad)?)
        .unk_token(unknown)
        .max_input_chars_per_word(MAX_CHARACTERS)
        .build()
        .map_err(bad)?;
    let mut tokenizer = Tokenizer::new(model);
    let normalizer = BertNormalizer::new(
        true,
        settings.tokenize_chinese_chars,
        settings.strip_accents,
        settings.do_lower_case,
    );
    tokenizer.with_normalizer(Some(normalizer));
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(Decoder::default()));
    tokenizer.with_post_processor(Some(BertProcessing::new(sep, cls)));

    // Special tokens in a text are taken whole, as Hugging Face's tokenizers do.
    let required = [&settings.unk_token, &settings.cls_token, &settings.sep_token];
    let optional = [&settings.pad_token, &settings.mask_token].into_iter().flatten();
    let special = required.into_iter().chain(optional.filter(|token| ids.contains_key(token.text())));
    tokenizer
        .add_special_tokens(&special.map(|token| AddedToken::from(token.text(), true)).collect::<Vec<_>>());
    Ok(tokenizer)
}
