//! A model that begins with random weights.

use crate::text::TextSource;
use std::path::PathBuf;

/// A model that begins with random weights, drawn by the recipe's seed.
#[derive(Clone, Debug, PartialEq)]
pub struct NewModel {
    /// Which layers, and what belongs to them alone.
    pub architecture: NewArchitecture,
    /// What its tokens are.
    pub vocabulary: Vocabulary,
    /// D.
    pub width: usize,
    /// F.
    pub hidden: usize,
    /// Layers; of an encoder-decoder those of the encoder.
    pub layers: usize,
    /// H, heads of queries; divides the width.
    pub heads: usize,
    /// The longest text, in tokens.
    pub positions: usize,
}

/// The architecture of a new model, with the sizes that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewArchitecture {
    /// An encoder.
    Bert,
    /// A decoder with learned positions.
    Gpt2 {
        /// Whether the output matrix is the table of tokens.
        tied: bool,
    },
    /// A decoder with gates and rotary positions.
    Llama {
        /// Heads of keys and values; divides the heads.
        key_heads: usize,
        /// Whether the output matrix is the table of tokens.
        tied: bool,
    },
    /// An encoder-decoder.
    T5 {
        /// Layers of the decoder.
        decoder_layers: usize,
        /// Whether the feed-forward part has a gate.
        gated: bool,
        /// Whether the output matrix is the table of tokens.
        tied: bool,
    },
}

impl NewArchitecture {
    /// The word of recipes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Bert => "bert",
            Self::Gpt2 { .. } => "gpt2",
            Self::Llama { .. } => "llama",
            Self::T5 { .. } => "t5",
        }
    }
}

/// The tokens of a new model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// One for every byte.
    Bytes,
    /// One for every character of a text.
    Characters(TextSource),
    /// BERT's pieces of words, learned from a text.
    WordPieces(Learned),
    /// Pairs of bytes, learned from a text.
    BytePairs(Learned),
    /// Those of a tokenizer, by the folder of its files.
    Folder(PathBuf),
}

/// What a vocabulary is learned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Where the texts come from; of a large one, parts that are spread over it.
    pub text: TextSource,
    /// Tokens, at most.
    pub tokens: usize,
    /// Whether texts lose their capitals.
    pub lower: bool,
}

impl Vocabulary {
    /// The text that it is made of, where it is.
    pub fn text(&self) -> Option<&TextSource> {
        match self {
            Self::Characters(text) => Some(text),
            Self::WordPieces(learned) | Self::BytePairs(learned) => Some(&learned.text),
            Self::Bytes | Self::Folder(_) => None,
        }
    }
}
