//! A model in memory: its tree, its encoder, its tokenizer, and the small files that belong to it.

use crate::arch::{self, Architecture};
use crate::error::Error;
use crate::fresh::Drawn;
use crate::head::{self, Head};
use crate::import::{self, Quantized, Tensors};
use crate::network::{Network, prefix_rows};
use crate::pretrain;
use crate::save;
use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;
use tenfold_format::checkpoint::Checkpoint;
use tenfold_format::config::{self, ModelConfig};
use tenfold_format::gguf::GgufModel;
use tenfold_format::gptq::{GptqModel, GptqSettings};
use tenfold_format::llama2c::{self, Llama2c};
use tenfold_format::manifest::{self, Manifest};
use tenfold_format::pipeline;
use tenfold_format::tokenizer::{self, Tokenizer};
use tenfold_weight::Tree;

/// A model with its weights.
pub struct Model {
    /// The named weights.
    pub tree: Tree,
    /// What computes with them.
    pub network: Network,
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
    /// Loads a model folder: a Hugging Face checkpoint, one that [`Model::save`] wrote, or a file of llama2.c with its
    /// vocabulary; or a GGUF file. Quantized weights, there and in a checkpoint of GPTQ, stay codes, unless their groups are no
    /// neighbors: those are decoded.
    ///
    /// # Errors
    /// Missing, extra, misshapen and non-finite weights; unreadable files; unknown architectures.
    pub fn load(dir: &FilePath) -> Result<Self, Error> {
        if dir.is_file() {
            return Self::from_gguf(dir, &GgufModel::open(dir)?);
        }
        if !dir.join(config::FILE).is_file()
            && let Some(file) = llama2c::find(dir)?
        {
            return Self::from_llama2c(dir, &Llama2c::open(&file)?);
        }
        let arch = arch::of(dir, config::read(dir)?)?;
        let checkpoint = Checkpoint::open(dir)?;
        let (tree, origin) = if dir.join(manifest::FILE).is_file() {
            let manifest = Manifest::read(dir)?;
            manifest.check(&checkpoint)?;
            (import::saved(dir, &manifest, &checkpoint)?, manifest.model.origin)
        } else {
            let tree = match GptqSettings::of(dir)? {
                Some(settings) => import::plain(
                    dir,
                    &*arch,
                    &Quantized::new(GptqModel::new(checkpoint, settings), &*arch)?,
                )?,
                None => import::plain(dir, &*arch, &checkpoint)?,
            };
            (tree, format!("path:{}", dir.display()))
        };
        let mut files = save::side_files(dir)?;
        if let Some(config) = files.get_mut(config::FILE) {
            save::decoded(config);
        }
        Self::put_together(dir, arch, tree, Tokenizer::open(dir)?, origin, files)
    }

    /// A model from an open file of llama2.c, and the vocabulary in the folder `dir`.
    fn from_llama2c(dir: &FilePath, file: &Llama2c) -> Result<Self, Error> {
        Self::from_parts(dir, ModelConfig::Llama(file.config.clone()), file, Tokenizer::open(dir)?)
    }

    /// A model from an open GGUF file, which has its vocabulary in itself.
    fn from_gguf(path: &FilePath, file: &GgufModel) -> Result<Self, Error> {
        let tokenizer = Tokenizer::from_gguf(path, file.file().header())?;
        Self::from_parts(path, file.config.clone(), file, tokenizer)
    }

    /// A model with the weights that a seed draws; `name` stands for its folder in errors.
    pub(crate) fn from_drawn(
        name: &FilePath,
        config: ModelConfig,
        tokenizer: Tokenizer,
        seed: u64,
    ) -> Result<Self, Error> {
        let drawn = Drawn { arch: arch::of(name, config.clone())?, seed };
        Self::from_parts(name, config, &drawn, tokenizer)
    }

    /// A model whose files are not those of Hugging Face's libraries.
    fn from_parts(
        dir: &FilePath,
        config: ModelConfig,
        file: &dyn Tensors,
        tokenizer: Tokenizer,
    ) -> Result<Self, Error> {
        let arch = arch::of(dir, config.clone())?;
        let tree = import::plain(dir, &*arch, file)?;
        let files = files_of(&config, &tokenizer)?;
        Self::put_together(dir, arch, tree, tokenizer, format!("path:{}", dir.display()), files)
    }

    pub(crate) fn put_together(
        dir: &FilePath,
        arch: Arc<dyn Architecture>,
        tree: Tree,
        tokenizer: Tokenizer,
        origin: String,
        files: BTreeMap<String, Vec<u8>>,
    ) -> Result<Self, Error> {
        let tree = pretrain::tied(tree, &*arch);
        import::check(dir, &*arch, &tree)?;
        let tree = head::wired(tree, &*arch);
        let (tokens, rows) = (tokenizer.vocabulary_size(), arch.sizes().vocabulary);
        if tokens > rows {
            return Err(Error::Vocabulary { dir: dir.to_owned(), tokens, rows });
        }
        let pipeline = pipeline::read(dir)?.unwrap_or_default();
        let head = Head::of(&tree);
        let network = Network { arch, pipeline, reserved: prefix_rows(&tree) };
        Ok(Self { tree, network, head, tokenizer, origin, files })
    }

    /// The same model with another tree.
    pub fn with_tree(&self, tree: Tree) -> Self
    where
        Tokenizer: Clone,
    {
        Self {
            head: Head::of(&tree),
            network: self.network.reserving(prefix_rows(&tree)),
            tree,
            tokenizer: self.tokenizer.clone(),
            origin: self.origin.clone(),
            files: self.files.clone(),
        }
    }

    /// The same model, leaving the first `rows` positions to a prefix that its tree will get.
    pub fn reserving(self, rows: usize) -> Self {
        Self { network: self.network.reserving(rows), ..self }
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
        let most = max_tokens.min(self.network.positions());
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
        Ok(self.tokenizer.encode(text, self.network.max_tokens())?)
    }
}

/// The config and the vocabulary as Hugging Face's libraries read them, for models that came in other files.
pub(crate) fn files_of(
    config: &ModelConfig,
    tokenizer: &Tokenizer,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    Ok(BTreeMap::from([
        (config::FILE.to_owned(), format!("{:#}\n", config.hf_json()).into_bytes()),
        (tokenizer::FILE.to_owned(), tokenizer.json()?.into_bytes()),
    ]))
}
