//! What a file or folder is, by its first bytes and names, never by its extension.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::checkpoint::{self, HEADER_LIMIT};
use crate::error::{Error, Result};
use crate::{gguf, llama2c, manifest};

/// Bytes that are looked at.
const HEAD: u64 = 256;

/// A kind of file or folder that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A safetensors checkpoint.
    Safetensors,
    /// A GGUF file: a model with its vocabulary, or a part of one.
    Gguf,
    /// A folder with a checkpoint, whole or in shards.
    Model,
    /// A folder with a saved tree.
    Saved,
    /// A file of llama2.c, or a folder with one.
    Llama2c,
}

/// Says what `path` is.
///
/// # Errors
/// [`Error::Pickle`] for PyTorch checkpoints, which are not read; [`Error::UnknownFile`] and [`Error::NoCheckpoint`]
/// for anything else; [`Error::Read`].
pub fn kind(path: &Path) -> Result<FileKind> {
    if path.is_dir() {
        let has = |name| path.join(name).is_file();
        return match () {
            () if has(manifest::FILE) => Ok(FileKind::Saved),
            () if has(checkpoint::FILE) || has(checkpoint::INDEX) => Ok(FileKind::Model),
            () if has("pytorch_model.bin") => Err(Error::Pickle { path: path.join("pytorch_model.bin") }),
            () if llama2c::find(path)?.is_some() => Ok(FileKind::Llama2c),
            () => Err(Error::NoCheckpoint { path: path.to_owned() }),
        };
    }
    match head_kind(&head(path)?) {
        Some(Head::Safetensors) => Ok(FileKind::Safetensors),
        Some(Head::Gguf) => Ok(FileKind::Gguf),
        Some(Head::Pickle) => Err(Error::Pickle { path: path.to_owned() }),
        None if llama2c::looks_like(path)? => Ok(FileKind::Llama2c),
        None => Err(Error::UnknownFile { path: path.to_owned() }),
    }
}

/// Refuses a file that is plainly of another kind than safetensors; a damaged one passes, for the parser to say how.
pub(crate) fn refuse_other(path: &Path) -> Result<()> {
    match head_kind(&head(path)?) {
        Some(Head::Gguf) => Err(Error::GgufWeights { path: path.to_owned() }),
        Some(Head::Pickle) => Err(Error::Pickle { path: path.to_owned() }),
        Some(Head::Safetensors) | None => Ok(()),
    }
}

#[derive(Debug, PartialEq)]
enum Head {
    Safetensors,
    Gguf,
    Pickle,
}

fn head(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut bytes)).map_err(Error::read(path))?;
    Ok(bytes)
}

fn head_kind(bytes: &[u8]) -> Option<Head> {
    if bytes.starts_with(&gguf::MAGIC) {
        return Some(Head::Gguf);
    }
    // Before the pickle's: a header of 640 bytes begins with the same two bytes as a pickle of protocol 2.
    if let Some((length, rest)) = bytes.split_first_chunk::<8>()
        && u64::from_le_bytes(*length) <= HEADER_LIMIT
        && rest.first() == Some(&b'{')
    {
        return Some(Head::Safetensors);
    }
    let torch_zip = bytes.starts_with(b"PK\x03\x04") && bytes.windows(8).any(|window| window == b"data.pkl");
    let pickle = matches!(bytes, [0x80, 2..=5, ..]);
    (torch_zip || pickle).then_some(Head::Pickle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_their_first_bytes() {
        assert_eq!(head_kind(b"GGUF\x03\0\0\0"), Some(Head::Gguf));
        assert_eq!(head_kind(b"\x02\0\0\0\0\0\0\0{}"), Some(Head::Safetensors));
        assert_eq!(head_kind(b"\x80\x02\0\0\0\0\0\0{\""), Some(Head::Safetensors));
        assert_eq!(head_kind(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20"), Some(Head::Pickle));
        assert_eq!(head_kind(b"PK\x03\x04\0\0\0\0archive/data.pkl"), Some(Head::Pickle));
        assert_eq!(head_kind(b"PK\x03\x04\0\0\0\0mimetype"), None);
        assert_eq!(head_kind(b""), None);
    }

    #[test]
    fn folders_and_unknown_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert!(matches!(kind(path), Err(Error::NoCheckpoint { .. })));
        std::fs::write(path.join("pytorch_model.bin"), b"x").unwrap();
        assert!(matches!(kind(path), Err(Error::Pickle { .. })));
        assert!(matches!(kind(&path.join("pytorch_model.bin")), Err(Error::UnknownFile { .. })));
        assert!(matches!(kind(&path.join("none")), Err(Error::Read { .. })));
        std::fs::write(path.join(checkpoint::INDEX), b"{}").unwrap();
        assert_eq!(kind(path).unwrap(), FileKind::Model);
        std::fs::write(path.join(manifest::FILE), b"{}").unwrap();
        assert_eq!(kind(path).unwrap(), FileKind::Saved);
    }
}
