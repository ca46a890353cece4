//! Model files of llama2.c, of version 0 (float32) and version 2 (8 bits in groups).
//!
//! ```text
//! version 0: seven int32: D, F, layers, heads, key heads, vocabulary (negative: an output matrix of its own at the
//!            end), positions; then float32: token table; per kind, all layers: attention norm, query, key, value,
//!            output, feed-forward norm, gate, down, up; final norm; two rotary tables, positions x K/2 each
//! version 2: "24ka", int32 2, the seven int32, one byte (1: tied output), int32 group size, zeros to byte 256; float32
//!            norms: attention, feed-forward, final; then per matrix all int8 codes and one float32 scale per group:
//!            token table; per kind, all layers: query, key, value, output, gate, down, up; the output matrix unless tied
//! ```
//!
//! All numbers are little-endian and matrices row by row, rows being outputs. A file says nothing of itself but these
//! counts, so its length must be exactly what they imply. Tensors are given under the names of Hugging Face's
//! checkpoints, with the rows of query and key in that layout of rotary pairs. Source: export.py of
//! <https://github.com/karpathy/llama2.c>.

mod header;
mod tensor;

use std::fs;
use std::path::{Path, PathBuf};

use header::Header;
pub use header::Llama2cFault;
use tensor::Place;

use crate::config::LlamaConfig;
use crate::error::{Error, Result};
use crate::map::{self, Bytes};

/// The ending of the files.
const ENDING: &str = "bin";

/// An open llama2.c file whose length fits its header.
#[derive(Debug)]
pub struct Llama2c {
    path: PathBuf,
    /// The architecture; the file says nothing of tokens that begin and end a text: both 1 and 2 end one.
    pub config: LlamaConfig,
    bytes: Bytes,
    tensors: Vec<Place>,
}

impl Llama2c {
    /// Opens the file `path`.
    ///
    /// # Errors
    /// [`Error::Llama2c`] with the fault; [`Error::Read`].
    pub fn open(path: &Path) -> Result<Llama2c> {
        let bytes = map::map(path)?;
        Self::parse(path, bytes)
    }

    /// Reads a file from memory; `name` stands for the file in errors.
    ///
    /// # Errors
    /// As [`Llama2c::open`].
    pub fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Llama2c> {
        Self::parse(name, Bytes::Held(bytes))
    }

    fn parse(path: &Path, bytes: Bytes) -> Result<Llama2c> {
        let bad = |fault| Error::Llama2c { path: path.to_owned(), fault };
        let header = Header::read(&bytes).map_err(bad)?;
        let tensors = tensor::places(&header, bytes.len() as u64).map_err(bad)?;
        Ok(Llama2c { path: path.to_owned(), config: header.config, bytes, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and shapes of the tensors, in the order of the file.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|place| (place.name.as_str(), place.shape.as_slice()))
    }

    /// How a tensor's numbers are stored, and in how many bytes; `None` for an unknown name.
    pub fn stored(&self, name: &str) -> Option<(&'static str, usize)> {
        self.tensors.iter().find(|place| place.name == name).map(Place::stored)
    }

    /// Reads a tensor as row-major f32.
    ///
    /// # Errors
    /// [`Error::MissingTensor`].
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>> {
        let missing = || Error::MissingTensor { path: self.path.clone(), tensor: name.to_owned() };
        let place = self.tensors.iter().find(|place| place.name == name).ok_or_else(missing)?;
        let values = place.decode(&self.bytes);
        Ok(if place.rotary { place.halves(&values, self.config.head_width) } else { values })
    }
}

/// The llama2.c file of a folder without any other checkpoint: the only `.bin` file whose first bytes are such a header.
///
/// # Errors
/// [`Error::TwoModels`] when two files look like one; [`Error::Read`].
pub fn find(dir: &Path) -> Result<Option<PathBuf>> {
    let mut found: Option<PathBuf> = None;
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::read(dir))? {
        paths.push(entry.map_err(Error::read(dir))?.path());
    }
    paths.sort();
    for path in paths {
        let named = path.extension().is_some_and(|ending| ending == ENDING) && path.is_file();
        if !named || !looks_like(&path)? {
            continue;
        }
        if let Some(first) = found {
            return Err(Error::TwoModels { first, second: path });
        }
        found = Some(path);
    }
    Ok(found)
}

/// Whether the first bytes of a file are a header of any version, whatever comes after them.
pub(crate) fn looks_like(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let file = fs::File::open(path).map_err(Error::read(path))?;
    let mut start = std::io::Read::take(file, header::LENGTH as u64);
    std::io::Read::read_to_end(&mut start, &mut head).map_err(Error::read(path))?;
    Ok(header::is_header(&head))
}
