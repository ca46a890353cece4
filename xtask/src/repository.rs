//! The files of the repository, read once, and what their paths say about them.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::source::Source;

/// Files larger than this are listed with their size and not read: the size rule refuses them anyway.
const READ_LIMIT: u64 = 4 << 20;

/// The crate that holds the program; it may print and use the catch-all error of its cause ladder.
const PROGRAM: &str = "tenfold";

/// The crate of test support; its assertions panic by design.
const TESTKIT: &str = "tenfold-testkit";

/// The repository's root: the parent of this crate's folder.
///
/// The variable is read at run time first, so that a binary from a shared build folder checks the checkout that
/// calls it.
pub(crate) fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.parent().map_or(here.clone(), Path::to_path_buf)
}

/// One file: its path with forward slashes, relative to the root, its size in bytes and its text.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) size: u64,
    /// Empty when the file is not UTF-8 or beyond the read limit.
    pub(crate) text: String,
    source: OnceCell<Source>,
}

impl File {
    /// A file from its parts; rules are tested on files made this way.
    pub(crate) fn new(path: &str, size: u64, text: String) -> File {
        File { path: path.to_owned(), size, text, source: OnceCell::new() }
    }

    /// The last component of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// What follows the last dot of the name; empty without one.
    pub(crate) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The crate that the file belongs to: a folder below `crates/`, or `xtask`.
    pub(crate) fn crate_name(&self) -> Option<&str> {
        let mut parts = self.path.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("crates"), Some(name), Some(_)) => Some(name),
            (Some("xtask"), Some(_), _) => Some("xtask"),
            _ => None,
        }
    }

    /// Whether this is Rust source.
    pub(crate) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// Whether this is Rust source that ships in a library: not the program, the test support or this tool, and
    /// not a test, example or bench.
    pub(crate) fn is_library_source(&self) -> bool {
        self.is_rust()
            && self.path.starts_with("crates/")
            && self.crate_name().is_some_and(is_library)
            && !self.is_test_source()
    }

    /// Whether the whole file is there for tests, examples or benches.
    pub(crate) fn is_test_source(&self) -> bool {
        let folders = ["tests", "examples", "benches"];
        self.is_rust()
            && (self.name() == "tests.rs" || self.path.split('/').any(|part| folders.contains(&part)))
    }

    /// The text as Rust source, scanned on first use.
    pub(crate) fn source(&self) -> &Source {
        self.source.get_or_init(|| Source::scan(&self.text))
    }
}

/// Whether a crate is a library that users' code runs through.
pub(crate) fn is_library(crate_name: &str) -> bool {
    !matches!(crate_name, PROGRAM | TESTKIT | "xtask")
}

/// Folders that are left out wherever they lie, as `.gitignore` does.
const LEFT_OUT: [&str; 4] = ["target", ".git", ".venv", "__pycache__"];
/// Folders at the top in which the program puts its results when nothing else is said, as `.gitignore` has them.
const OUTPUT: [&str; 2] = ["quickstart", "runs"];

/// The files of the repository in path order.
pub(crate) struct Repository {
    pub(crate) files: Vec<File>,
}

impl Repository {
    /// Reads every file that git tracks or would track; without git, every file below `root` but the build output.
    pub(crate) fn read(root: &Path) -> Result<Repository> {
        let paths = match tracked(root) {
            Some(paths) => paths,
            None => walk(root)?,
        };
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            let full = root.join(&path);
            // A file deleted but not yet committed is still listed by git, and links are not followed.
            let Ok(about) = full.symlink_metadata() else { continue };
            if !about.is_file() {
                continue;
            }
            let text = if about.len() <= READ_LIMIT {
                let bytes = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
                String::from_utf8(bytes).unwrap_or_default()
            } else {
                String::new()
            };
            files.push(File::new(&path, about.len(), text));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Repository { files })
    }

    /// A repository of the given paths and texts.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Repository {
        let file = |(path, text): &(&str, &str)| File::new(path, text.len() as u64, (*text).to_owned());
        Repository { files: files.iter().map(file).collect() }
    }

    /// Whether a file or a folder with files is at the path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.iter().any(|file| match file.path.strip_prefix(path) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || path.is_empty(),
            None => false,
        })
    }

    /// The file at exactly this path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust sources.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// The Rust sources that ship in libraries.
    pub(crate) fn library(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_library_source())
    }
}

/// Paths that git tracks or would track; `None` where there is no git or no work tree.
fn tracked(root: &Path) -> Option<Vec<String>> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .ok()
        .filter(|listing| listing.status.success() && !listing.stdout.is_empty())?;
    let text = String::from_utf8(listing.stdout).ok()?;
    Some(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// Every file below `root`, for a source archive without git's own folder.
fn walk(root: &Path) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries =
            std::fs::read_dir(root.join(&folder)).with_context(|| format!("cannot list {folder:?}"))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type()?;
            if kind.is_dir() && !LEFT_OUT.contains(&name.as_str()) && !OUTPUT.contains(&path.as_str()) {
                folders.push(path);
            } else if kind.is_file() {
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_what_a_file_is() {
        let file = |path: &str| File::new(path, 0, String::new());
        assert!(file("crates/tenfold-tensor/src/op.rs").is_library_source());
        assert!(!file("crates/tenfold-tensor/src/op/tests.rs").is_library_source());
        assert!(!file("crates/tenfold-tensor/tests/it.rs").is_library_source());
        assert!(!file("crates/tenfold/src/main.rs").is_library_source());
        assert!(!file("crates/tenfold-testkit/src/lib.rs").is_library_source());
        assert!(!file("xtask/src/main.rs").is_library_source());
        assert_eq!(file("xtask/src/main.rs").crate_name(), Some("xtask"));
        assert_eq!(file("README.md").crate_name(), None);
        assert_eq!(file(".ci/run").extension(), "");
    }

    #[test]
    fn folders_are_there_when_they_hold_a_file() {
        let repository = Repository::of(&[("docs/decisions/one.md", "")]);
        assert!(repository.has("docs/decisions/"));
        assert!(repository.has("docs/decisions/one.md"));
        assert!(!repository.has("docs/dec"));
    }

    #[test]
    fn the_walk_finds_what_git_lists() {
        let mut walked = walk(&root()).unwrap();
        walked.sort();
        assert!(walked.contains(&"xtask/src/repository.rs".to_owned()));
        assert!(walked.iter().all(|path| !path.starts_with("target/") && !path.starts_with(".git/")));
    }

    #[test]
    fn git_ignores_what_the_walk_leaves_out() {
        let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
        for folder in ["target"].iter().chain(&OUTPUT) {
            assert!(ignored.lines().any(|line| line == format!("/{folder}")), "{folder}");
        }
    }
}
