//! GGUF files as models: a config, and tensors under the names and in the row order of Hugging Face's checkpoints.

use std::borrow::Cow;
use std::path::Path;

use super::{GgufFault, GgufFile, Kind, Value, llama};
use crate::config::ModelConfig;
use crate::error::{Error, Result};

/// The architectures that are read.
const KNOWN: &[&str] = &[llama::ARCHITECTURE];

/// An open GGUF file of a known architecture.
#[derive(Debug)]
pub struct GgufModel {
    file: GgufFile,
    /// The architecture.
    pub config: ModelConfig,
    tensors: Vec<Named>,
}

/// A tensor under another name.
#[derive(Debug)]
struct Named {
    name: String,
    own: String,
    shape: Vec<usize>,
    /// For every row here the row in the file, where those differ.
    rows: Option<Vec<usize>>,
}

impl GgufModel {
    /// Opens the file `path`.
    ///
    /// # Errors
    /// [`Error::Gguf`]; [`Error::UnknownModel`]; [`Error::GgufModel`], [`Error::Unsupported`] and
    /// [`Error::OutOfRange`] for entries of the model.
    pub fn open(path: &Path) -> Result<GgufModel> {
        Self::of(GgufFile::open(path)?)
    }

    /// The model in an open file.
    ///
    /// # Errors
    /// As [`GgufModel::open`].
    pub fn of(file: GgufFile) -> Result<GgufModel> {
        let (path, header) = (file.path(), file.header());
        let fault = |fault| Error::GgufModel { path: path.to_owned(), fault };
        let key = "general.architecture";
        let missing = || fault(GgufFault::MissingKey { key: key.to_owned() });
        let value = header.get(key).ok_or_else(missing)?;
        let model = value.as_str().unwrap_or_default();
        if model != llama::ARCHITECTURE {
            return Err(Error::UnknownModel {
                path: path.to_owned(),
                model: value.to_string(),
                known: KNOWN,
            });
        }
        let config = llama::config(path, header)?;
        let head_width = match &config {
            ModelConfig::Llama(config) => config.head_width,
            _ => 1,
        };
        let mut tensors = Vec::with_capacity(header.tensors.len());
        for info in &header.tensors {
            let shape: Vec<usize> = info.shape.iter().map(|&size| size as usize).collect();
            let whole = shape.first().copied().unwrap_or(0);
            let rows = llama::rows_of(&info.name, whole, head_width).filter(|_| shape.len() == 2);
            if rows.is_some() && !whole.is_multiple_of(head_width) {
                let (tensor, shape) = (info.name.clone(), info.shape.clone());
                return Err(fault(GgufFault::Shape { tensor, shape }));
            }
            let rows = rows.map(|rows| {
                let mut back = vec![0; whole];
                rows.into_iter().enumerate().for_each(|(own, row)| back[row] = own);
                back
            });
            // A name without a meaning stays, for the architecture to refuse.
            let name = llama::hugging_face_name(&info.name).unwrap_or_else(|| info.name.clone());
            tensors.push(Named { name, own: info.name.clone(), shape, rows });
        }
        Ok(GgufModel { file, config, tensors })
    }

    /// The file.
    pub fn file(&self) -> &GgufFile {
        &self.file
    }

    /// Names and shapes of the tensors, in the order of the file.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|one| (one.name.as_str(), one.shape.as_slice()))
    }

    /// The type and the blocks of a tensor, row by row; a row is a whole number of blocks.
    ///
    /// # Errors
    /// As [`GgufFile::tensor`].
    pub fn read(&self, name: &str) -> Result<(&'static Kind, Cow<'_, [u8]>)> {
        let missing = || Error::MissingTensor { path: self.file.path().to_owned(), tensor: name.to_owned() };
        let named = self.tensors.iter().find(|one| one.name == name).ok_or_else(missing)?;
        let tensor = self.file.tensor(&named.own)?;
        let Some(rows) = named.rows.as_ref().filter(|rows| !rows.is_empty()) else {
            return Ok((tensor.kind, Cow::Borrowed(tensor.bytes)));
        };
        let row = tensor.bytes.len() / rows.len();
        let ordered = rows.iter().flat_map(|&at| &tensor.bytes[at * row..(at + 1) * row]);
        Ok((tensor.kind, Cow::Owned(ordered.copied().collect())))
    }

    /// The entry `key` of the file.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.file.header().get(key)
    }
}
