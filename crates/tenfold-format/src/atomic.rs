//! Writing a file so that a reader sees the old content or the new one, never a part.
//!
//! The bytes go to a temporary name in the target's folder, are forced to disk, and the name is moved over the target.
//! When anything fails on the way, the disk being full included, the temporary file is removed and the target is as
//! it was.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Buffer between the caller's small writes and the file, in bytes.
const BUFFER: usize = 1 << 18;

/// Writes `bytes` as the file `path`, replacing it as a whole.
///
/// # Errors
/// [`Error::Write`] or [`Error::DiskFull`]; `path` is untouched then.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |file| file.write_all(bytes)).map(|_| ())
}

/// Writes what `fill` produces as the file `path`, replacing it as a whole; returns the bytes written.
///
/// # Errors
/// [`Error::Write`] or [`Error::DiskFull`], also for an error that `fill` returns; `path` is untouched then.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<u64> {
    let folder = folder_of(path);
    let bytes = (|| {
        let mut temporary = builder().tempfile_in(folder)?;
        let mut buffer = BufWriter::with_capacity(BUFFER, temporary.as_file_mut());
        fill(&mut buffer)?;
        buffer.flush()?;
        drop(buffer);
        let bytes = temporary.as_file().metadata()?.len();
        temporary.as_file().sync_all()?;
        temporary.persist(path).map_err(|failed| failed.error)?;
        Ok(bytes)
    })()
    .map_err(Error::write(path))?;
    sync_folder(folder)?;
    Ok(bytes)
}

/// Forces the entries of `folder` to disk, so that a new name in it survives a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
    // Only Unix lets a folder be opened and synced; elsewhere the rename itself is as durable as it gets.
    if cfg!(unix) {
        File::open(folder).and_then(|handle| handle.sync_all()).map_err(Error::write(folder))?;
    }
    Ok(())
}

/// The folder a file lies in; `.` for a bare name.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Creates `folder` and its parents.
pub fn create_folder(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(Error::write(folder))?;
    Ok(folder.to_owned())
}

/// Names a temporary file that becomes an ordinary one: readable as the user's mask allows, not private.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tenfold-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_whole_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write(&path, b"a much longer first content").unwrap();
        write(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_full_disk_is_its_own_error_and_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(&[7; 100])?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(matches!(failed, Err(Error::DiskFull { path: p, .. }) if p == path));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.bin"]);
    }

    #[test]
    fn a_missing_folder_is_a_write_error_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/a.bin");
        assert!(matches!(write(&path, b"x"), Err(Error::Write { path: p, .. }) if p == path));
    }

    #[cfg(unix)]
    #[test]
    fn the_result_has_the_rights_of_an_ordinary_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        write(&path, b"x").unwrap();
        let ordinary = folder.path().join("b.bin");
        fs::write(&ordinary, b"x").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&ordinary));
    }
}
