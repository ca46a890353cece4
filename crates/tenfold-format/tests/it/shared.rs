//! Real files that lie beside the repository on some machines.

use std::path::{Path, PathBuf};

/// The file or folder `name` among the shared data, or nothing (and a line that says so).
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(name);
    if path.exists() {
        return Some(path);
    }
    println!("not run on real data: there is no shared/data/{name} beside the repository");
    None
}

/// The files of a shared folder in the order of their names.
pub(crate) fn files(name: &str) -> Option<Vec<PathBuf>> {
    let entries = std::fs::read_dir(data(name)?).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Some(files)
}

/// The folder of a shared model, or nothing (and a line that says so).
pub(crate) fn model(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/models")).join(name);
    if path.is_dir() {
        return Some(path);
    }
    println!("not run on a real model: there is no shared/models/{name} beside the repository");
    None
}
