//! What can go wrong while a model is fetched.

use std::path::PathBuf;

/// A fault while a model is fetched from where it lives.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Text that names no source.
    #[error(
        "{text:?} is no model source; write hf:OWNER/NAME[@REVISION], pypi:NAME[==VERSION] or path:FOLDER-OR-FILE"
    )]
    SourceSyntax {
        /// The text.
        text: String,
    },
    /// A path given as a source that does not exist.
    #[error("{} does not exist; check the path", .path.display())]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// Not in the cache, and fetching is switched off.
    #[error("{origin} is not in the cache {} and fetching is off; run once with a network", .cache.display())]
    Offline {
        /// The source.
        origin: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The server cannot be reached, or stopped answering.
    #[error("cannot reach {url}; check the network, or use a local copy with path:")]
    Unreachable {
        /// The address.
        url: String,
        /// What the client said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The server answered with an error status.
    #[error(
        "{url} answered {status}; check the name and revision (private and gated models need a local copy)"
    )]
    Status {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server answered with something that is no valid answer.
    #[error("{url} answered without a valid {header}; try again or use another mirror")]
    BadAnswer {
        /// The address.
        url: String,
        /// The header at fault.
        header: &'static str,
    },
    /// A hub repository without safetensors.
    #[error("{origin} holds no safetensors checkpoint; convert it to safetensors first")]
    NoSafetensors {
        /// The source.
        origin: String,
    },
    /// A download with another length than announced.
    #[error("{url} gave {got} bytes, expected {expected}; try again")]
    WrongSize {
        /// The address.
        url: String,
        /// Announced bytes.
        expected: u64,
        /// Received bytes.
        got: u64,
    },
    /// A download with another hash than announced.
    #[error("{url} gave content with SHA-256 {got}, expected {expected}; try again")]
    WrongHash {
        /// The address.
        url: String,
        /// Announced hash.
        expected: String,
        /// Hash of what came.
        got: String,
    },
    /// No Python with pip was found.
    #[error("no Python with pip to download {package} (tried: {}); install Python 3 with pip, or use another source", .tried.join(", "))]
    NoPython {
        /// The package.
        package: String,
        /// The commands that were tried.
        tried: Vec<String>,
    },
    /// pip ran and failed.
    #[error("`{command}` failed for {package}; pip said:\n{last}")]
    Pip {
        /// The package.
        package: String,
        /// The command that failed.
        command: String,
        /// The last lines of its output.
        last: String,
    },
    /// A package whose archive cannot be read.
    #[error("{}: not a readable package archive; fetch it again", .path.display())]
    BadArchive {
        /// The archive.
        path: PathBuf,
        /// What the archive library said.
        source: zip::result::ZipError,
    },
    /// An archive entry that is no plain file inside the archive's folder.
    #[error("{}: the entry {entry:?} is no plain file inside the archive; do not use this package", .path.display())]
    UnsafeEntry {
        /// The archive.
        path: PathBuf,
        /// The entry.
        entry: String,
    },
    /// A package without a model folder.
    #[error("{}: no folder with config.json and model.safetensors in this package; use another source", .path.display())]
    NoModelInPackage {
        /// The archive.
        path: PathBuf,
    },
    /// The caller asked to stop.
    #[error("fetching {origin} was interrupted; run again to continue where it stopped")]
    Interrupted {
        /// The source.
        origin: String,
    },
}
