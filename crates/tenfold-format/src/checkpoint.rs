//! Safetensors checkpoints: one file, or shards with an index.
//!
//! ```text
//! bytes 0..8      n, the length of the header (little-endian u64, at most HEADER_LIMIT)
//! bytes 8..8+n    header, JSON: {"name": {"dtype": "F32", "shape": [o, i], "data_offsets": [start, end]}, ..,
//!                 "__metadata__": {"key": "text"}}, padded with spaces
//! bytes 8+n..     data, little-endian, row-major, without holes; offsets count from here
//! ```
//!
//! The file is mapped, not copied, and every statement of the header is checked against the file before anything is
//! read: a header is a claim. Source: the format's description at <https://github.com/huggingface/safetensors>.

mod convert;
mod header;
mod shard;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) use convert::f16_to_f32;
pub use header::{HEADER_LIMIT, TensorFault};
pub use safetensors::Dtype;
pub use shard::INDEX_LIMIT;
pub(crate) use shard::names as shard_names;
pub use write::{Elements, write};

use crate::error::{Error, Result};
use crate::map::{self, Bytes};
use crate::sniff;

/// The file name of a whole checkpoint in a model folder.
pub const FILE: &str = "model.safetensors";
/// The file name of the index of a checkpoint in shards.
pub const INDEX: &str = "model.safetensors.index.json";

/// What a checkpoint says of one tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its name, by convention a dotted path.
    pub name: String,
    /// The element type.
    pub dtype: Dtype,
    /// The dimensions, slowest first; empty for a single number.
    pub shape: Vec<usize>,
    /// Bytes of data.
    pub bytes: usize,
}

impl TensorInfo {
    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// An open checkpoint whose headers have been checked.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<(PathBuf, Bytes)>,
    tensors: BTreeMap<String, Place>,
    metadata: BTreeMap<String, String>,
}

/// A tensor and where its bytes are.
#[derive(Debug)]
struct Place {
    info: TensorInfo,
    file: usize,
    start: usize, // in the file, header included
}

impl Checkpoint {
    /// Opens a safetensors file, an index of shards, or a folder that holds [`FILE`] or [`INDEX`].
    ///
    /// # Errors
    /// Any file that lies about its contents is refused with the tensor at fault: [`Error::Tensor`],
    /// [`Error::Truncated`], [`Error::Limit`], [`Error::TrailingBytes`] and so on. [`Error::NoCheckpoint`] for a
    /// folder without one; [`Error::Pickle`] and [`Error::GgufWeights`] for files of those kinds.
    pub fn open(path: &Path) -> Result<Checkpoint> {
        if path.is_dir() {
            let (file, index) = (path.join(FILE), path.join(INDEX));
            return match (file.is_file(), index.is_file()) {
                (true, _) => Self::open(&file),
                (false, true) => shard::open(&index),
                _ if path.join("pytorch_model.bin").is_file() => {
                    Err(Error::Pickle { path: path.join("pytorch_model.bin") })
                }
                _ => Err(Error::NoCheckpoint { path: path.to_owned() }),
            };
        }
        if path.extension().is_some_and(|extension| extension == "json") {
            return shard::open(path);
        }
        sniff::refuse_other(path)?;
        Self::single(path, map::map(path)?)
    }

    /// Reads a checkpoint from memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Checkpoint> {
        Self::single(name, Bytes::Held(bytes))
    }

    fn single(path: &Path, bytes: Bytes) -> Result<Checkpoint> {
        let header = header::parse(path, &bytes)?;
        let tensors = header
            .tensors
            .into_iter()
            .map(|(info, start)| (info.name.clone(), Place { info, file: 0, start }));
        Ok(Checkpoint {
            path: path.to_owned(),
            tensors: tensors.collect(),
            metadata: header.metadata,
            files: vec![(path.to_owned(), bytes)],
        })
    }

    /// The file, or the index of the shards.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that hold the data: one, or the shards.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|(path, _)| path.as_path())
    }

    /// The tensors in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.values().map(|place| &place.info)
    }

    /// The tensor called `name`, if it is there.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name).map(|place| &place.info)
    }

    /// The free text of the header (`__metadata__`); that of all shards together, the first one winning.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Reads a tensor as row-major f32.
    ///
    /// *Accuracy*: f16 and bf16 exactly; f64 and integers rounded to the nearest f32; booleans as 0 and 1.
    ///
    /// # Errors
    /// [`Error::MissingTensor`]; [`Error::NotConvertible`] for complex numbers and those of 8 bits and fewer.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let (info, path, bytes) = self.find(name)?;
        convert::to_f32(info.dtype, bytes).ok_or_else(|| Error::NotConvertible {
            path: path.to_owned(),
            tensor: name.to_owned(),
            dtype: info.dtype.to_string(),
        })
    }

    /// The bytes of a tensor of bytes.
    ///
    /// # Errors
    /// [`Error::MissingTensor`]; [`Error::NotConvertible`] for other elements.
    pub fn read_bytes(&self, name: &str) -> Result<&[u8]> {
        let (info, path, bytes) = self.find(name)?;
        if info.dtype == Dtype::U8 {
            return Ok(bytes);
        }
        Err(Error::NotConvertible {
            path: path.to_owned(),
            tensor: name.to_owned(),
            dtype: info.dtype.to_string(),
        })
    }

    /// The index (row-major) of the first element that is no finite number, as f32.
    ///
    /// # Errors
    /// As [`Checkpoint::read_f32`].
    pub fn non_finite(&self, name: &str) -> Result<Option<usize>> {
        Ok(self.read_f32(name)?.iter().position(|value| !value.is_finite()))
    }

    /// What is said of a tensor, and its bytes.
    ///
    /// # Errors
    /// [`Error::MissingTensor`].
    pub(crate) fn raw(&self, name: &str) -> Result<(&TensorInfo, &[u8])> {
        self.find(name).map(|(info, _, bytes)| (info, bytes))
    }

    fn find(&self, name: &str) -> Result<(&TensorInfo, &Path, &[u8])> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let place = self.tensors.get(name).ok_or_else(missing)?;
        let (path, bytes) = &self.files[place.file];
        // In range: the header was checked against these very bytes.
        Ok((&place.info, path, &bytes[place.start..place.start + place.info.bytes]))
    }
}
