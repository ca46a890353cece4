//! GGUF files: metadata, tensor names, shapes and types, and the bytes of tensors, read and written. What the bytes
//! mean as numbers is not known here.
//!
//! ```text
//! "GGUF"  version u32  tensors u64  entries u64
//! entries: key string, type u32, value           string: length u64, bytes; array: type u32, count u64, elements
//! tensors: name string, dimensions u32, sizes u64 (fastest first), type u32, offset u64
//! padding to `general.alignment`, then the data that offsets count from
//! ```
//!
//! Numbers are little-endian. Counts and lengths are claims: each is held against the bytes that are left before
//! anything is allocated, so no header makes the reader take more than a small multiple of its file.
//! Source: the specification at <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3.

mod fault;
mod file;
mod kind;
mod llama;
mod model;
mod read;
mod value;
mod write;

use std::collections::BTreeSet;
use std::path::Path;

pub use fault::GgufFault;
pub use file::{GgufFile, Tensor};
pub use kind::Kind;
pub use llama::{metadata as llama_metadata, name_of as llama_name, rows_of as llama_rows};
pub use model::GgufModel;
pub use value::{Array, Value};
pub use write::{NAME_WRITTEN, Planned, write};

use self::read::Reader;
use crate::error::{Error, Result};
use crate::map;

/// The first bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";
/// The versions that are read; they differ from 1 in the width of lengths, not from one another.
pub const VERSIONS: [u32; 2] = [2, 3];
/// The largest number of metadata entries.
pub const ENTRIES_LIMIT: u64 = 1 << 16;
/// The largest number of tensors.
pub const TENSORS_LIMIT: u64 = 1 << 20;
/// The largest number of dimensions, as in the reference implementation.
pub const DIMENSIONS_LIMIT: u32 = 4;
/// The longest key in bytes, by the specification.
pub const KEY_LIMIT: u64 = (1 << 16) - 1;
/// The longest tensor name in bytes; the specification says 64, some converters write more.
pub const NAME_LIMIT: u64 = 1 << 10;
/// The deepest nesting of arrays.
pub const NESTING_LIMIT: usize = 4;
/// The alignment when the metadata names none.
pub const DEFAULT_ALIGNMENT: u64 = 32;
/// The largest alignment.
pub const ALIGNMENT_LIMIT: u64 = 1 << 20;

/// The entry with the alignment of the data.
const ALIGNMENT_KEY: &str = "general.alignment";

/// The header of a GGUF file.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gguf {
    /// 2 or 3.
    pub version: u32,
    /// The entries in the order of the file.
    pub metadata: Vec<(String, Value)>,
    /// The tensors in the order of the file.
    pub tensors: Vec<TensorInfo>,
    /// Where tensors may begin.
    pub alignment: u64,
    /// The byte that offsets count from.
    pub data_start: u64,
}

/// What a GGUF file says of one tensor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TensorInfo {
    /// Its name.
    pub name: String,
    /// The dimensions, slowest first (the file has them the other way round).
    pub shape: Vec<u64>,
    /// The number of its type.
    pub type_id: u32,
    /// The name of its type, when it is known here.
    pub type_name: Option<&'static str>,
    /// Its first byte, from the start of the data.
    pub offset: u64,
    /// Its bytes, when its type is known here.
    pub bytes: Option<u64>,
}

impl Gguf {
    /// Reads the header of the file `path`.
    ///
    /// # Errors
    /// [`Error::Gguf`] with the place of the fault; [`Error::Read`].
    pub fn open(path: &Path) -> Result<Gguf> {
        Gguf::parse(path, &map::map(path)?)
    }

