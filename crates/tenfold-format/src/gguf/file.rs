//! Open GGUF files: the header, and the bytes of tensors.

use std::path::{Path, PathBuf};

use super::{Gguf, Kind, TensorInfo};
use crate::error::{Error, Result};
use crate::map::{self, Bytes};

/// An open GGUF file whose header has been checked against it.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    bytes: Bytes,
    header: Gguf,
}

/// A tensor of an open file.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Tensor<'a> {
    /// What the header says of it.
    pub info: &'a TensorInfo,
    /// Its type.
    pub kind: &'static Kind,
    /// Its blocks, row by row.
    pub bytes: &'a [u8],
}

impl GgufFile {
    /// Opens the file `path`, which is mapped, not copied.
    ///
    /// # Errors
    /// [`Error::Gguf`] with the place of the fault; [`Error::Read`].
    pub fn open(path: &Path) -> Result<GgufFile> {
        Self::parse(path, map::map(path)?)
    }

    /// Reads a file from memory; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::Gguf`].
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<GgufFile> {
        Self::parse(name, Bytes::Held(bytes))
    }

    fn parse(path: &Path, bytes: Bytes) -> Result<GgufFile> {
        let header = Gguf::parse(path, &bytes)?;
        Ok(GgufFile { path: path.to_owned(), bytes, header })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Metadata, and names, types and places of tensors.
    pub fn header(&self) -> &Gguf {
        &self.header
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// [`Error::MissingTensor`]; [`Error::NotConvertible`] for a type whose size is not known here.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        let info = self.header.tensors.iter().find(|info| info.name == name);
        let info =
            info.ok_or_else(|| Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() })?;
        let known = Kind::of(info.type_id).zip(info.bytes);
        let (kind, length) = known.ok_or_else(|| Error::NotConvertible {
            path: self.path.clone(),
            tensor: name.to_owned(),
            dtype: format!("number {}", info.type_id),
        })?;
        // In range: the header was checked against these very bytes. A tensor without elements may lie anywhere.
        let start = (self.header.data_start + info.offset) as usize;
        let bytes = if length == 0 { &[] } else { &self.bytes[start..start + length as usize] };
        Ok(Tensor { info, kind, bytes })
    }
}
