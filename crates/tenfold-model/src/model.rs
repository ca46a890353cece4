//! A model in memory: its tree, its encoder, its tokenizer, and the small files that belong to it.

use crate::arch::bert::{self, Bert};
use crate::encoder::Encoder;
use crate::error::Error;
use crate::head::{self, Head};
use crate::save;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_format::config::{self, ModelConfig};
use tenfold_format::manifest::{self, Manifest};
use tenfold_format::pipeline;
use tenfold_format::tokenizer::Tokenizer;
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Tree, record};

/// A sentence encoder with its weights.
pub struct Model {
    /// The named weights.
    pub tree: Tree,
    /// What computes with them.
    pub encoder: Encoder,
    /// Its task head, where the tree holds one.
    pub head: Option<Head>,
    /// Text to tokens.
    pub tokenizer: Tokenizer,
    /// Where the original weights came from, as a source is written.
    pub origin: String,
    /// Configs and vocabularies that travel with the weights, by name inside the model folder.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Model {
    /// Loads a model folder: a Hugging Face checkpoint, or one that [`Model::save`] wrote.
    ///
    /// # Errors
    /// Missing, extra, misshapen and non-finite weights; unreadable files; unknown architectures.
    pub fn load(dir: &FilePath) -> Result<Self, Error> {
        let bert = match config::read(dir)? {
            ModelConfig::Bert(config) => Bert { config },
            other => {
                let architecture = other.architecture();
                return Err(Error::Architecture { dir: dir.to_owned(), architecture });
            }
        };
        let checkpoint = Checkpoint::open(dir)?;
        let (tree, origin) = if dir.join(manifest::FILE).is_file() {
            let manifest = Manifest::read(dir)?;
            manifest.check(&checkpoint)?;
            (saved_tree(dir, &manifest, &checkpoint)?, manifest.model.origin)
        } else {
            (dense_tree(dir, &checkpoint)?, format!("path:{}", dir.display()))
        };
        check(dir, &bert, &tree)?;
        let tree = head::wired(tree, &bert);
        let tokenizer = Tokenizer::open(dir)?;
        let (tokens, rows) = (tokenizer.vocabulary_size(), bert.config.vocabulary);
        if tokens > rows {
            return Err(Error::Vocabulary { dir: dir.to_owned(), tokens, rows });
        }
        let pipeline = pipeline::read(dir)?.unwrap_or_default();
        let files = save::side_files(dir)?;
        let head = Head::of(&tree);
        Ok(Self { tree, encoder: Encoder { bert, pipeline }, head, tokenizer, origin, files })
    }

    /// The same model with another tree.
    pub fn with_tree(&self, tree: Tree) -> Self
    where
        Tokenizer: Clone,
    {
        Self {
            head: Head::of(&tree),
            tree,
            encoder: self.encoder.clone(),
            tokenizer: self.tokenizer.clone(),
            origin: self.origin.clone(),
            files: self.files.clone(),
        }
    }

    /// Token ids and segment ids of a text, or of a pair of texts, with special tokens, cut to `max_tokens` and to the
    /// model's positions; of a pair the longer text is cut first.
    ///
    /// # Errors
    /// Faults of the tokenizer.
    pub fn tokenize_pair(
        &self,
        first: &str,
        second: Option<&str>,
        max_tokens: usize,
    ) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let most = max_tokens.min(self.encoder.bert.config.positions);
        match second {
            Some(second) => Ok(self.tokenizer.encode_pair(first, second, most)?),
            None => {
                let ids = self.tokenizer.encode(first, most)?;
                let types = vec![0; ids.len()];
                Ok((ids, types))
            }
        }
    }

    /// Token ids of a text, with special tokens, cut to the model's longest text.
    ///
    /// # Errors
    /// Faults of the tokenizer.
    pub fn tokenize(&self, text: &str) -> Result<Vec<u32>, Error> {
        Ok(self.tokenizer.encode(text, self.encoder.max_tokens())?)
    }
}

fn read_array(dir: &FilePath, checkpoint: &Checkpoint, name: &str) -> Result<Array, Error> {
    let values = checkpoint.read_f32(name)?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::NonFinite { dir: dir.to_owned(), path: name.to_owned(), index });
    }
    let shape = checkpoint.tensor(name).map(|info| info.shape.clone()).unwrap_or_default();
    Ok(Array::from_vec(values, &shape))
}

fn dense_tree(dir: &FilePath, checkpoint: &Checkpoint) -> Result<Tree, Error> {
    let named = checkpoint.tensors().filter_map(|info| Some((bert::path_of(&info.name)?, &info.name)));
    named.map(|(path, name)| Ok((Path::new(path), Form::dense(read_array(dir, checkpoint, name)?)))).collect()
}

fn saved_tree(dir: &FilePath, manifest: &Manifest, checkpoint: &Checkpoint) -> Result<Tree, Error> {
    // Reading can fail for reasons that belong to this crate; they wait here while the tree is being built.
    let mut fault = None;
    let mut read = |name: &str| match read_array(dir, checkpoint, name) {
        Ok(array) => Ok(array),
        Err(Error::Format(error)) => Err(error.into()),
        Err(other) => {
            fault.get_or_insert(other);
            Ok(Array::zeros(&checkpoint.tensor(name).map(|info| info.shape.clone()).unwrap_or_default()))
        }
    };
    let tree = record::restore(&manifest.weights, &mut read)?;
    fault.map_or(Ok(tree), Err)
}

/// Compares a tree with what the architecture expects.
fn check(dir: &FilePath, bert: &Bert, tree: &Tree) -> Result<(), Error> {
    let mut known = BTreeMap::new();
    let mut missing = Vec::new();
    let outputs = Head::of(tree).map(|head| head.outputs);
    for expected in bert.expected().into_iter().chain(head::expected(outputs, bert.config.width)) {
        match tree.get(&Path::new(&expected.path)) {
            Ok(form) if form.shape() != expected.shape => {
                let (path, got) = (expected.path, form.shape());
                return Err(Error::WeightShape { dir: dir.to_owned(), path, expected: expected.shape, got });
            }
            Ok(_) => {}
            Err(_) if expected.optional => {}
            Err(_) => missing.push(expected.path.clone()),
        }
        known.insert(expected.path, ());
    }
    if !missing.is_empty() {
        return Err(Error::MissingWeights { dir: dir.to_owned(), paths: missing });
    }
    let extra: Vec<String> =
        tree.iter().map(|(path, _)| path.to_string()).filter(|path| !known.contains_key(path)).collect();
    if extra.is_empty() { Ok(()) } else { Err(Error::ExtraWeights { dir: dir.to_owned(), paths: extra }) }
}
