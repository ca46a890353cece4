//! A model from nothing: a vocabulary, sizes and a seed.

use crate::default::NEW_SAMPLE;
use crate::error::Error;
use crate::recipe::{Learned, NewArchitecture, NewModel, Vocabulary};
use crate::text::{Broken, Parts, TextSource, Use};
use tenfold_format::config::{BertConfig, Gpt2Config, LlamaConfig, ModelConfig, T5Config};
use tenfold_format::tokenizer::{Around, Tokenizer};
use tenfold_model::Model;

/// Added to the mean square in norms of new LLaMA models, as in llama2.c and in most published ones.
const NORM_EPS: f64 = 1e-5;
/// The tokens that begin and end texts in vocabularies of decoders; in GPT-2's one token does both.
const BEGIN: [&str; 2] = ["<s>", "<|endoftext|>"];
const END: [&str; 2] = ["</s>", "<|endoftext|>"];
/// The tokens that fill up what is shorter, which a T5's answer begins with.
const PAD: [&str; 2] = ["[PAD]", "<pad>"];

/// Draws the weights of a new model.
///
/// # Errors
/// Faults of the vocabulary's text; sizes that no model can have.
pub(super) fn fresh(model: &NewModel, seed: u64) -> Result<Model, Error> {
    let tokenizer = tokenizer(model)?;
    let one = |names: &[&str]| names.iter().find_map(|name| tokenizer.id(name));
    let (begin_token, end_tokens) = (one(&BEGIN), one(&END).into_iter().collect::<Vec<u32>>());
    let vocabulary = tokenizer.vocabulary_size();
    let NewModel { width, hidden, layers, heads, positions, .. } = *model;
    // What does not divide is refused by name when the model is made.
    let head_width = width / heads.max(1);
    let config = match model.architecture {
        NewArchitecture::Bert => ModelConfig::Bert(BertConfig {
            vocabulary,
            width,
            layers,
            heads,
            hidden,
            positions,
            pad_token: one(&PAD),
            ..BertConfig::default()
        }),
        NewArchitecture::Gpt2 { tied } => ModelConfig::Gpt2(Gpt2Config {
            vocabulary,
            width,
            layers,
            heads,
            hidden,
            positions,
            tied,
            begin_token,
            end_tokens,
            ..Gpt2Config::default()
        }),
        NewArchitecture::Llama { key_heads, tied } => ModelConfig::Llama(LlamaConfig {
            vocabulary,
            width,
            layers,
            heads,
            key_heads,
            head_width,
            hidden,
            positions,
            tied,
            begin_token,
            end_tokens,
            norm_eps: NORM_EPS,
            ..LlamaConfig::default()
        }),
        NewArchitecture::T5 { decoder_layers, gated, tied } => ModelConfig::T5(T5Config {
            vocabulary,
            width,
            layers,
            decoder_layers,
            heads,
            head_width,
            hidden,
            positions,
            gated,
            tied,
            start_token: one(&PAD).unwrap_or_default(),
            end_tokens,
            ..T5Config::default()
        }),
    };
    Ok(Model::fresh(config, tokenizer, seed)?)
}

fn tokenizer(model: &NewModel) -> Result<Tokenizer, Error> {
    Ok(match &model.vocabulary {
        Vocabulary::Bytes => Tokenizer::of_bytes()?,
        Vocabulary::Characters(text) => {
            Tokenizer::of_characters(text.texts(Use::Train)?.iter().map(String::as_str))?
        }
        Vocabulary::WordPieces(Learned { text, tokens, lower }) => {
            Tokenizer::learn_word_pieces(&borrowed(&sample(text)?), *tokens, *lower)?
        }
        Vocabulary::BytePairs(Learned { text, tokens, lower }) => {
            let around = match model.architecture {
                NewArchitecture::Bert => Around::Both,
                NewArchitecture::T5 { .. } => Around::End,
                _ => Around::Begin,
            };
            Tokenizer::learn_byte_pairs(&borrowed(&sample(text)?), *tokens, *lower, around)?
        }
        Vocabulary::Folder(folder) => Tokenizer::open(folder)?,
    })
}

/// The texts of a source, or of parts that are spread evenly over it.
fn sample(text: &TextSource) -> Result<Vec<String>, Error> {
    let parts = Parts::of(text, Broken::Stop)?;
    let (all, taken) = (parts.len(), parts.len().min(NEW_SAMPLE));
    let mut texts = Vec::new();
    for at in 0..taken {
        texts.append(&mut parts.texts(at * all / taken)?);
    }
    Ok(texts)
}

fn borrowed(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
