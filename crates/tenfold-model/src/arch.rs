//! Architectures: dimensions, block order and checkpoint names; no mathematics.

mod bert;
mod gpt2;
mod llama;
mod stack;
mod t5;

use crate::batch::Batch;
use crate::error::Error;
use crate::past::Past;
use bert::Bert;
use gpt2::Gpt2;
use llama::Llama;
pub use stack::Places;
pub(crate) use stack::Stack;
use std::fmt::Debug;
use std::path::Path as FilePath;
use std::sync::Arc;
use t5::T5;
use tenfold_format::config::{Activation as Named, ModelConfig};
use tenfold_tensor::{Activation, Var};
use tenfold_weight::{Path, Scope, Wiring};

/// What the rest of this crate asks of an architecture.
pub(crate) trait Architecture: Debug + Send + Sync {
    /// Its sizes and settings.
    fn config(&self) -> ModelConfig;
    /// The sizes that every architecture has.
    fn sizes(&self) -> Sizes;
    /// Every weight of the tree.
    fn expected(&self) -> Vec<Expected>;
    /// How the weights meet; optional weights are listed.
    fn wiring(&self) -> Wiring;
    /// The last hidden states, N x D. With a past, which only decoders are given, the batch are the next tokens of its
    /// sequences, and what they leave behind is added to it.
    ///
    /// # Errors
    /// [`Error::TooLong`], ids outside the vocabulary, and faults of the tree.
    fn hidden(&self, cx: &Scope<'_>, batch: &Batch, past: Option<&mut Past>) -> Result<Var, Error>;
    /// What turns hidden states into logits of the next token; nothing in an encoder.
    fn output(&self) -> Option<Output>;
    /// How hidden states become guesses at chosen tokens; nothing where pre-training knows no such head.
    fn guesses(&self) -> Option<Guesses> {
        None
    }
    /// The token that begins what the decoder of an encoder-decoder writes; nothing where texts go on from a prompt.
    fn start(&self) -> Option<u32> {
        None
    }
    /// The path that this crate uses for a checkpoint's name; nothing for what is left out.
    fn path_of(&self, name: &str) -> Option<String>;
    /// What checkpoints of models with an output or a task head put before the names of everything else.
    fn prefix(&self) -> &'static str;
    /// What a training step keeps of a token.
    fn kept(&self) -> Kept;
    /// The architecture as a stack of layers; nothing where its layers are no single one.
    fn stack(&self) -> Option<&dyn Stack> {
        None
    }
    /// Tensors of a checkpoint that are not one weight as the tree has it, under names as [`path_of`](Self::path_of) gives them.
    fn packed(&self) -> Vec<Packed> {
        Vec::new()
    }
}

/// The architecture that a config describes.
///
/// # Errors
/// [`Error::Architecture`] for one that is read but cannot be run.
pub(crate) fn of(dir: &FilePath, config: ModelConfig) -> Result<Arc<dyn Architecture>, Error> {
    Ok(match config {
        ModelConfig::Bert(config) => Arc::new(Bert { config }),
        ModelConfig::Gpt2(config) => Arc::new(Gpt2 { config }),
        ModelConfig::Llama(config) => Arc::new(Llama { config }),
        ModelConfig::T5(config) => Arc::new(T5 { config }),
        other => {
            return Err(Error::Architecture { dir: dir.to_owned(), architecture: other.architecture() });
        }
    })
}

/// The sizes that every architecture has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sizes {
    /// V, rows of the table of tokens.
    pub(crate) vocabulary: usize,
    /// D, width of a token's vector.
    pub(crate) width: usize,
    /// The longest text, in tokens.
    pub(crate) positions: usize,
    /// Standard deviation of fresh weights.
    pub(crate) deviation: f64,
}

