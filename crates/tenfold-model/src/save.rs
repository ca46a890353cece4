//! Writing models: the saved form of a rewritten tree, and a plain dense checkpoint for other programs.

use crate::error::Error;
use crate::head::CLASSIFIER;
use crate::import;
use crate::model::Model;
use crate::pretrain::{self, Pretraining};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use tenfold_format::manifest::{self, Manifest, ModelSection};
use tenfold_format::{atomic, checkpoint, config};
use tenfold_weight::{Form, Module, Path, Tensor, Tree, Wiring, dense_values, record};

/// The small files that travel with a model, where the folder has them.
const SIDE_FILES: [&str; 15] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "generation_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "README.md",
];

/// The longest side file, in bytes.
const SIDE_FILE_LIMIT: u64 = 64 << 20;

/// What can be done with modules that a plain checkpoint cannot hold.
const KEEP: &str = "keep the model in tenfold's own layout (--to tenfold)";
const ADAPT: &str = "keep the model in tenfold's own layout (--to tenfold), or write the prefix as an adapter (--to peft --base SOURCE)";

impl Model {
    /// Writes the model into a new folder or over an old one: configs and vocabulary, then `model.safetensors` with
    /// the leaves, then the manifest. The old folder is replaced only when the new one is complete. Returns the
    /// bytes of the weights file.
    ///
    /// # Errors
    /// Faults in writing; the target is then as it was.
    pub fn save(&self, dir: &FilePath, receipt: Option<Value>) -> Result<u64, Error> {
        let manifest = Manifest {
            version: manifest::VERSION,
            model: ModelSection {
                architecture: self.network.config().architecture().to_owned(),
                origin: self.origin.clone(),
            },
            weights: record::describe(&self.tree),
            receipt,
        };
        let tensors = self.tree.tensors().into_iter().map(|(id, tensor)| (id.to_string(), tensor)).collect();
        self.replace(dir, &self.files, &mut |fresh| {
            let bytes = write(fresh, &tensors)?;
            manifest.write(fresh)?;
            Ok(bytes)
        })
    }

    /// Writes a plain checkpoint in which every form is multiplied out: loadable by any program that reads the
    /// original. Returns the bytes of the weights file.
    ///
    /// # Errors
    /// [`Error::Modules`] where there are modules in sockets, which other programs would drop; as [`Model::save`].
    pub fn save_dense(&self, dir: &FilePath) -> Result<u64, Error> {
        self.without_modules()?;
        let leaves = self.plain(&|_| false)?;
        self.replace(dir, &self.plain_files(), &mut |fresh| write(fresh, &leaves))
    }

    /// The tensors of a plain checkpoint, every form multiplied out, without the weights to `leave` out.
    pub(crate) fn plain(&self, leave: &dyn Fn(&Path) -> bool) -> Result<BTreeMap<String, Tensor>, Error> {
        let dense = |path: &Path| dense_values(&self.tree, path);
        let mut leaves = BTreeMap::new();
        let mut rest: BTreeMap<&Path, &Form> = self.tree.iter().filter(|(path, _)| !leave(path)).collect();
        for packed in self.network.arch.packed() {
            let paths: Vec<Path> = packed.paths.iter().map(Path::new).collect();
            if paths.iter().any(leave) {
                continue;
            }
            let parts = paths.iter().map(dense).collect::<Result<Vec<_>, _>>()?;
            let whole = Tensor::Numbers(import::pack(&packed, &parts));
            leaves.insert(self.file_name(&packed.name), whole);
            rest.retain(|path, _| !paths.contains(path));
        }
        let (output, tied) = self.tied();
        let scale = self.network.arch.output().map_or(1.0, |output| output.scale);
        rest.retain(|path, form| !pretrain::is_tied(path, form));
        for (path, _) in rest.into_iter().filter(|(path, _)| !(tied && output.as_ref() == Some(*path))) {
            let mut values = dense(path)?;
            if scale != 1.0 && output.as_ref() == Some(path) {
                // Other programs scale what they tie, and nothing else.
                values.data_mut().iter_mut().for_each(|value| *value *= scale);
            }
            leaves.insert(self.file_name(path.as_str()), Tensor::Numbers(values));
        }
        Ok(leaves)
    }

    /// The path of the output matrix, and whether it is the table of tokens.
    fn tied(&self) -> (Option<Path>, bool) {
        let output = self.network.arch.output().map(|output| Path::new(format!("{}.weight", output.path)));
        let owned = |output: &Path| self.tree.get(output).is_ok_and(|form| form.owner().is_some());
        let tied = output.as_ref().is_some_and(owned);
        (output, tied)
    }

