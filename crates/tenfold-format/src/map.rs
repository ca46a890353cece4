//! Files as byte slices: mapped when they are large, read when a limit keeps them small.

use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;

use crate::error::{Error, Result};

/// The bytes of a file: mapped read-only, or held.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// Pages of the file itself.
    Mapped(memmap2::Mmap),
    /// A copy.
    Held(Vec<u8>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Held(bytes) => bytes,
        }
    }
}

/// Maps the file `path`.
#[allow(unsafe_code)]
pub(crate) fn map(path: &Path) -> Result<Bytes> {
    let file = File::open(path).map_err(Error::read(path))?;
    let bytes = file.metadata().map_err(Error::read(path))?.len();
    // A mapping of zero bytes is an error on most systems.
    if bytes == 0 {
        return Ok(Bytes::Held(Vec::new()));
    }
    // SAFETY: the map is private to this value and only read. If another process truncates the file while it is
    // mapped, reading past the new end ends this process (SIGBUS); checkpoints are replaced by rename, never in
    // place, and everything here that writes one does it through `atomic`.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(Error::read(path))?;
    Ok(Bytes::Mapped(map))
}

/// Reads the file `path` when it has at most `limit` bytes.
pub(crate) fn read(path: &Path, what: &'static str, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::read(path))?;
    // One byte over the limit is enough to know; a device or pipe that never ends is not read to the end.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::read(path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::Limit { path: path.to_owned(), what, limit, got: bytes.len() as u64 });
    }
    Ok(bytes)
}

/// Reads the text file `path` when it has at most `limit` bytes.
pub(crate) fn read_text(path: &Path, what: &'static str, limit: u64) -> Result<String> {
    String::from_utf8(read(path, what, limit)?).map_err(|_| Error::NotUtf8 { path: path.to_owned(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_maps_to_no_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(map(file.path()).unwrap().len(), 0);
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"12345").unwrap();
        assert_eq!(read(file.path(), "text", 5).unwrap(), b"12345");
        assert!(matches!(read(file.path(), "text", 4), Err(Error::Limit { limit: 4, .. })));
    }

    #[test]
    fn text_must_be_utf8() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\xff\xfe").unwrap();
        assert!(matches!(read_text(file.path(), "text", 5), Err(Error::NotUtf8 { .. })));
    }
}