/// Numbers that a training step keeps of a token until its gradient has passed, with all leaves training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kept {
    /// How many layers there are.
    pub(crate) layers: usize,
    /// In a layer: inputs of linear maps and norms, slopes of activations, what attention reads and gives.
    pub(crate) layer: usize,
    /// Query heads: each keeps a weight for every token that a token may see, up to a length.
    pub(crate) heads: usize,
    /// Heads of keys and values.
    pub(crate) key_heads: usize,
    /// Outside of layers.
    pub(crate) outside: usize,
    /// What passes through while a gradient is computed, at most.
    pub(crate) passing: usize,
}

/// A weight that the architecture expects.
pub(crate) struct Expected {
    pub(crate) path: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) optional: bool,
}

impl Expected {
    pub(crate) fn new(path: String, shape: &[usize]) -> Self {
        Self { path, shape: shape.to_vec(), optional: false }
    }
}

/// The matrix (V x D) that turns hidden states into logits of the next token.
pub(crate) struct Output {
    /// Where it is, without `.weight`.
    pub(crate) path: &'static str,
    /// The table of tokens, without `.weight`.
    pub(crate) table: &'static str,
    /// Whether a plain checkpoint keeps it only as that table.
    pub(crate) tied: bool,
    /// Whether one that is stored all the same, with other numbers, counts more than the table.
    pub(crate) unless_stored: bool,
    /// What last hidden states are multiplied with before it.
    pub(crate) scale: f32,
}

impl Output {
    /// The same as the table of tokens or not, and nothing in between.
    pub(crate) fn plain(path: &'static str, table: &'static str, tied: bool) -> Self {
        Self { path, table, tied, unless_stored: false, scale: 1.0 }
    }
}

/// What stands between hidden states and guesses at chosen tokens, beside weights.
pub(crate) struct Guesses {
    /// The table of tokens, without `.weight`.
    pub(crate) table: &'static str,
    /// The nonlinearity before the norm.
    pub(crate) activation: Activation,
    /// Added to the variance in the norm.
    pub(crate) norm_eps: f32,
}

/// A tensor of a checkpoint that holds weights in another way than the tree.
pub(crate) struct Packed {
    /// Its name, without the prefix.
    pub(crate) name: String,
    /// The weights that lie in it, of equal size, one after the other along the outputs.
    pub(crate) paths: Vec<String>,
    /// Whether outputs are columns.
    pub(crate) transposed: bool,
}

/// The position of every token of a batch that goes on from a past; [`Error::TooLong`] where there is none for it. The rows of a
/// prefix take the first positions, as transformers counts what it finds in a cache.
fn positions(batch: &Batch, past: Option<&Past>, rows: usize, most: usize) -> Result<Vec<u32>, Error> {
    let before = |sequence: usize| past.map_or(0, |past| past.lengths()[sequence]);
    let most = most.saturating_sub(rows);
    let most = past.map_or(most, |past| most.min(past.capacity()));
    let spans = batch.offsets.ranges().enumerate().map(|(at, range)| before(at)..before(at) + range.len());
    let spans: Vec<_> = spans.collect();
    let got = spans.iter().map(|span| span.end).max().unwrap_or(0);
    if got > most {
        return Err(Error::TooLong { got, most });
    }
    Ok(spans.into_iter().flatten().map(|position| (rows + position) as u32).collect())
}

/// Rows of the longest prefix in the sockets of layers.
fn prefix_rows(cx: &Scope<'_>, sockets: impl Iterator<Item = String>) -> usize {
    sockets.map(|socket| cx.prefix_rows(&socket)).max().unwrap_or(0)
}

fn weight(name: impl AsRef<str>) -> Path {
    Path::new(format!("{}.weight", name.as_ref()))
}

fn bias(name: impl AsRef<str>) -> Path {
    Path::new(format!("{}.bias", name.as_ref()))
}