    /// The small files beside a plain checkpoint.
    pub(crate) fn plain_files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files.clone();
        let scale = self.network.arch.output().map_or(1.0, |output| output.scale);
        if let (Some(_), tied) = self.tied()
            && let Some(config) = files.get_mut(config::FILE)
        {
            put(config, "tie_word_embeddings", tied.into());
            if self.network.reads_source() {
                put(config, "scale_decoder_outputs", (tied && scale != 1.0).into());
            }
        }
        if let (Some(untied), Some(config)) = (pretrain::untied(&self.tree), files.get_mut(config::FILE)) {
            put(config, "tie_word_embeddings", (!untied).into());
        }
        files
    }

    /// Refuses a model with modules in its sockets, which other programs would drop.
    pub(crate) fn without_modules(&self) -> Result<(), Error> {
        for socket in &self.tree.wiring().sockets {
            if let Some(module) = socket.module(&self.tree)? {
                let (methods, way) = match module {
                    Module::Bottleneck { .. } => ("houlsby or pfeiffer", KEEP),
                    Module::Prefix { .. } => ("prefix", ADAPT),
                    Module::Router { .. } => ("moe or mpoe", KEEP),
                };
                return Err(Error::Modules { path: socket.path.clone(), methods, way });
            }
        }
        Ok(())
    }

    /// The name of a weight in a plain checkpoint: where there is a head or an output matrix, everything else stands under a
    /// prefix, as Hugging Face's classes expect.
    pub(crate) fn file_name(&self, path: &str) -> String {
        if let Some(name) = pretrain::file_name(path) {
            return name;
        }
        let output = self.network.arch.output().map(|output| output.path);
        let Pretraining { masked, order } = self.pretraining();
        let bare = self.head.is_none() && output.is_none() && !masked && !order;
        let outer = path.starts_with(CLASSIFIER) || output.is_some_and(|output| path.starts_with(output));
        if outer || bare {
            return path.to_owned();
        }
        format!("{}{path}", self.network.arch.prefix())
    }

    /// Puts a folder with these files, and what `fill` writes beside them, in the place of `dir`.
    pub(crate) fn replace(
        &self,
        dir: &FilePath,
        files: &BTreeMap<String, Vec<u8>>,
        fill: &mut dyn FnMut(&FilePath) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let fresh = beside(dir, "new");
        let bytes = prepare(&fresh, files).and_then(|()| fill(&fresh)).and_then(|bytes| {
            swap(&fresh, dir)?;
            Ok(bytes)
        });
        if bytes.is_err() {
            // The folder is ours and incomplete; if it cannot be removed either, the first error says why.
            let _ = fs::remove_dir_all(&fresh);
        }
        bytes
    }
}

/// A new folder with these files.
fn prepare(fresh: &FilePath, files: &BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    if fresh.exists() {
        fs::remove_dir_all(fresh).map_err(written(fresh))?;
    }
    fs::create_dir_all(fresh).map_err(written(fresh))?;
    for (name, bytes) in files {
        let path = fresh.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(written(parent))?;
        }
        atomic::write(&path, bytes)?;
    }
    Ok(())
}

fn write(fresh: &FilePath, tensors: &BTreeMap<String, Tensor>) -> Result<u64, Error> {
    let tensors: Vec<_> =
        tensors.iter().map(|(name, value)| (name.clone(), value.shape(), value.elements())).collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(checkpoint::write(&fresh.join(checkpoint::FILE), &tensors, &metadata)?)
}

/// Puts an entry into a config; one that is no object stays as it is.
pub(crate) fn put(bytes: &mut Vec<u8>, key: &str, value: Value) {
    if let Ok(mut config) = serde_json::from_slice::<Map<String, Value>>(bytes) {
        config.insert(key.to_owned(), value);
        *bytes = format!("{:#}\n", Value::Object(config)).into_bytes();
    }
}

/// Takes out of a config what it says of quantization: the weights are decoded when they are read.
pub(crate) fn decoded(bytes: &mut Vec<u8>) {
    if let Ok(mut config) = serde_json::from_slice::<Map<String, Value>>(bytes)
        && config.shift_remove("quantization_config").is_some()
    {
        *bytes = format!("{:#}\n", Value::Object(config)).into_bytes();
    }
}

/// Reads the side files of a model folder.
pub(crate) fn side_files(dir: &FilePath) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut files = BTreeMap::new();
    for name in SIDE_FILES {
        let path = dir.join(name);
        let Ok(info) = fs::metadata(&path) else { continue };
        if info.is_file() && info.len() <= SIDE_FILE_LIMIT {
            let bytes = fs::read(&path)
                .map_err(|source| tenfold_format::Error::Read { path: path.clone(), source })?;
            files.insert(name.to_owned(), bytes);
        }
    }
    Ok(files)
}

/// Puts a finished folder in the place of another; the old one is complete until the new one stands.
fn swap(fresh: &FilePath, dir: &FilePath) -> Result<(), Error> {
    let old = beside(dir, "old");
    if old.exists() {
        fs::remove_dir_all(&old).map_err(written(&old))?;
    }
    if dir.exists() {
        fs::rename(dir, &old).map_err(written(dir))?;
    }
    fs::rename(fresh, dir).map_err(written(dir))?;
    if old.exists() {
        fs::remove_dir_all(&old).map_err(written(&old))?;
    }
    Ok(())
}

/// A hidden sibling of a folder.
fn beside(dir: &FilePath, word: &str) -> PathBuf {
    let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    dir.with_file_name(format!(".{name}.{word}"))
}

fn written(path: &FilePath) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| tenfold_format::Error::Write { path, source }.into()
}

impl Model {
    /// The tree as it would be with every form multiplied out.
    ///
    /// # Errors
    /// Faults of the tree.
    pub fn dense_tree(&self) -> Result<Tree, Error> {
        let dense =
            |(path, _): (&Path, &Form)| Ok((path.clone(), Form::dense(dense_values(&self.tree, path)?)));
        let tree: Tree = self.tree.iter().map(dense).collect::<Result<_, Error>>()?;
        Ok(tree.with_wiring(Wiring::clone(self.tree.wiring())))
    }
}
