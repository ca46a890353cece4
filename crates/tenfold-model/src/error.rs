//! What can go wrong in loading and running a model.

use crate::adapter::AdapterFault;
use std::path::PathBuf;
use thiserror::Error as Derive;

/// A fault in a model's weights, its input or its files.
#[derive(Debug, Derive)]
#[non_exhaustive]
pub enum Error {
    /// The config names an architecture that is read but cannot be run.
    #[error("{dir}: architecture {architecture} cannot be run; known: bert, gpt2, llama, t5")]
    Architecture {
        /// The model folder.
        dir: PathBuf,
        /// The architecture found.
        architecture: &'static str,
    },
    /// Weights that the architecture needs are not in the checkpoint.
    #[error("{dir}: the checkpoint lacks {}", list(.paths))]
    MissingWeights {
        /// The model folder.
        dir: PathBuf,
        /// Paths that were expected.
        paths: Vec<String>,
    },
    /// Weights in the checkpoint that the architecture does not know.
    #[error("{dir}: the checkpoint holds {} that this architecture does not know; is config.json the right one?", list(.paths))]
    ExtraWeights {
        /// The model folder.
        dir: PathBuf,
        /// Paths that were not expected.
        paths: Vec<String>,
    },
    /// A weight's shape is not what the config says.
    #[error("{dir}: {path} has shape {got:?}, config.json says {expected:?}")]
    WeightShape {
        /// The model folder.
        dir: PathBuf,
        /// The weight's path.
        path: String,
        /// The shape that the config implies.
        expected: Vec<usize>,
        /// The shape found.
        got: Vec<usize>,
    },
    /// A tensor that holds several weights has a shape that cannot be split.
    #[error("{dir}: {path} has shape {got:?}, which does not hold {parts} weights side by side")]
    PackedShape {
        /// The model folder.
        dir: PathBuf,
        /// The tensor's name.
        path: String,
        /// How many weights it should hold.
        parts: usize,
        /// The shape found.
        got: Vec<usize>,
    },
    /// An adapter and a model that do not belong together.
    #[error("{dir}: {fault}")]
    Adapter {
        /// The adapter's folder.
        dir: PathBuf,
        /// What is wrong.
        fault: AdapterFault,
    },
    /// Modules that a plain checkpoint cannot hold.
    #[error("{path} holds what method {methods} adds, and a plain checkpoint has no place for it; {way}")]
    Modules {
        /// The socket.
        path: tenfold_weight::Path,
        /// The methods that put such modules there.
        methods: &'static str,
        /// What can be done.
        way: &'static str,
    },
    /// A model that GGUF files are not written of.
    #[error(
        "GGUF files are written of llama models, not of {architecture} with {what}; convert it to another layout"
    )]
    NoGguf {
        /// The architecture.
        architecture: &'static str,
        /// A weight, or all of them.
        what: String,
    },
    /// Codes that would have to be rounded a second time.
    #[error(
        "{path} is quantized in {from}, which no blocks of GGUF hold exactly: {source}; rounding it again to {to} would lose more: write \
         f16, or quantize in blocks or in symmetric groups of 32"
    )]
    Requantized {
        /// The weight's path.
        path: tenfold_weight::Path,
        /// Its scheme.
        from: String,
        /// The scheme asked for.
        to: &'static str,
        /// Why there are no such blocks.
        source: tenfold_tensor::Inexact,
    },
    /// A model without codes that GPTQ's layout could hold.
    #[error(
        "the layout of GPTQ holds codes of linear maps, and {why}; a recipe with the method gptq or rtn makes some"
    )]
    NothingQuantized {
        /// Why there are none.
        why: String,
    },
    /// Codes that GPTQ's layout does not hold without rounding.
    #[error(
        "{path} is quantized in {from}, which groups of integers do not hold exactly: {source}; convert to gguf or dense instead"
    )]
    NoGroups {
        /// The weight's path.
        path: tenfold_weight::Path,
        /// Its scheme.
        from: String,
        /// Why there are no such groups.
        source: tenfold_tensor::Inexact,
    },
    /// Codes of a width that GPTQ's layout does not have, or that differs from that of another weight.
    #[error(
        "{path} has codes of {got} bits; a checkpoint of GPTQ has one width, 2, 3, 4 or 8 bits, and {other} has {bits}"
    )]
    GptqBits {
        /// The weight's path.
        path: tenfold_weight::Path,
        /// Its width.
        got: u8,
        /// The first quantized weight.
        other: tenfold_weight::Path,
        /// That weight's width.
        bits: u8,
    },
    /// A weight whose numbers a scheme cannot store.
    #[error("{path}: {source}")]
    Unstorable {
        /// The weight's path.
        path: tenfold_weight::Path,
        /// What the scheme says.
        source: tenfold_tensor::Error,
    },
    /// A weight holds a NaN or an infinity.
    #[error("{dir}: {path} is not finite at index {index}; the checkpoint is damaged")]
    NonFinite {
        /// The model folder.
        dir: PathBuf,
        /// The weight's path.
        path: String,
        /// The first such entry, row-major.
        index: usize,
    },
    /// A model without a task head was asked for its outputs.
    #[error("{origin} has no task head; train one with a phase whose objective is \"task\"")]
    NoHead {
        /// Where the model came from.
        origin: String,
    },
    /// A model without the heads of pre-training was asked for what they say.
    #[error(
        "{origin} has no head of pre-training that could say this; train one with a phase whose objective is \"masked\""
    )]
    NoGuesses {
        /// Where the model came from.
        origin: String,
    },
    /// Heads of pre-training are made for encoders only.
    #[error(
        "chosen tokens are guessed by an encoder, which sees both sides of them; {architecture} has a decoder: take a bert, or the objective \"language\""
    )]
    GuessesOnDecoder {
        /// The architecture.
        architecture: &'static str,
    },
    /// A model that reads in both directions was asked for the next token.
    #[error(
        "a {architecture} model does not say which token comes next; that takes a decoder, such as gpt2, llama or t5"
    )]
    NoOutput {
        /// The architecture.
        architecture: &'static str,
    },
    /// An architecture whose layers do not stand one on the other was to be walked through.
    #[error(
        "a {architecture} model is no single stack of layers that could be gone through one by one; that takes a bert, gpt2 or llama"
    )]
    NoStack {
        /// The architecture.
        architecture: &'static str,
    },
    /// A depth that the model cannot be given.
    #[error("the model cannot have {layers} layers: {why}")]
    Depth {
        /// The number of layers asked for.
        layers: usize,
        /// Why not.
        why: String,
    },
    /// A model whose weights cannot wait in their file.
    #[error(
        "{dir}: layers are read one by one from plain checkpoints, and {why}; load the whole model instead"
    )]
    NoWaiting {
        /// The model folder or file.
        dir: PathBuf,
        /// What this is instead.
        why: &'static str,
    },
    /// A file that is no longer what it was when it was opened.
    #[error(
        "{dir}: layer {layer} is not there as it was when the file was opened; something else writes to it"
    )]
    Moved {
        /// The model folder.
        dir: PathBuf,
        /// The layer, from 0.
        layer: usize,
    },
    /// An encoder-decoder has nothing to read.
    #[error("a {architecture} model answers to a source text, and there is none")]
    NoSource {
        /// The architecture.
        architecture: &'static str,
    },
    /// A source text was given to a model that reads none.
    #[error(
        "a {architecture} model has no encoder beside its decoder to read a source text; that takes a t5"
    )]
    NoEncoder {
        /// The architecture.
        architecture: &'static str,
    },
    /// There is nothing to go on from.
    #[error(
        "the prompt is empty and the tokenizer puts no token at the start of a text; give the first words"
    )]
    EmptyPrompt,
    /// Task heads are made for encoders only.
    #[error(
        "a task head reads the first token of an encoder; {architecture} has a decoder, whose first token sees none that follows"
    )]
    HeadOnDecoder {
        /// The architecture.
        architecture: &'static str,
    },
    /// A text has more tokens than the model has positions.
    #[error("a sequence of {got} tokens is longer than the model's {most} positions; truncate it")]
    TooLong {
        /// Tokens given.
        got: usize,
        /// The model's positions.
        most: usize,
    },
    /// The tokenizer knows more tokens than the embedding table has rows.
    #[error("{dir}: the tokenizer has {tokens} tokens, the embedding table {rows} rows")]
    Vocabulary {
        /// The model folder.
        dir: PathBuf,
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// A tree, a form or a selector.
    #[error(transparent)]
    Weight(#[from] tenfold_weight::Error),
    /// A file.
    #[error(transparent)]
    Format(#[from] tenfold_format::Error),
}

/// The first few names of a list.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