    /// Reads the header of a file whose content is `bytes`; `path` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::Gguf`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Gguf> {
        let mut reader = Reader::new(bytes);
        Gguf::parse_from(&mut reader).map_err(|fault| Error::Gguf {
            path: path.to_owned(),
            offset: reader.position(),
            fault,
        })
    }

    /// The value of the entry `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    fn parse_from(reader: &mut Reader<'_>) -> Result<Gguf, GgufFault> {
        let got = reader.array()?;
        if got != MAGIC {
            return Err(GgufFault::Magic { got });
        }
        let version = reader.u32()?;
        if !VERSIONS.contains(&version) {
            return Err(GgufFault::Version { got: version });
        }
        // The smallest tensor: no name, no dimensions, type and offset; the smallest entry: no key, type, one byte.
        let tensor_count = reader.count("the number of tensors", TENSORS_LIMIT)?;
        let entry_count = reader.count("the number of entries", ENTRIES_LIMIT)?;
        reader.need(tensor_count.saturating_mul(24).saturating_add(entry_count.saturating_mul(13)))?;

        let mut metadata = Vec::with_capacity(entry_count as usize);
        let mut keys = BTreeSet::new();
        for _ in 0..entry_count {
            let key = reader.name("a key", KEY_LIMIT)?;
            if !keys.insert(key.clone()) {
                return Err(GgufFault::Duplicate { name: key });
            }
            let value = reader.value()?;
            metadata.push((key, value));
        }
        let alignment = alignment(&metadata)?;
        let mut tensors = Vec::with_capacity(tensor_count as usize);
        let mut names = BTreeSet::new();
        for _ in 0..tensor_count {
            let tensor = tensor(reader, alignment)?;
            if !names.insert(tensor.name.clone()) {
                return Err(GgufFault::Duplicate { name: tensor.name });
            }
            tensors.push(tensor);
        }
        let data_start = reader.position().next_multiple_of(alignment);
        // A file that is only a vocabulary may end before the padding.
        let available = reader.length().saturating_sub(data_start);
        for tensor in &tensors {
            // At least its first byte must be there when its size is not known.
            let end = tensor.offset.saturating_add(tensor.bytes.unwrap_or(1));
            if end > available {
                return Err(GgufFault::OutOfFile { tensor: tensor.name.clone(), end, available });
            }
        }
        apart(&tensors)?;
        Ok(Gguf { version, metadata, tensors, alignment, data_start })
    }
}

/// Refuses tensors that share bytes.
fn apart(tensors: &[TensorInfo]) -> Result<(), GgufFault> {
    let mut places: Vec<_> = tensors.iter().filter(|one| one.bytes != Some(0)).collect();
    places.sort_by_key(|one| one.offset);
    for pair in places.windows(2) {
        if pair[0].offset.saturating_add(pair[0].bytes.unwrap_or(1)) > pair[1].offset {
            let (first, second) = (pair[0].name.clone(), pair[1].name.clone());
            return Err(GgufFault::Overlap { first, second });
        }
    }
    Ok(())
}

fn alignment(metadata: &[(String, Value)]) -> Result<u64, GgufFault> {
    match metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY) {
        None => Ok(DEFAULT_ALIGNMENT),
        Some((_, Value::U32(value))) if value.is_power_of_two() && u64::from(*value) <= ALIGNMENT_LIMIT => {
            Ok(u64::from(*value))
        }
        Some((_, value)) => Err(GgufFault::Alignment { got: value.to_string() }),
    }
}

fn tensor(reader: &mut Reader<'_>, alignment: u64) -> Result<TensorInfo, GgufFault> {
    let name = reader.name("a tensor name", NAME_LIMIT)?;
    let dimensions = reader.u32()?;
    if dimensions > DIMENSIONS_LIMIT {
        let (limit, got) = (u64::from(DIMENSIONS_LIMIT), u64::from(dimensions));
        return Err(GgufFault::Limit { what: "the number of dimensions", limit, got });
    }
    let mut shape = (0..dimensions).map(|_| reader.u64()).collect::<Result<Vec<_>, _>>()?;
    shape.reverse();
    let type_id = reader.u32()?;
    let offset = reader.u64()?;
    let kind = Kind::of(type_id);
    let bytes = match kind {
        Some(kind) => kind.size(&shape).map(Some),
        None => kind::elements(&shape).map(|_| None),
    };
    let Some(bytes) = bytes else { return Err(GgufFault::Shape { tensor: name, shape }) };
    if !offset.is_multiple_of(alignment) {
        return Err(GgufFault::Misaligned { tensor: name, got: offset, alignment });
    }
    Ok(TensorInfo { name, shape, type_id, type_name: kind.map(|kind| kind.name), offset, bytes })
}
