//! Everything that can go wrong between a file (or a server) and a plain struct.
//!
//! Every foreign file is hostile input, so there is one variant per fault, not per function. Variants carry the path
//! of the file and, where there is one, the name of the tensor, field or weight; messages end with what to do.

mod raise;

use std::io;
use std::path::PathBuf;

use crate::adapter::AdapterFault;
use crate::checkpoint::TensorFault;
use crate::gguf::GgufFault;
use crate::gptq::GptqFault;
use crate::llama2c::Llama2cFault;
use crate::manifest::SavedFault;
use crate::source::SourceError;
use crate::tokenizer::PieceFault;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A fault in a file, a folder or a model source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    // Any file.
    /// A file or folder could not be read.
    #[error("cannot read {}: check that it exists and may be read", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}: check that the folder exists and may be written", .path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk (or the quota) is full; nothing was left behind.
    #[error("no space left for {}: free some space or write elsewhere", .path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A length or count is above a named limit, so nothing was allocated for it.
    #[error("{}: {what} is {got}, above the limit of {limit}; the file is damaged or not what it claims to be", .path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// What was measured.
        what: &'static str,
        /// The largest value that is accepted.
        limit: u64,
        /// The value in the file.
        got: u64,
    },
    /// The file ends before what its header announces.
    #[error("{}: truncated, expected at least {expected} bytes and got {got}; fetch the file again", .path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes the file should have.
        expected: u64,
        /// Bytes the file has.
        got: u64,
    },
    /// Text that must be UTF-8 is not.
    #[error("{}: {what} is not UTF-8; the file is damaged or not what it claims to be", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Which text.
        what: &'static str,
    },
    /// JSON that does not parse, or lacks or repeats a field.
    #[error("{}: not the JSON expected here; compare the file with its source", .path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line, column and fault.
        source: serde_json::Error,
    },
    /// The file is of no kind that is known here.
    #[error("{}: neither safetensors nor GGUF; give a safetensors checkpoint or a model folder", .path.display())]
    UnknownFile {
        /// The file.
        path: PathBuf,
    },
    /// A PyTorch checkpoint: a pickle, which runs code when it is read.
    #[error("{}: a PyTorch (pickle) checkpoint; convert it to safetensors first", .path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// A GGUF file where a safetensors checkpoint is needed.
    #[error("{}: a GGUF file, not a safetensors checkpoint; name the file itself as the model", .path.display())]
    GgufWeights {
        /// The file.
        path: PathBuf,
    },

    // Checkpoints.
    /// A folder without any checkpoint.
    #[error("{}: no model.safetensors, no model.safetensors.index.json and no file of llama2.c; point to a model folder", .path.display())]
    NoCheckpoint {
        /// The folder.
        path: PathBuf,
    },
    /// A checkpoint whose header does not describe its data.
    #[error("{}: tensor {tensor}: {fault}; the file is damaged, fetch it again", .path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The fault.
        fault: TensorFault,
    },
    /// A tensor that cannot be written as it was given.
    #[error("{}: cannot write tensor {tensor}: {fault}; nothing was written, correct the tensor", .path.display())]
    Unwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The fault.
        fault: TensorFault,
    },
    /// Bytes after the last tensor.
    #[error("{}: {got} bytes of data, but the tensors end at {expected}; the file is damaged", .path.display())]
    TrailingBytes {
        /// The file.
        path: PathBuf,
        /// Where the last tensor ends.
        expected: u64,
        /// Data bytes in the file.
        got: u64,
    },
    /// A tensor that is asked for and not there.
    #[error("{}: no tensor {tensor}; list the names with `tenfold inspect`", .path.display())]
    MissingTensor {
        /// The file or folder.
        path: PathBuf,
        /// The name.
        tensor: String,
    },
    /// An element type that is not converted to f32.
    #[error("{}: tensor {tensor} of type {dtype} is not read as numbers; convert it to F32, F16 or BF16", .path.display())]
    NotConvertible {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        dtype: String,
    },
    /// A shard named by the index that is no plain file name in the same folder.
    #[error("{}: the shard name {shard:?} is not a plain file name; fetch the index again", .path.display())]
    ShardName {
        /// The index.
        path: PathBuf,
        /// The name.
        shard: String,
    },
    /// The index puts a tensor into a shard that does not hold it.
    #[error("{}: tensor {tensor} is not in {shard}, where the index puts it; fetch the checkpoint again", .path.display())]
    NotInShard {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shard by the index.
        shard: String,
    },
    /// A shard holds a tensor that the index does not list there.
    #[error("{}: tensor {tensor} in {shard} is not listed there; fetch the checkpoint again", .path.display())]
    NotInIndex {
        /// The index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shard that holds it.
        shard: String,
    },

    // Configs and pipelines.
    /// A model that is not implemented.
    #[error("{}: model type {model:?} is not known; known are: {}", .path.display(), .known.join(", "))]
    UnknownModel {
        /// The config.
        path: PathBuf,
        /// The model type in the file.
        model: String,
        /// The model types that can be read.
        known: &'static [&'static str],
    },
    /// A setting with a value that is not implemented.
    #[error("{}: {field} = {got} is not supported; supported: {}", .path.display(), .known.join(", "))]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The setting.
        field: &'static str,
        /// Its value.
        got: String,
        /// The values that are.
        known: &'static [&'static str],
    },
    /// A number outside what makes sense.
    #[error("{}: {field} is {got}, expected {expected}; correct the file", .path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
        /// The setting.
        field: &'static str,
        /// The range.
        expected: String,
        /// Its value.
        got: String,
    },
    /// A path inside a settings file that leaves its folder.
    #[error("{}: the path {got:?} leaves the model folder; correct the file", .path.display())]
    PathEscapes {
        /// The file.
        path: PathBuf,
        /// The path in it.
        got: String,
    },

    // Tokenizers.
    /// A folder without a tokenizer.
    #[error("{}: no tokenizer.json, vocab.txt, vocab.json with merges.txt, tokenizer.model or tok*.bin; copy one of them beside the checkpoint", .path.display())]
    NoTokenizer {
        /// The folder.
        path: PathBuf,
    },
    /// A tokenizer file that the tokenizer library refuses.
    #[error("{}: not a usable tokenizer; compare the file with its source", .path.display())]
    BadTokenizer {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A text that the tokenizer library refuses.
    #[error("{}: cannot split a text of {bytes} bytes into tokens; check the tokenizer's vocabulary", .path.display())]
    Tokenize {
        /// The tokenizer's file.
        path: PathBuf,
        /// Length of the text.
        bytes: usize,
        /// What the library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A special token that is not in the vocabulary.
    #[error("{}: the token {token} is not in the vocabulary; add it or name another in tokenizer_config.json", .path.display())]
    MissingToken {
        /// The vocabulary.
        path: PathBuf,
        /// The token.
        token: String,
    },
    /// A token on two lines of the vocabulary.
    #[error("{}: token {token:?} is on lines {first} and {second}; remove one", .path.display())]
    DuplicateToken {
        /// The vocabulary.
        path: PathBuf,
        /// The token.
        token: String,
        /// Line, from 1.
        first: usize,
        /// Line, from 1.
        second: usize,
    },
    /// A maximum length that leaves no room for the special tokens.
    #[error("{max_tokens} tokens leave no room for the {special} special ones; allow more than {special}")]
    TooFewTokens {
        /// The maximum asked for.
        max_tokens: usize,
        /// Special tokens that are always added.
        special: usize,
    },
    /// A line of a file of merges that does not name two tokens.
    #[error("{}: line {line} does not name two tokens; fetch the file again", .path.display())]
    BadMerge {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// A vocabulary of scored pieces that does not hold together.
    #[error("{}: {fault}; fetch the file again", .path.display())]
    Pieces {
        /// The vocabulary.
        path: PathBuf,
        /// The fault.
        fault: PieceFault,
    },

    // llama2.c.
    /// A fault in a llama2.c file.
    #[error("{}: {fault}", .path.display())]
    Llama2c {
        /// The file.
        path: PathBuf,
        /// The fault.
        fault: Llama2cFault,
    },
    /// Two files of a folder that each could be the model.
    #[error("{} and {} both look like models of llama2.c; keep one in the folder", .first.display(), .second.display())]
    TwoModels {
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },

    // Saved trees.
    /// A manifest of another version.
    #[error("{}: version {got} of the saved tree, this program reads {known}; use a matching release", .path.display())]
    ManifestVersion {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        got: u64,
        /// The version that can be read.
        known: u32,
    },
    /// A manifest that does not describe its checkpoint.
    #[error("{}: weight {weight}: {fault}; save the tree again", .path.display())]
    Saved {
        /// The checkpoint.
        path: PathBuf,
        /// The weight, with `#` and the part of its form where the fault is in a part.
        weight: String,
        /// The fault.
        fault: SavedFault,
    },
    /// A tensor that no leaf claims.
    #[error("{}: tensor {tensor} belongs to no weight of the manifest; save the tree again", .path.display())]
    ExtraTensor {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },

    // GGUF.
    /// A fault in a GGUF header.
    #[error("{}: {fault} (at byte {offset}); fetch the file again or convert it anew", .path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Where the fault was noticed.
        offset: u64,
        /// The fault.
        fault: GgufFault,
    },

    /// A GGUF file that holds together, but not as the model it says it is.
    #[error("{}: {fault}; convert the model anew", .path.display())]
    GgufModel {
        /// The file.
        path: PathBuf,
        /// The fault.
        fault: GgufFault,
    },
    /// Entries or tensors that cannot be written as GGUF.
    #[error("{}: {fault}; nothing was written", .path.display())]
    GgufUnwritable {
        /// The file that was to be written.
        path: PathBuf,
        /// The fault.
        fault: GgufFault,
    },
    /// A quantized weight in GPTQ's layout that does not hold together, or cannot be written in it.
    #[error("{}: {weight}: {fault}", .path.display())]
    Gptq {
        /// The file.
        path: PathBuf,
        /// The weight.
        weight: String,
        /// The fault.
        fault: Box<GptqFault>,
    },
    /// A fault of an adapter.
    #[error(transparent)]
    Adapter(#[from] AdapterFault),
    /// A fault while a model is fetched from where it lives.
    #[error(transparent)]
    Source(#[from] SourceError),
}
