//! Adapters of Hugging Face's PEFT: put on the weights of a model, and taken off again.

mod change;
mod load;
mod prefix;
mod save;

use crate::error::Error;
use crate::head::CLASSIFIER;
use crate::model::Model;
use change::under;
use std::path::Path as FilePath;
use tenfold_weight::{Path, Tree, Wiring};

/// Ends of the names of tensors: both factors of a product, the norms of rows, and a vector that stretches.
const DOWN: &str = ".lora_A.weight";
const UP: &str = ".lora_B.weight";
const NORMS: &str = ".lora_magnitude_vector";
const VECTOR: &str = ".ia3_l";
/// Modules of a task head, which adapters store whole.
const HEAD: [&str; 2] = [CLASSIFIER, "pooler"];

/// What is wrong between an adapter and a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterFault {
    /// The adapter has a tensor of a kind that its config does not speak of, or for a module that is not there.
    #[error(
        "tensor {0} is none of what the config says the adapter holds, or for no module that the model has; is it for \
         another model?"
    )]
    Tensor(String),
    /// A module without a tensor that its kind takes.
    #[error("module {module} has no {missing}; the file is incomplete")]
    Missing {
        /// The module.
        module: String,
        /// The end of the missing tensor's name.
        missing: &'static str,
    },
    /// Tensors that do not fit the weight.
    #[error("module {module} is {weight:?} in the model, its {what} {got}; is it for another model?")]
    Shape {
        /// The module.
        module: String,
        /// O x I.
        weight: Vec<usize>,
        /// What the tensors are, with a verb.
        what: &'static str,
        /// Their shapes, in words.
        got: String,
    },
    /// An adapter of another model, by its name.
    #[error(
        "the adapter says that it belongs to {named}, the model is {got}; if they are the same, load the model from a folder \
         (path:DIR)"
    )]
    Base {
        /// The model that the adapter names.
        named: String,
        /// Where the model came from.
        got: String,
    },
    /// An adapter for what the model does not do.
    #[error("the adapter is for the task {task}; {reason}")]
    Task {
        /// In PEFT's words.
        task: String,
        /// What the model is.
        reason: &'static str,
    },
    /// A weight that differs from the base by what no adapter holds.
    #[error(
        "{0} differs from the base and is none with a product or vector on it; an adapter holds those and task heads only"
    )]
    Changed(Path),
    /// A matrix whose outputs are stretched, and whose bias is not.
    #[error(
        "{0} is not stretched with the outputs of its matrix, as PEFT does; train with method \"ia3\" on both, or convert to \
         dense"
    )]
    Bias(Path),
    /// Products and vectors in one model.
    #[error(
        "{product} has a low-rank product and {vector} a vector that stretches it; an adapter holds one kind"
    )]
    Kinds {
        /// A weight of one kind.
        product: Path,
        /// A weight of the other.
        vector: Path,
    },
    /// There is nothing to store.
    #[error(
        "no weight has a low-rank product or a vector on it that the base has not; train one with method \"lora\" or \"ia3\""
    )]
    Nothing,
    /// A prefix without its tensor.
    #[error("there is no tensor prompt_embeddings; the file is incomplete")]
    NoPrompt,
    /// A prefix for a model of other sizes.
    #[error(
        "the model has {layers} layers with keys of {width} numbers, its prefix would be rows of 2 x {layers} x {width}; config and \
         tensor ({got:?}) say otherwise, is it for another model?"
    )]
    Prefix {
        /// Layers of the model.
        layers: usize,
        /// Numbers of a key.
        width: usize,
        /// The tensor's shape.
        got: Vec<usize>,
    },
    /// There is a prefix already.
    #[error("{0} holds a prefix already; a model takes one")]
    Taken(Path),
    /// A prefix that not all layers have.
    #[error("{0} has no prefix of as many rows as other layers; PEFT's files hold one for all layers")]
    Uneven(Path),
    /// A weight that differs from the base beside a prefix.
    #[error("{0} differs from the base; an adapter with a prefix holds the prefix and task heads only")]
    PrefixOnly(Path),
    /// A bottleneck, which PEFT does not know.
    #[error(
        "{0} holds what method houlsby or pfeiffer adds, for which PEFT has no files; keep the model in tenfold's own layout \
         (--to tenfold)"
    )]
    Bottleneck(Path),
}

impl Model {
    /// The model as it was before products and vectors were put on it: every weight comes out from under them bit for bit as
    /// `base` has it. Heads stay.
    ///
    /// # Errors
    /// [`Error::Adapter`] for a weight that `base` has otherwise.
    pub fn without_adapter(&self, base: &Self) -> Result<Self, Error> {
        let dir = FilePath::new(&self.origin).to_owned();
        let bare = |(path, form)| match (under(path, form, &base.tree), in_head(path)) {
            (Some(bare), _) => Ok((path.clone(), bare.clone())),
            (None, true) => Ok((path.clone(), form.clone())),
            (None, false) => {
                Err(Error::Adapter { dir: dir.clone(), fault: AdapterFault::Changed(path.clone()) })
            }
        };
        let tree: Tree = self.tree.iter().map(bare).collect::<Result<_, _>>()?;
        Ok(self.with_tree(tree.with_wiring(Wiring::clone(self.tree.wiring()))))
    }
}

fn in_head(path: &Path) -> bool {
    path.as_str().split('.').next().is_some_and(|first| HEAD.contains(&first))
}

/// The bias beside a matrix.
fn bias_of(matrix: &Path) -> Option<Path> {
    matrix.as_str().strip_suffix(".weight").map(|stem| Path::new(format!("{stem}.bias")))
}
