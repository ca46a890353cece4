//! The ranks of a run: that they are alike, and what the first one tells the others.
//!
//! The first rank has the run's folder and does everything but training alone. Before each phase it sends what lies there for
//! the phase to the others, who wait asleep: the tree, and the checkpoint.

use crate::error::Error;
use crate::file::{create_folder, unreadable, unwritable};
use crate::receipt::{Inputs, hash_of, program};
use crate::recipe::{Phase, Recipe};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use tenfold_tensor::cpu;
use tenfold_train::{Alone, Collective};

/// Bytes of a file that are sent at a time.
const PIECE: usize = 64 << 20;

/// All ranks, as one of them sees them.
pub(super) struct Company {
    ranks: Rc<dyn Collective>,
    /// Whether the others train with this one and expect no word.
    training: Cell<bool>,
}

/// What the first rank tells the others.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Word {
    /// To train through a phase, from 0.
    Train(usize),
    /// That nothing is left to do.
    Done,
}

/// A file below a folder.
#[derive(Serialize, Deserialize)]
struct Sent {
    name: PathBuf,
    bytes: u64,
}

impl Default for Company {
    fn default() -> Self {
        Self::of(Rc::new(Alone))
    }
}

impl Company {
    pub(super) fn of(ranks: Rc<dyn Collective>) -> Self {
        Self { ranks, training: Cell::new(false) }
    }

    pub(super) fn ranks(&self) -> &Rc<dyn Collective> {
        &self.ranks
    }

    pub(super) fn is_alone(&self) -> bool {
        self.ranks.size() == 1
    }

    pub(super) fn is_first(&self) -> bool {
        self.ranks.rank() == 0
    }

    /// Lets the first rank do something before the others do.
    pub(super) fn first_then_others<T>(&self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        if !self.is_first() {
            self.ranks.meet()?;
            return work();
        }
        let done = work()?;
        self.ranks.meet()?;
        Ok(done)
    }

    /// Compares what determines a run on every rank.
    ///
    /// # Errors
    /// [`Error::RanksDiffer`], on all of them.
    pub(super) fn compare(&self, recipe: &Recipe, inputs: &Inputs) -> Result<(), Error> {
        if self.is_alone() {
            return Ok(());
        }
        let mut own = inputs.hashes.clone();
        own.insert("the program".to_owned(), program());
        own.insert("the recipe".to_owned(), hash_of(recipe.to_toml().as_bytes()));
        own.insert("the processor's kernels".to_owned(), format!("{:?}", cpu::active()));
        let device = tenfold_tensor::device::name();
        own.insert("the device".to_owned(), device.unwrap_or_else(|| "none".to_owned()));
        let told: String = own.iter().map(|(name, value)| format!("{name}\t{value}\n")).collect();
        let all = self.ranks.gather(told.as_bytes())?;
        let heard: Vec<BTreeMap<String, String>> = all.iter().map(|bytes| facts(bytes)).collect();
        for (rank, other) in heard.iter().enumerate().skip(1) {
            let what = differences(&heard[0], other);
            if !what.is_empty() {
                return Err(Error::RanksDiffer { rank, what });
            }
        }
        Ok(())
    }

    /// Tells the others to train through a phase, with what it begins with.
    pub(super) fn send(&self, phase: usize, folders: &[&Path]) -> Result<(), Error> {
        if self.is_alone() {
            return Ok(());
        }
        // Whatever fails from here on, the others expect no word.
        self.training.set(true);
        self.say(&Word::Train(phase))?;
        for folder in folders {
            let files = files_below(folder)?;
            let list = serde_json::to_vec(&files).unwrap_or_default();
            self.ranks.broadcast(list)?;
            for file in &files {
                let path = folder.join(&file.name);
                let mut open = File::open(&path).map_err(unreadable(&path))?;
                let mut left = file.bytes;
                while left > 0 {
                    let mut piece = vec![0; left.min(PIECE as u64) as usize];
                    open.read_exact(&mut piece).map_err(unreadable(&path))?;
                    left -= piece.len() as u64;
                    self.ranks.broadcast(piece)?;
                }
            }
        }
        Ok(())
    }

    /// Takes the folders that the first rank sends, in its order.
    pub(super) fn take(&self, folders: &[&Path]) -> Result<(), Error> {
        for folder in folders {
            let list = self.ranks.broadcast(Vec::new())?;
            let files: Vec<Sent> = serde_json::from_slice(&list).unwrap_or_default();
            for file in files {
                let path = folder.join(&file.name);
                if let Some(parent) = path.parent() {
                    create_folder(parent)?;
                }
                let mut open = File::create(&path).map_err(unwritable(&path))?;
                let mut left = file.bytes;
                while left > 0 {
                    let piece = self.ranks.broadcast(Vec::new())?;
                    open.write_all(&piece).map_err(unwritable(&path))?;
                    left = left.saturating_sub(piece.len().max(1) as u64);
                }
            }
        }
        Ok(())
    }