fn activation(named: Named) -> Activation {
    match named {
        Named::GeluTanh => Activation::GeluTanh,
        Named::Relu => Activation::Relu,
        Named::Silu => Activation::Silu,
        Named::Tanh => Activation::Tanh,
        _ => Activation::Gelu,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use tenfold_format::config::{BertConfig, Gpt2Config, LlamaConfig, T5Config};

    const BIASES: [&str; 2] = [
        "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
    ];

    fn t5(gated: bool) -> T5Config {
        T5Config { layers: 2, decoder_layers: 3, heads: 4, head_width: 24, gated, ..T5Config::default() }
    }

    fn all() -> Vec<(Arc<dyn Architecture>, &'static [&'static str], usize)> {
        let bert = BertConfig { layers: 2, ..BertConfig::default() };
        let gpt2 = Gpt2Config { layers: 2, ..Gpt2Config::default() };
        let llama = LlamaConfig {
            layers: 2,
            width: 64,
            heads: 8,
            key_heads: 2,
            head_width: 16,
            ..Default::default()
        };
        // Weights that no space holds: the pooler's output is no space of the encoder, and so is its bias.
        vec![
            (Arc::new(Bert { config: bert }), &["pooler.dense.bias"], 1 + 2 * 3),
            (Arc::new(Gpt2 { config: gpt2 }), &[], 1 + 2 * 3),
            // Queries and keys are turned by positions, so they share no free space.
            (Arc::new(Llama { config: llama }), &[], 1 + 2 * 2),
            // Biases belong to distances.
            (Arc::new(T5 { config: t5(false) }), &BIASES, 1 + 2 * 3 + 3 * 5),
            (Arc::new(T5 { config: t5(true) }), &BIASES, 1 + 2 * 3 + 3 * 5),
        ]
    }

    /// Every matrix and vector lives in a space by every side that a neighbor shares: rows of writers, columns of readers,
    /// and each of the expected weights somewhere.
    #[test]
    fn the_wiring_names_every_weight_with_its_width() {
        for (arch, outside, spaces) in all() {
            let wiring = arch.wiring();
            let shapes: BTreeMap<Path, Vec<usize>> =
                arch.expected().into_iter().map(|one| (Path::new(one.path), one.shape)).collect();
            let mut named = BTreeSet::new();
            for space in &wiring.spaces {
                for path in &space.writers {
                    assert_eq!(shapes[path][0], space.width, "{path} writes {}", space.name);
                }
                for path in &space.readers {
                    assert_eq!(shapes[path][1], space.read_width(), "{path} reads {}", space.name);
                }
                for path in &space.tables {
                    assert_eq!(shapes[path][1], space.width, "{path} keeps rows of {}", space.name);
                }
                for path in &space.vectors {
                    assert_eq!(shapes[path], [space.width], "{path} lives in {}", space.name);
                }
                named.extend(space.members().cloned());
                if !space.norms.is_empty() {
                    let read: Vec<&Path> = space.norms.iter().flat_map(|norm| &norm.readers).collect();
                    assert_eq!(read.len(), space.readers.len(), "{}", space.name);
                    assert!(read.iter().all(|path| space.readers.contains(path)), "{}", space.name);
                }
            }
            let expected: BTreeSet<Path> =
                shapes.keys().filter(|path| !outside.contains(&path.as_str())).cloned().collect();
            assert_eq!(named, expected);
            assert_eq!(wiring.spaces.len(), spaces);
        }
    }

    /// What is packed in a checkpoint is expected in the tree, and once.
    #[test]
    fn packed_tensors_hold_expected_weights() {
        for (arch, ..) in all() {
            let expected: BTreeSet<String> = arch.expected().into_iter().map(|one| one.path).collect();
            let held: Vec<String> = arch.packed().into_iter().flat_map(|one| one.paths).collect();
            assert!(held.iter().all(|path| expected.contains(path)), "{held:?}");
            assert_eq!(held.len(), held.iter().collect::<BTreeSet<_>>().len());
        }
    }
}
