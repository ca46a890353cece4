//! The header of one safetensors file, checked against the bytes it describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use safetensors::Dtype;
use serde::de::value::StrDeserializer;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::TensorInfo;
use crate::error::{Error, Result};

/// The longest header that is read, in bytes; the reference reader's limit.
pub const HEADER_LIMIT: u64 = 100_000_000;

/// Bytes of the header's length.
const PREFIX: usize = 8;

/// The key of the free text, which is no tensor.
const METADATA: &str = "__metadata__";

/// What a header may get wrong about one tensor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorFault {
    /// Two entries with one name.
    #[error("listed twice")]
    Duplicate,
    /// An element type that the format does not define.
    #[error("unknown element type {dtype}")]
    UnknownDtype {
        /// The type as written.
        dtype: String,
    },
    /// A range that ends before it starts.
    #[error("ends at byte {end}, before its start {start}")]
    Backward {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// A tensor that begins inside the one before it.
    #[error("starts at byte {got}, inside the tensor before it, expected {expected}")]
    Overlap {
        /// Where it should start.
        expected: u64,
        /// Where it starts.
        got: u64,
    },
    /// Bytes before a tensor that belong to none.
    #[error("starts at byte {got} after a hole, expected {expected}")]
    Hole {
        /// Where it should start.
        expected: u64,
        /// Where it starts.
        got: u64,
    },
    /// A tensor that reaches beyond the end of the file.
    #[error("ends at byte {end} of {available}")]
    OutOfFile {
        /// One past its last byte.
        end: u64,
        /// Data bytes in the file.
        available: u64,
    },
    /// Shape and element type ask for another number of bytes than the range has.
    #[error("shape {shape:?} needs {expected} bytes, got {got}")]
    WrongLength {
        /// Its shape.
        shape: Vec<usize>,
        /// Bytes by shape and type.
        expected: u64,
        /// Bytes by range.
        got: u64,
    },
    /// A size that does not fit in an address.
    #[error("the size of shape {shape:?} overflows")]
    ShapeOverflow {
        /// The shape.
        shape: Vec<u64>,
    },
    /// Elements smaller than a byte that do not fill whole bytes.
    #[error("shape {shape:?} does not fill whole bytes")]
    PartialByte {
        /// The shape.
        shape: Vec<usize>,
    },
    /// The index puts the tensor into a shard that does not hold it.
    #[error("not in {shard}, where the index puts it")]
    NotInShard {
        /// The shard by the index.
        shard: String,
    },
    /// A shard holds a tensor that the index does not put there.
    #[error("in {shard}, where the index does not list it")]
    NotInIndex {
        /// The shard.
        shard: String,
    },
}

/// A checked header: each tensor with the place of its first byte in the file.
pub(super) struct Header {
    pub(super) tensors: Vec<(TensorInfo, usize)>,
    pub(super) metadata: BTreeMap<String, String>,
}

/// Parses and checks the header of the file whose content is `bytes`.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Header> {
    let truncated =
        |expected: u64| Error::Truncated { path: path.to_owned(), expected, got: bytes.len() as u64 };
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else {
        return Err(truncated(PREFIX as u64));
    };
    let length = u64::from_le_bytes(*prefix);
    if length > HEADER_LIMIT {
        return Err(Error::Limit {
            path: path.to_owned(),
            what: "the header length",
            limit: HEADER_LIMIT,
            got: length,
        });
    }
    if length > rest.len() as u64 {
        return Err(truncated(PREFIX as u64 + length));
    }
    let (text, data) = rest.split_at(length as usize);
    let text = std::str::from_utf8(text)
        .map_err(|_| Error::NotUtf8 { path: path.to_owned(), what: "the header" })?;
    let raw: RawHeader = serde_json::from_str(text).map_err(Error::json(path))?;
    let fault =
        |tensor: &str, fault| Error::Tensor { path: path.to_owned(), tensor: tensor.to_owned(), fault };

    let mut names = BTreeSet::new();
    for name in
        raw.tensors.iter().map(|(name, _)| name.as_str()).chain(raw.extra_metadata.then_some(METADATA))
    {
        if name == METADATA || !names.insert(name) {
            return Err(fault(name, TensorFault::Duplicate));
        }
    }
    let mut entries: Vec<_> = raw.tensors.iter().collect();
    entries.sort_by_key(|(name, entry)| (entry.data_offsets, name));
    let mut tensors = Vec::with_capacity(entries.len());
    let mut next = 0;
    for (name, entry) in entries {
        let info = check(name, entry, next, data.len() as u64).map_err(|found| fault(name, found))?;
        tensors.push((info, PREFIX + length as usize + next as usize));
        next = entry.data_offsets.1;
    }
    if next != data.len() as u64 {
        return Err(Error::TrailingBytes { path: path.to_owned(), expected: next, got: data.len() as u64 });
    }
    Ok(Header { tensors, metadata: raw.metadata })
}

/// Checks one entry that should start at `next` in `available` bytes of data.
fn check(name: &str, entry: &RawTensor, next: u64, available: u64) -> Result<TensorInfo, TensorFault> {
    let (start, end) = entry.data_offsets;
    if end < start {
        return Err(TensorFault::Backward { start, end });
    }
    if start < next {
        return Err(TensorFault::Overlap { expected: next, got: start });
    }
    if start > next {
        return Err(TensorFault::Hole { expected: next, got: start });
    }
    if end > available {
        return Err(TensorFault::OutOfFile { end, available });
    }
    let dtype = Dtype::deserialize(StrDeserializer::<serde::de::value::Error>::new(&entry.dtype))
        .map_err(|_| TensorFault::UnknownDtype { dtype: entry.dtype.clone() })?;
    let overflow = || TensorFault::ShapeOverflow { shape: entry.shape.clone() };
    let shape: Vec<usize> =
        entry.shape.iter().map(|&size| size.try_into()).collect::<Result<_, _>>().map_err(|_| overflow())?;
    // Every factor counts: a shape such as [0, 2^63, 4] would overflow for whoever multiplies it in another order.
    let bits = shape.iter().try_fold(dtype.bitsize(), |bits, &size| bits.checked_mul(size.max(1)));
    let bits = bits.ok_or_else(overflow)?;
    let bits = if shape.contains(&0) { 0 } else { bits as u64 };
    if bits % 8 != 0 {
        return Err(TensorFault::PartialByte { shape });
    }
    if bits / 8 != end - start {
        return Err(TensorFault::WrongLength { shape, expected: bits / 8, got: end - start });
    }
    Ok(TensorInfo { name: name.to_owned(), dtype, shape, bytes: (end - start) as usize })
}

/// The header as written, in the order and with the repetitions of the file.
struct RawHeader {
    tensors: Vec<(String, RawTensor)>,
    metadata: BTreeMap<String, String>,
    extra_metadata: bool,
}

#[derive(serde::Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawHeader, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut tensors = Vec::new();
                let mut metadata = None;
                let mut extra_metadata = false;
                while let Some(name) = map.next_key::<String>()? {
                    if name != METADATA {
                        tensors.push((name, map.next_value()?));
                    } else if metadata.is_none() {
                        metadata = Some(map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        extra_metadata = true;
                    }
                }
                Ok(RawHeader { tensors, metadata: metadata.unwrap_or_default(), extra_metadata })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
