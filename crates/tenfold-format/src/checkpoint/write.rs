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

/// The elements of a tensor to write, in row-major order.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision, as bits.
    F16(&'a [u16]),
    /// Words of 32 bits; the format has a sign for them.
    I32(&'a [u32]),
    /// Bytes.
    U8(&'a [u8]),
}

impl<'a> From<&'a [f32]> for Elements<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Elements<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self::F32(values)
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Elements<'a> {
    fn from(values: &'a [f32; N]) -> Self {
        Self::F32(values)
    }
}

impl Elements<'_> {
    fn bytes(self) -> u64 {
        match self {
            Self::F32(values) => 4 * values.len() as u64,
            Self::F16(values) => 2 * values.len() as u64,
            Self::I32(values) => 4 * values.len() as u64,
            Self::U8(bytes) => bytes.len() as u64,
        }
    }

    /// Bytes of an element, and its type as the format writes it.
    fn kind(self) -> (u64, &'static str) {
        match self {
            Self::F32(_) => (4, "F32"),
            Self::F16(_) => (2, "F16"),
            Self::I32(_) => (4, "I32"),
            Self::U8(_) => (1, "U8"),
        }
    }

    fn write(self, file: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::F32(values) => write_data(file, values, f32::to_le_bytes),
            Self::F16(values) => write_data(file, values, u16::to_le_bytes),
            Self::I32(values) => write_data(file, values, u32::to_le_bytes),
            Self::U8(bytes) => file.write_all(bytes),
        }
    }
}

/// Writes tensors (name, shape, row-major data) as the file `path`; returns the bytes written.
///
/// The file appears as a whole or not at all, and the data is streamed: memory for the header and one small buffer.
/// Equal arguments give equal bytes. `metadata` goes into the header; `format` = `pt` is added when it is absent,
/// because Hugging Face's loader refuses files without it.
///
/// # Errors
/// [`Error::Unwritable`] for a name given twice or data that does not fill its shape; [`Error::Write`] or
/// [`Error::DiskFull`], after which `path` is as it was.
pub fn write<'a, E: Copy + Into<Elements<'a>>>(
    path: &Path,
    tensors: &[(String, Vec<usize>, E)],
    metadata: &BTreeMap<String, String>,
) -> Result<u64> {
    let tensors: Vec<_> = tensors.iter().map(|(name, shape, data)| (name, shape, (*data).into())).collect();
    let header = header(path, &tensors, metadata)?;
    atomic::write_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        tensors.iter().try_for_each(|(_, _, data)| data.write(file))
    })
}

fn header(
    path: &Path,
    tensors: &[(&String, &Vec<usize>, Elements<'_>)],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut names = BTreeSet::new();
    let mut entries = serde_json::Map::new();
    let mut metadata = metadata.clone();
    metadata.entry("format".to_owned()).or_insert_with(|| "pt".to_owned());
    entries.insert("__metadata__".to_owned(), json!(metadata));
    let mut start = 0;
    for &(name, shape, data) in tensors {
        let fault = |fault| Error::Unwritable { path: path.to_owned(), tensor: name.clone(), fault };
        if !names.insert(name) || name == "__metadata__" {
            return Err(fault(TensorFault::Duplicate));
        }
        let (bytes, (size, kind)) = (data.bytes(), data.kind());
        let expected = shape.iter().try_fold(size, |bytes: u64, &size| bytes.checked_mul(size as u64));
        let overflow =
            || TensorFault::ShapeOverflow { shape: shape.iter().map(|&size| size as u64).collect() };
        let expected = expected.ok_or_else(|| fault(overflow()))?;
        if expected != bytes {
            return Err(fault(TensorFault::WrongLength { shape: shape.clone(), expected, got: bytes }));
        }
        let end = start + bytes;
        entries.insert(name.clone(), json!({ "dtype": kind, "shape": shape, "data_offsets": [start, end] }));
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