    /// All came through a phase.
    pub(super) fn trained(&self) {
        self.training.set(false);
    }

    /// Lets the others go, unless they have gone from the phase that this rank comes from.
    pub(super) fn dismiss(&self) -> Result<(), Error> {
        if self.is_alone() || self.training.get() { Ok(()) } else { self.say(&Word::Done) }
    }

    fn say(&self, word: &Word) -> Result<(), Error> {
        self.ranks.meet()?;
        self.ranks.broadcast(serde_json::to_vec(word).unwrap_or_default())?;
        Ok(())
    }

    /// The next word of the first rank.
    pub(super) fn listen(&self) -> Result<Word, Error> {
        self.ranks.meet()?;
        let word = self.ranks.broadcast(Vec::new())?;
        // What is no word comes from another program, which the comparison at the start has refused.
        Ok(serde_json::from_slice(&word).unwrap_or(Word::Done))
    }
}

/// Refuses what one process does alone.
///
/// # Errors
/// [`Error::OneProcess`].
pub(super) fn check(recipe: &Recipe) -> Result<(), Error> {
    let fault = |place: String, what: &'static str| Err(Error::OneProcess { place, what });
    for (at, phase) in recipe.phases.iter().enumerate() {
        if let Some(what) = changing(phase) {
            return fault(format!("phase {}", at + 1), what);
        }
    }
    match recipe.variants.iter().find(|variant| !variant.phases.is_empty()) {
        Some(variant) => fault(format!("variant {:?}", variant.name), "trains beside others"),
        None => Ok(()),
    }
}

fn changing(phase: &Phase) -> Option<&'static str> {
    let squeeze = phase.squeeze.map(|_| "squeezes");
    squeeze.or(phase.grow.map(|_| "lets forms grow"))
}

fn facts(bytes: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes);
    let pair = |line: &str| line.split_once('\t').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// What is on one side alone, or not the same on both.
fn differences(first: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<&String> =
        first.keys().chain(other.keys().filter(|name| !first.contains_key(*name))).collect();
    names.retain(|name| first.get(*name) != other.get(*name));
    names.into_iter().cloned().collect()
}

/// Every file below a folder; none where there is no folder.
fn files_below(folder: &Path) -> Result<Vec<Sent>, Error> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let path = folder.join(&below);
        if !path.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&path).map_err(unreadable(&path))? {
            let entry = entry.map_err(unreadable(&path))?;
            let (name, about) = (below.join(entry.file_name()), entry.metadata().map_err(unreadable(&path))?);
            match about.is_dir() {
                true => open.push(name),
                false => found.push(Sent { name, bytes: about.len() }),
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use tenfold_train::thread_ranks;

    #[test]
    fn folders_arrive_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (dir.path().join("here"), dir.path().join("there"));
        create_folder(&here.join("deep/er")).unwrap();
        fs::write(here.join("one"), vec![7u8; 1000]).unwrap();
        fs::write(here.join("deep/er/two"), b"").unwrap();
        fs::write(here.join("deep/three"), b"three").unwrap();
        let missing = dir.path().join("missing");
        thread::scope(|scope| {
            for member in thread_ranks(2) {
                scope.spawn(|| {
                    let company = Company::of(Rc::new(member));
                    if company.is_first() {
                        company.send(3, &[&here, &missing]).unwrap();
                        company.trained();
                        company.dismiss().unwrap();
                    } else {
                        assert_eq!(company.listen().unwrap(), Word::Train(3));
                        company.take(&[&there, &missing]).unwrap();
                        assert_eq!(company.listen().unwrap(), Word::Done);
                    }
                });
            }
        });
        assert_eq!(fs::read(there.join("one")).unwrap(), vec![7u8; 1000]);
        assert_eq!(fs::read(there.join("deep/er/two")).unwrap(), b"");
        assert_eq!(fs::read(there.join("deep/three")).unwrap(), b"three");
        assert!(!missing.exists());
    }

    #[test]
    fn what_differs_is_named_once() {
        let map = |text: &str| facts(text.as_bytes());
        let first = map("a\t1\nb\t2\nc\t3\n");
        assert_eq!(differences(&first, &map("a\t1\nb\t9\nd\t3\n")), ["b", "c", "d"]);
        assert!(differences(&first, &first).is_empty());
    }
}
