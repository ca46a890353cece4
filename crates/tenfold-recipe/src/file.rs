//! Files that people write: size checked before reading, UTF-8 checked after.

use crate::error::Error;
use std::fs;
use std::io;
use std::path::Path;

/// The text of a file of at most `most` bytes.
///
/// # Errors
/// [`Error::Read`], [`Error::TooLarge`], [`Error::NotUtf8`].
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String, Error> {
    let got = fs::metadata(path).map_err(unreadable(path))?.len();
    if got > most {
        return Err(Error::TooLarge { path: path.to_owned(), most, got });
    }
    let bytes = fs::read(path).map_err(unreadable(path))?;
    String::from_utf8(bytes).map_err(|source| {
        let offset = source.utf8_error().valid_up_to();
        Error::NotUtf8 { path: path.to_owned(), offset }
    })
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`Error::Write`].
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(unwritable(path))
}

/// Removes a folder with all it holds; one that is not there is fine.
///
/// # Errors
/// [`Error::Write`].
pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(unwritable(path)(source)),
        _ => Ok(()),
    }
}

pub(crate) fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Read { path: path.to_owned(), source }
}

pub(crate) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::Write { path: path.to_owned(), source }
}
