//! The folder of fetched models.
//!
//! ```text
//! CACHE/KIND/NAME/refs/REVISION   one line: the snapshot that this revision was when it was fetched
//! CACHE/KIND/NAME/SNAPSHOT/       a complete model folder
//! CACHE/KIND/NAME/.SNAPSHOT.part/ one that is being fetched, kept when interrupted
//! CACHE/KIND/NAME/lock            held while fetching, so that two processes do not fetch the same model at once
//! ```

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::is_name;
use crate::error::{Error, Result};
use crate::{atomic, map};

/// The longest reference, in bytes; a commit has 40.
const REFERENCE_LIMIT: u64 = 256;

/// The cached snapshots of one model.
pub(super) struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// The shelf for `name` (slashes allowed) among models of `kind`; nothing is created.
    pub(super) fn new(cache: &Path, kind: &str, name: &str) -> Shelf {
        Shelf { folder: cache.join(kind).join(flat(name)) }
    }

    /// The snapshot that `revision` was when it was fetched, and its folder.
    pub(super) fn find(&self, revision: &str) -> Option<(String, PathBuf)> {
        let reference = map::read_text(&self.reference(revision), "the reference", REFERENCE_LIMIT).ok();
        // A revision can also be a snapshot itself.
        let snapshot = reference.map_or_else(|| revision.to_owned(), |text| text.trim().to_owned());
        let folder = self.folder.join(&snapshot);
        (is_name(&snapshot) && snapshot != "refs" && folder.is_dir()).then_some((snapshot, folder))
    }

    /// Waits until no other process fetches into this shelf; the lock ends with the value.
    pub(super) fn lock(&self) -> Result<File> {
        atomic::create_folder(&self.folder)?;
        let path = self.folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::write(&path))?;
        match file.lock() {
            // Some network file systems have no locks; then two fetches at once only waste a download.
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            locked => locked.map_err(Error::write(&path))?,
        }
        Ok(file)
    }

    /// The folder in which `snapshot` is put together, created when absent.
    pub(super) fn partial(&self, snapshot: &str) -> Result<PathBuf> {
        atomic::create_folder(&self.folder.join(format!(".{snapshot}.part")))
    }

    /// A folder beside the snapshots that vanishes with the value.
    pub(super) fn scratch(&self) -> Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(".fetch-")
            .tempdir_in(&self.folder)
            .map_err(Error::write(&self.folder))
    }

    /// Makes the folder `partial` the complete `snapshot`, and what `revision` stands for.
    pub(super) fn keep(&self, partial: &Path, snapshot: &str, revision: &str) -> Result<PathBuf> {
        let folder = self.folder.join(snapshot);
        if !folder.is_dir() {
            atomic::sync_folder(partial)?;
            fs::rename(partial, &folder).map_err(Error::write(&folder))?;
            atomic::sync_folder(&self.folder)?;
        }
        let reference = self.reference(revision);
        atomic::create_folder(atomic::folder_of(&reference))?;
        atomic::write(&reference, format!("{snapshot}\n").as_bytes())?;
        Ok(folder)
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(flat(revision))
    }
}

/// A name as one path component.
pub(super) fn flat(name: &str) -> String {
    name.replace('/', "--")
}
