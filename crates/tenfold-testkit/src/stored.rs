//! Trees as files, for laws and tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tenfold_format::checkpoint;
use tenfold_weight::{Tensor, Tree};

/// A folder that is removed when the value is dropped.
///
/// # Panics
/// When the system has no place for temporary files.
#[track_caller]
pub fn folder() -> tempfile::TempDir {
    match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(fault) => panic!("no folder for temporary files: {fault}"),
    }
}

/// Writes every stored array of a tree under its id; the bytes written.
///
/// # Panics
/// When the file cannot be written.
#[track_caller]
pub fn write(tree: &Tree, path: &Path) -> u64 {
    let stored = tree.tensors();
    let tensors: Vec<_> =
        stored.iter().map(|(id, tensor)| (id.to_string(), tensor.shape(), tensor.elements())).collect();
    match checkpoint::write(path, &tensors, &BTreeMap::new()) {
        Ok(bytes) => bytes,
        Err(fault) => panic!("{fault}"),
    }
}

/// How many numbers a tree stores, each code being one.
pub fn numbers(tree: &Tree) -> usize {
    let count = |tensor: &Tensor| match tensor {
        Tensor::Numbers(array) => array.len(),
        Tensor::Codes(codes) => codes.height() * codes.width(),
    };
    tree.tensors().values().map(count).sum()
}

/// Bytes of a safetensors file before its data: the length, then the header it announces.
///
/// # Panics
/// When the file cannot be read.
#[track_caller]
pub fn header(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap_or_default();
    match bytes.first_chunk::<8>() {
        Some(length) => 8 + u64::from_le_bytes(*length),
        None => panic!("{} is no safetensors file", path.display()),
    }
}
