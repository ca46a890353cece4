//! Models from the Hugging Face hub.
//!
//! All files come from one commit, whatever happens to the branch meanwhile. A file is written under a temporary name
//! that carries the tag of its content, so that a later attempt continues it only while it is still the same file.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::cache::{Shelf, flat};
use super::http::{Announced, Client};
use super::{FetchOptions, FetchProgress, Fetched, MAIN, Source, SourceError, is_name};
use crate::error::{Error, Result};
use crate::{atomic, checkpoint, config, manifest, pipeline, tokenizer};

/// The largest file that is fetched, in bytes.
pub(super) const FILE_LIMIT: u64 = 64 << 30;

/// The folder of unfinished files; it is gone when the model is complete.
const PARTS: &str = ".parts";

/// Characters of a content's tag that the name of an unfinished file carries.
const LABEL: usize = 64;

/// Attempts in a row that may end without a single new byte.
const ATTEMPTS: usize = 3;

/// Time to wait after an attempt that brought nothing.
const PAUSE: Duration = Duration::from_millis(300);

/// Bytes read at a time.
const CHUNK: usize = 1 << 18;

/// Files that a model may have besides its config and its checkpoint.
const OPTIONAL: &[&str] = &[tokenizer::SETTINGS, "special_tokens_map.json", manifest::FILE];

/// One fetch.
struct Fetch<'a> {
    source: &'a Source,
    options: &'a FetchOptions,
    client: Client,
    /// The address of the model's folder.
    base: String,
    /// Whether the address names a commit, whose files never change.
    pinned: bool,
    folder: PathBuf,
    progress: &'a mut dyn FnMut(FetchProgress),
}

/// Fetches `repo` at `revision` (or [`MAIN`]), or finds it in the cache.
pub(super) fn fetch(
    source: &Source,
    repo: &str,
    revision: Option<&str>,
    options: &FetchOptions,
    progress: &mut dyn FnMut(FetchProgress),
) -> Result<Fetched> {
    let revision = revision.unwrap_or(MAIN);
    let shelf = Shelf::new(&options.cache, "hub", repo);
    let found = |(snapshot, dir)| Fetched { dir, file: None, origin: format!("hf:{repo}@{snapshot}") };
    if let Some(hit) = shelf.find(revision) {
        return Ok(found(hit));
    }
    if options.offline {
        return Err(SourceError::Offline { origin: source.to_string(), cache: options.cache.clone() }.into());
    }
    let client = Client::new(options);
    let hub = options.hub.trim_end_matches('/');
    let base = |revision: &str| format!("{hub}/{repo}/resolve/{}/", revision.replace('/', "%2F"));
    let url = format!("{}{}", base(revision), config::FILE);
    // Before the lock, so that an unreachable hub is reported at once.
    let announced = client.ask(&url)?.ok_or(SourceError::Status { url: url.clone(), status: 404 })?;
    let commit = announced.commit;
    if commit.as_deref().is_some_and(|commit| !is_name(commit)) {
        return Err(SourceError::BadAnswer { url, header: "x-repo-commit" }.into());
    }
    // Some mirrors know no commits: the revision's own name must do.
    let snapshot = commit.clone().unwrap_or_else(|| flat(revision));
    let _lock = shelf.lock()?;
    // Another process may have fetched it in the meantime.
    if let Some(hit) = shelf.find(revision) {
        return Ok(found(hit));
    }
    let folder = shelf.partial(&snapshot)?;
    let parts = atomic::create_folder(&folder.join(PARTS))?;
    let base = base(commit.as_deref().unwrap_or(revision));
    let pinned = commit.is_some();
    Fetch { source, options, client, base, pinned, folder: folder.clone(), progress }.model()?;
    fs::remove_dir_all(&parts).map_err(Error::write(&parts))?;
    let kept = shelf.keep(&folder, &snapshot, revision)?;
    Ok(found((snapshot, kept)))
}

