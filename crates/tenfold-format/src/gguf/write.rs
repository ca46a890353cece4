//! Writing GGUF files of version 3: the header first, then tensor after tensor, so that no more than one is in memory.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use super::{
    Array, DIMENSIONS_LIMIT, ENTRIES_LIMIT, GgufFault, KEY_LIMIT, Kind, MAGIC, NESTING_LIMIT, TENSORS_LIMIT,
    Value, alignment,
};
use crate::atomic;
use crate::error::Error;

/// The version that is written.
const VERSION: u32 = 3;

/// The longest tensor name that is written, in bytes: the reference implementation keeps names in 64 with a zero at
/// the end.
pub const NAME_WRITTEN: u64 = 63;

/// A tensor that is to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// Its name.
    pub name: String,
    /// The dimensions, slowest first; one to four.
    pub shape: Vec<u64>,
    /// Its type.
    pub kind: &'static Kind,
}

/// Writes the file `path` as a whole or not at all. `data` is asked for the blocks of every tensor, in the order of
/// `tensors` and once each. Returns the bytes of the file.
///
/// # Errors
/// [`Error::GgufUnwritable`] where entries or tensors are such that no reader would take them, or data have another
/// length than planned; [`Error::Write`] and [`Error::DiskFull`]; whatever `data` returns. `path` is untouched then.
pub fn write<E: From<Error>>(
    path: &Path,
    metadata: &[(String, Value)],
    tensors: &[Planned],
    data: &mut dyn FnMut(&Planned) -> Result<Vec<u8>, E>,
) -> Result<u64, E> {
    let unwritable = |fault| Error::GgufUnwritable { path: path.to_owned(), fault };
    let (header, alignment) = header(metadata, tensors).map_err(unwritable)?;
    let mut fault: Option<E> = None;
    let mut fill = |file: &mut dyn Write| {
        padded(file, &header, alignment)?;
        for tensor in tensors {
            let bytes = data(tensor).and_then(|bytes| {
                let (expected, got) = (tensor.kind.size(&tensor.shape).unwrap_or(0), bytes.len() as u64);
                let tensor = tensor.name.clone();
                let wrong = GgufFault::Data { tensor, expected, got };
                if expected == got { Ok(bytes) } else { Err(unwritable(wrong).into()) }
            });
            match bytes {
                Ok(bytes) => padded(file, &bytes, alignment)?,
                Err(error) => {
                    fault = Some(error);
                    return Err(io::Error::other("the data of a tensor could not be had"));
                }
            }
        }
        Ok(())
    };
    let written = atomic::write_with(path, &mut fill);
    match fault {
        Some(fault) => Err(fault),
        None => Ok(written?),
    }
}

fn padded(file: &mut dyn Write, bytes: &[u8], alignment: u64) -> io::Result<()> {
    file.write_all(bytes)?;
    let padding = (bytes.len() as u64).next_multiple_of(alignment) - bytes.len() as u64;
    file.write_all(&vec![0; padding as usize])
}

/// Everything before the data, without the padding, and the alignment.
fn header(metadata: &[(String, Value)], tensors: &[Planned]) -> Result<(Vec<u8>, u64), GgufFault> {
    within("the number of tensors", TENSORS_LIMIT, tensors.len())?;
    within("the number of entries", ENTRIES_LIMIT, metadata.len())?;
    let alignment = alignment(metadata)?;
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    out.extend((tensors.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    let mut seen = BTreeSet::new();
    for (key, value) in metadata {
        within("a key", KEY_LIMIT, key.len())?;
        if !seen.insert(key.as_str()) {
            return Err(GgufFault::Duplicate { name: key.clone() });
        }
        text(&mut out, key);
        put(&mut out, value)?;
    }
    let (mut seen, mut offset) = (BTreeSet::new(), 0u64);
    for tensor in tensors {
        within("a tensor name", NAME_WRITTEN, tensor.name.len())?;
        within("the number of dimensions", u64::from(DIMENSIONS_LIMIT), tensor.shape.len())?;
        let impossible = || GgufFault::Shape { tensor: tensor.name.clone(), shape: tensor.shape.clone() };
        if !seen.insert(tensor.name.as_str()) {
            return Err(GgufFault::Duplicate { name: tensor.name.clone() });
        }
        if tensor.shape.is_empty() {
            return Err(impossible());
        }
        let bytes = tensor.kind.size(&tensor.shape).ok_or_else(impossible)?;
        text(&mut out, &tensor.name);
        out.extend((tensor.shape.len() as u32).to_le_bytes());
        out.extend(tensor.shape.iter().rev().flat_map(|size| size.to_le_bytes()));
        out.extend(tensor.kind.id.to_le_bytes());
        out.extend(offset.to_le_bytes());
        let end = bytes.checked_next_multiple_of(alignment).and_then(|bytes| offset.checked_add(bytes));
        offset = end.ok_or_else(impossible)?;
    }
    Ok((out, alignment))
}

fn within(what: &'static str, limit: u64, got: usize) -> Result<(), GgufFault> {
    let got = got as u64;
    if got > limit { Err(GgufFault::Limit { what, limit, got }) } else { Ok(()) }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// A type number and a value.
fn put(out: &mut Vec<u8>, value: &Value) -> Result<(), GgufFault> {
    let mut number = |kind: u32, bytes: &[u8]| {
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Value::U8(value) => number(0, &value.to_le_bytes()),
        Value::I8(value) => number(1, &value.to_le_bytes()),
        Value::U16(value) => number(2, &value.to_le_bytes()),
        Value::I16(value) => number(3, &value.to_le_bytes()),
        Value::U32(value) => number(4, &value.to_le_bytes()),
        Value::I32(value) => number(5, &value.to_le_bytes()),
        Value::F32(value) => number(6, &value.to_le_bytes()),
        Value::Bool(value) => number(7, &[u8::from(*value)]),
        Value::String(value) => {
            number(8, &[]);
            text(out, value);
        }
        Value::Array(array) => {
            number(9, &[]);
            elements(out, array, 1)?;
        }
        Value::U64(value) => number(10, &value.to_le_bytes()),
        Value::I64(value) => number(11, &value.to_le_bytes()),
        Value::F64(value) => number(12, &value.to_le_bytes()),
    }
    Ok(())
}

/// Type, number and elements of an array inside `depth` arrays, itself included.
fn elements(out: &mut Vec<u8>, array: &Array, depth: usize) -> Result<(), GgufFault> {
    within("the nesting of arrays", NESTING_LIMIT as u64, depth)?;
    let mut numbers = |kind: u32, bytes: Vec<u8>| {
        out.extend(kind.to_le_bytes());
        out.extend((array.len() as u64).to_le_bytes());
        out.extend(bytes);
    };
    match array {
        Array::U8(items) => numbers(0, items.clone()),
        Array::I8(items) => numbers(1, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::U16(items) => numbers(2, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::I16(items) => numbers(3, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::U32(items) => numbers(4, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::I32(items) => numbers(5, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::F32(items) => numbers(6, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::Bool(items) => numbers(7, items.iter().map(|&item| u8::from(item)).collect()),
        Array::U64(items) => numbers(10, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::I64(items) => numbers(11, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::F64(items) => numbers(12, items.iter().flat_map(|item| item.to_le_bytes()).collect()),
        Array::String(items) => {
            numbers(8, Vec::new());
            items.iter().for_each(|item| text(out, item));
        }
        Array::Array(items) => {
            numbers(9, Vec::new());
            items.iter().try_for_each(|item| elements(out, item, depth + 1))?;
        }
    }
    Ok(())
}
