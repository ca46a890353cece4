//! Where batches of a stream begin, kept beside the checkpoints of a phase, so that a resumed run need not read again what came
//! before its step.

use super::phase::Place;
use crate::error::Error;
use crate::file;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use tenfold_format::atomic;

/// The file's name beside the checkpoints.
const FILE: &str = "stream.toml";
/// The longest file that is read, in bytes.
const LIMIT: u64 = 1 << 30;

/// A sequence, by its pile, counted through all epochs, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    pub(super) pile: u64,
    pub(super) at: usize,
}

/// The first batch that begins in each pile, by its step.
pub(super) struct Begins {
    known: BTreeMap<u64, Begin>,
    /// Where they are kept, and for which run; nothing: in memory alone.
    kept: Option<(PathBuf, String)>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Record {
    run_id: String,
    begins: Vec<(u64, Begin)>,
}

impl Begins {
    /// Those of an earlier attempt where there is one; else the first alone.
    ///
    /// # Errors
    /// Faults of the file.
    pub(super) fn open(place: Option<&Place>) -> Result<Self, Error> {
        let first = BTreeMap::from([(0, Begin { pile: 0, at: 0 })]);
        let Some(place) = place else { return Ok(Self { known: first, kept: None }) };
        let path = place.dir.join(FILE);
        let kept = Some((path.clone(), place.run_id.clone()));
        if !path.is_file() {
            return Ok(Self { known: first, kept });
        }
        let text = file::read_text(&path, LIMIT)?;
        let bad = |source| Error::BadState { path: path.clone(), source: Box::new(source) };
        let record: Record = toml::from_str(&text).map_err(bad)?;
        let own = record.run_id == place.run_id;
        let known = if own { record.begins.into_iter().chain(first).collect() } else { first };
        Ok(Self { known, kept })
    }

    /// The last one at or before a step.
    pub(super) fn before(&self, step: u64) -> Option<(u64, Begin)> {
        self.known.range(..=step).next_back().map(|(step, begin)| (*step, *begin))
    }

    /// Keeps one; the file is written as a whole or not at all.
    ///
    /// # Errors
    /// Faults of writing.
    pub(super) fn note(&mut self, step: u64, begin: Begin) -> Result<(), Error> {
        if self.known.insert(step, begin) == Some(begin) {
            return Ok(());
        }
        let Some((path, run_id)) = &self.kept else { return Ok(()) };
        let begins = self.known.iter().map(|(step, begin)| (*step, *begin)).collect();
        let record = Record { run_id: run_id.clone(), begins };
        let text = toml::to_string(&record)
            .map_err(|source| Error::Unwritable { path: path.clone(), source: Box::new(source) })?;
        if let Some(dir) = path.parent() {
            file::create_folder(dir)?;
        }
        Ok(atomic::write(path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_survive_their_file_and_are_of_one_run() {
        let dir = tempfile::tempdir().unwrap();
        let place = |run_id: &str| Place { dir: dir.path().join("deep"), run_id: run_id.to_owned() };
        let mut begins = Begins::open(Some(&place("a"))).unwrap();
        let found = Begin { pile: 3, at: 7 };
        begins.note(41, found).unwrap();
        let again = Begins::open(Some(&place("a"))).unwrap();
        assert_eq!(
            (again.before(40), again.before(41)),
            (Some((0, Begin { pile: 0, at: 0 })), Some((41, found)))
        );
        assert_eq!(Begins::open(Some(&place("b"))).unwrap().before(99), Some((0, Begin { pile: 0, at: 0 })));
        std::fs::write(dir.path().join("deep").join(FILE), "run-id = 3").unwrap();
        assert!(matches!(Begins::open(Some(&place("a"))), Err(Error::BadState { .. })));
    }
}