impl Fetch<'_> {
    /// All files of the model, the small ones first.
    fn model(&mut self) -> Result<()> {
        self.required(config::FILE)?;
        for name in OPTIONAL {
            self.file(name)?;
        }
        if !self.file(tokenizer::FILE)? {
            self.file(tokenizer::VOCABULARY)?;
        }
        if self.file(pipeline::FILE)? {
            self.file(pipeline::TRANSFORMER_FILE)?;
            if let Some(pooling) = pipeline::pooling_file(&self.folder)? {
                self.required(&pooling)?;
            }
        }
        if self.file(checkpoint::FILE)? {
            return Ok(());
        }
        if !self.file(checkpoint::INDEX)? {
            return Err(SourceError::NoSafetensors { origin: self.source.to_string() }.into());
        }
        for shard in checkpoint::shard_names(&self.folder.join(checkpoint::INDEX))? {
            self.required(&shard)?;
        }
        Ok(())
    }

    fn required(&mut self, name: &str) -> Result<()> {
        if self.file(name)? {
            return Ok(());
        }
        Err(SourceError::Status { url: format!("{}{name}", self.base), status: 404 }.into())
    }

    /// Fetches one file into the folder, unless it is there; says whether it exists.
    fn file(&mut self, name: &str) -> Result<bool> {
        self.options.check_interrupt(self.source)?;
        let target = self.folder.join(name);
        // Only complete files have their own name, and the folder belongs to one commit, if there are commits.
        if self.pinned && target.is_file() {
            return Ok(true);
        }
        let url = format!("{}{name}", self.base);
        let Some(announced) = self.client.ask(&url)? else {
            return Ok(false);
        };
        if let Some(got) = announced.size.filter(|&size| size > FILE_LIMIT) {
            return Err(Error::Limit { path: target, what: "the announced size", limit: FILE_LIMIT, got });
        }
        let folder = atomic::create_folder(atomic::folder_of(&target))?;
        let tag = announced.etag.as_deref().unwrap_or_default();
        let label: String = tag.chars().filter(char::is_ascii_alphanumeric).take(LABEL).collect();
        let part = self.folder.join(PARTS).join(format!("{}.{label}", flat(name)));
        // Without a tag nobody knows whether the start on disk is of the same file.
        if label.is_empty() && part.exists() {
            fs::remove_file(&part).map_err(Error::write(&part))?;
        }
        self.download(&url, name, &part, &announced)?;
        if let Err(wrong) = check(&url, &part, &announced) {
            fs::remove_file(&part).map_err(Error::write(&part))?;
            return Err(wrong);
        }
        fs::rename(&part, &target).map_err(Error::write(&target))?;
        atomic::sync_folder(&folder)?;
        Ok(true)
    }

    /// Brings `part` to its full length, over several attempts as long as each brings something.
    fn download(&mut self, url: &str, name: &str, part: &Path, announced: &Announced) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(part).map_err(Error::write(part))?;
        let length = |file: &File| file.metadata().map(|data| data.len()).map_err(Error::write(part));
        let mut done = length(&file)?;
        if announced.size.is_some_and(|size| done > size) {
            file.set_len(0).map_err(Error::write(part))?;
            done = 0;
        }
        let mut fruitless = 0;
        let mut complete = announced.size == Some(done);
        while !complete {
            let before = done;
            let outcome = self.attempt(url, name, &mut file, part, announced);
            done = length(&file)?;
            fruitless = if done > before { 0 } else { fruitless + 1 };
            complete = match outcome {
                Ok(()) if announced.size.is_none_or(|size| done >= size) => true,
                Ok(()) if fruitless < ATTEMPTS => false,
                Ok(()) => {
                    let expected = announced.size.unwrap_or(0);
                    return Err(SourceError::WrongSize { url: url.to_owned(), expected, got: done }.into());
                }
                // A broken connection; without a size nobody would know where to stop.
                Err(Error::Source(SourceError::Unreachable { .. }))
                    if fruitless < ATTEMPTS && done > 0 && announced.size.is_some() =>
                {
                    std::thread::sleep(PAUSE * fruitless as u32);
                    false
                }
                Err(error) => return Err(error),
            };
        }
        file.sync_all().map_err(Error::write(part))
    }

    /// One request; appends what arrives to `file`.
    fn attempt(
        &mut self,
        url: &str,
        name: &str,
        file: &mut File,
        part: &Path,
        announced: &Announced,
    ) -> Result<()> {
        let start = file.metadata().map_err(Error::write(part))?.len();
        let content = match self.client.open(url, start) {
            // Nothing from there on: what is here is longer than the file.
            Err(SourceError::Status { status: 416, .. }) if start > 0 => self.client.open(url, 0)?,
            content => content?,
        };
        if content.start < start {
            file.set_len(content.start).map_err(Error::write(part))?;
        }
        let mut done = content.start;
        let limit = announced.size.unwrap_or(FILE_LIMIT);
        // One byte over the limit is enough to know.
        let mut body = content.body.take((limit + 1).saturating_sub(done));
        let mut buffer = vec![0; CHUNK];
        loop {
            self.options.check_interrupt(self.source)?;
            let read = body.read(&mut buffer);
            let read = read.map_err(|source| SourceError::Unreachable {
                url: url.to_owned(),
                source: Box::new(source),
            })?;
            if read == 0 {
                return Ok(());
            }
            file.write_all(&buffer[..read]).map_err(Error::write(part))?;
            done += read as u64;
            (self.progress)(FetchProgress { file: name.to_owned(), done, total: announced.size });
        }
    }
}

/// Checks the content of `part` against what was announced.
fn check(url: &str, part: &Path, announced: &Announced) -> Result<()> {
    let got = fs::metadata(part).map_err(Error::read(part))?.len();
    if let Some(expected) = announced.size.filter(|&size| size != got) {
        return Err(SourceError::WrongSize { url: url.to_owned(), expected, got }.into());
    }
    // The tag of a large file is the hash of its content; that of a small one is git's and includes a prefix.
    let is_sha256 = |tag: &&String| tag.len() == 64 && tag.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(expected) = announced.etag.as_ref().filter(is_sha256) {
        let got = sha256(part)?;
        if !got.eq_ignore_ascii_case(expected) {
            return Err(
                SourceError::WrongHash { url: url.to_owned(), expected: expected.clone(), got }.into()
            );
        }
    }
    Ok(())
}

/// The SHA-256 of a file in hexadecimal.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::read(path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer).map_err(Error::read(path))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&buffer[..read]),
        }
    }
}
