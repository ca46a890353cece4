//! Writing one safetensors file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;

use super::TensorFault;
use crate::atomic;
use crate::error::{Error, Result};

/// Elements converted to bytes at a time.
const CHUNK: usize = 1 << 14;

/// The header is padded to a multiple of this, so that the data is aligned in a mapped file.
const ALIGNMENT: usize = 8;

/// The numbers of a tensor that is to be written, row-major.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Numbers<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision, as bits.
    F16(&'a [u16]),
    /// Words of 32 bits; the format has a sign for them.
    I32(&'a [u32]),
}

impl Numbers<'_> {
    fn dtype(&self) -> (&'static str, u64) {
        match self {
            Numbers::F32(_) => ("F32", 4),
            Numbers::F16(_) => ("F16", 2),
            Numbers::I32(_) => ("I32", 4),
        }
    }

    fn len(&self) -> usize {
        match self {
            Numbers::F32(data) => data.len(),
            Numbers::F16(data) => data.len(),
            Numbers::I32(data) => data.len(),
        }
    }
}

/// Writes f32 tensors (name, shape, row-major data) as the file `path`; returns the bytes written.
///
/// The file appears as a whole or not at all, and the data is streamed: memory for the header and one small buffer.
/// Equal arguments give equal bytes. `metadata` goes into the header; `format` = `pt` is added when it is absent,
/// because Hugging Face's loader refuses files without it.
///
/// # Errors
/// [`Error::Unwritable`] for a name given twice or data that does not fill its shape; [`Error::Write`] or
/// [`Error::DiskFull`], after which `path` is as it was.
pub fn write(
    path: &Path,
    tensors: &[(String, Vec<usize>, &[f32])],
    metadata: &BTreeMap<String, String>,
) -> Result<u64> {
    let tensors: Vec<_> =
        tensors.iter().map(|(name, shape, data)| (name.clone(), shape.clone(), Numbers::F32(data))).collect();
    write_numbers(path, &tensors, metadata)
}

/// As [`write()`], with tensors of several types.
///
/// # Errors
/// As [`write()`].
pub fn write_numbers(
    path: &Path,
    tensors: &[(String, Vec<usize>, Numbers<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<u64> {
    let header = header(path, tensors, metadata)?;
    atomic::write_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|(_, _, data)| match data {
            Numbers::F32(data) => write_data(file, data, f32::to_le_bytes),
            Numbers::F16(data) => write_data(file, data, u16::to_le_bytes),
            Numbers::I32(data) => write_data(file, data, u32::to_le_bytes),
        })
    })
}

fn header(
    path: &Path,
    tensors: &[(String, Vec<usize>, Numbers<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut names = BTreeSet::new();
    let mut entries = serde_json::Map::new();
    let mut metadata = metadata.clone();
    metadata.entry("format".to_owned()).or_insert_with(|| "pt".to_owned());
    entries.insert("__metadata__".to_owned(), json!(metadata));
    let mut start = 0;
    for (name, shape, data) in tensors {
        let fault = |fault| Error::Unwritable { path: path.to_owned(), tensor: name.clone(), fault };
        if !names.insert(name) || name == "__metadata__" {
            return Err(fault(TensorFault::Duplicate));
        }
        let (dtype, size) = data.dtype();
        let bytes = size * data.len() as u64;
        let expected = shape.iter().try_fold(size, |bytes: u64, &size| bytes.checked_mul(size as u64));
        let overflow =
            || TensorFault::ShapeOverflow { shape: shape.iter().map(|&size| size as u64).collect() };
        let expected = expected.ok_or_else(|| fault(overflow()))?;
        if expected != bytes {
            return Err(fault(TensorFault::WrongLength { shape: shape.clone(), expected, got: bytes }));
        }
        let end = start + bytes;
        entries.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }));
        start = end;
    }
    let mut header = serde_json::to_vec(&entries).map_err(Error::json(path))?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    Ok(header)
}

fn write_data<T: Copy, const N: usize>(
    file: &mut dyn Write,
    data: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(N * CHUNK.min(data.len()));
    for chunk in data.chunks(CHUNK) {
        buffer.clear();
        buffer.extend(chunk.iter().flat_map(|&value| bytes(value)));
        file.write_all(&buffer)?;
    }
    Ok(())
}
