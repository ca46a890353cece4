//! Weights that wait in their file until their layer's turn comes.

use crate::arch::{self, Architecture};
use crate::error::Error;
use crate::import::{self, Tensors};
use crate::model::{self, Model};
use crate::save;
use crate::walk::belongs;
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_format::config::{self, ModelConfig};
use tenfold_format::gptq::GptqSettings;
use tenfold_format::llama2c::{self, Llama2c};
use tenfold_format::manifest;
use tenfold_format::tokenizer::Tokenizer;
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Tree};

/// The weights of the layers of a model, in the file that it was opened from. The file is opened anew for every layer, so that
/// none of it stays in memory between.
#[derive(Debug)]
pub struct Waiting {
    dir: PathBuf,
    arch: Arc<dyn Architecture>,
    /// Paths and shapes, by layer.
    layers: Vec<BTreeMap<Path, Vec<usize>>>,
}

impl Model {
    /// Opens a model folder without reading the weights of its layers: the model's tree holds what comes before and behind the
    /// layers, and nothing else. A plain checkpoint in the layout of Hugging Face, or a file of llama2.c.
    ///
    /// # Errors
    /// [`Error::NoStack`] for architectures that are no stack of layers; [`Error::NoWaiting`] for folders that [`Model::save`]
    /// wrote, and for files whose weights are quantized; faults of the file as far as it is read, as [`Model::load`].
    pub fn open(dir: &FilePath) -> Result<(Self, Waiting), Error> {
        let (config, file) = opened(dir)?;
        let arch = arch::of(dir, config)?;
        let architecture = arch.config().architecture();
        let stack = arch.stack().ok_or(Error::NoStack { architecture })?;
        let stems: Vec<String> = (0..stack.layers()).map(|layer| stack.stem(layer)).collect();
        let layer_of = |path: &Path| stems.iter().position(|stem| belongs(path, stem));
        let mut layers = vec![BTreeMap::new(); stems.len()];
        let outside =
            import::partly(dir, &*arch, &*file, &|path| layer_of(path).is_none(), &mut |(path, shape)| {
                if let Some(layer) = layer_of(&path) {
                    layers[layer].insert(path, shape);
                }
            })?;
        drop(file);
        let waiting = Waiting { dir: dir.to_owned(), arch: Arc::clone(&arch), layers };
        let outline = waiting.outline(&outside);
        let tokenizer = Tokenizer::open(dir)?;
        let files = match dir.join(config::FILE).is_file() {
            true => save::side_files(dir)?,
            false => model::files_of(&arch.config(), &tokenizer)?,
        };
        let origin = format!("path:{}", dir.display());
        let mut model = Self::put_together(dir, arch, outline, tokenizer, origin, files)?;
        for path in waiting.layers.iter().flat_map(BTreeMap::keys) {
            model.tree.remove(path);
        }
        Ok((model, waiting))
    }
}

impl Waiting {
    /// The whole tree as shapes: the weights of `tree`, and zeros for those that wait and are not in it. Zeros of one shape share
    /// their memory.
    pub fn outline(&self, tree: &Tree) -> Tree {
        let mut whole = tree.clone();
        let mut zeros: BTreeMap<&[usize], Array> = BTreeMap::new();
        for (path, shape) in self.layers.iter().flatten().filter(|(path, _)| !tree.contains(path)) {
            let array = zeros.entry(shape).or_insert_with(|| Array::zeros(shape));
            whole.insert(path.clone(), Form::dense(array.clone()));
        }
        whole
    }

    /// Bytes of the weights of a layer, of 4 bytes a number.
    pub fn bytes(&self, layer: usize) -> usize {
        let numbers = |shape: &Vec<usize>| shape.iter().product::<usize>();
        size_of::<f32>() * self.layers[layer].values().map(numbers).sum::<usize>()
    }

    /// Reads the weights of a layer, counted from 0.
    ///
    /// # Errors
    /// Faults of the file, [`Error::NonFinite`], and [`Error::Moved`] where it is not what it was when the model was opened.
    pub fn read(&self, layer: usize) -> Result<Vec<(Path, Form)>, Error> {
        let (_, file) = opened(&self.dir)?;
        let own = &self.layers[layer];
        let stem = self.arch.stack().map(|stack| stack.stem(layer)).unwrap_or_default();
        let tree = import::partly(&self.dir, &*self.arch, &*file, &|path| belongs(path, &stem), &mut |_| {})?;
        let found = tree.iter().map(|(path, form)| (path.clone(), form.shape()));
        if !found.eq(own.iter().map(|(path, shape)| (path.clone(), shape.clone()))) {
            return Err(Error::Moved { dir: self.dir.clone(), layer });
        }
        Ok(tree.iter().map(|(path, form)| (path.clone(), form.clone())).collect())
    }
}

/// The config and the open file of a folder whose weights can wait.
fn opened(dir: &FilePath) -> Result<(ModelConfig, Box<dyn Tensors>), Error> {
    let refused = |why| Error::NoWaiting { dir: dir.to_owned(), why };
    if dir.is_file() {
        return Err(refused("this is a file whose weights may be quantized"));
    }
    if !dir.join(config::FILE).is_file()
        && let Some(file) = llama2c::find(dir)?
    {
        let file = Llama2c::open(&file)?;
        return Ok((ModelConfig::Llama(file.config.clone()), Box::new(file)));
    }
    let config = config::read(dir)?;
    if dir.join(manifest::FILE).is_file() {
        return Err(refused("this folder holds a model that tenfold wrote"));
    }
    if GptqSettings::of(dir)?.is_some() {
        return Err(refused("this one is quantized"));
    }
    Ok((config, Box::new(Checkpoint::open(dir)?)))
}
