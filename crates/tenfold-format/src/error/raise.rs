//! Errors from what the system and the JSON reader say.

use std::io;
use std::path::Path;

use super::Error;

impl Error {
    /// A failed read of `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
        move |source| Error::Read { path: path.to_owned(), source }
    }

    /// A failed write of `path`; a full disk is told apart.
    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::DiskFull { path, source },
                _ => Error::Write { path, source },
            }
        }
    }

    /// Invalid JSON in `path`.
    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Error + '_ {
        move |source| Error::Json { path: path.to_owned(), source }
    }
}
