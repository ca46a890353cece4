//! What phases that change forms on the way keep from round to round.
//!
//! ```text
//! PLACE/round/     the tree after the last round, the optimizer's state, and the record of all rounds
//! PLACE/next/      the next one while it is written
//! ```
//!
//! A killed run goes on from the last round; what it repeats comes out the same, since changes and batches are functions
//! of tree, seed and step.

use super::phase::Place;
use super::session::Session;
use crate::error::Error;
use crate::file;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use tenfold_format::atomic;
use tenfold_model::Model;
use tenfold_train::Trainer;
use tenfold_weight::Tree;

/// The record's name in the folder of a round.
const RECORD: &str = "rounds.toml";
/// The tree's name in the folder of a round.
const TREE: &str = "tree";
/// The longest record that is read, in bytes.
const RECORD_LIMIT: u64 = 64 << 20;

/// What a kind of rounds says of itself.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// The run that it belongs to.
    fn run_id(&self) -> &str;
}

/// Keeps a round; the one before is replaced as a whole.
pub(super) fn keep<R: Record>(
    session: &Session,
    place: &Place,
    record: &R,
    trainer: &Trainer<'_>,
) -> Result<(), Error> {
    let (next, round) = (place.dir.join("next"), place.dir.join("round"));
    file::remove_folder(&next)?;
    file::create_folder(&next)?;
    session.model().with_tree(trainer.tree().clone()).save(&next.join(TREE), None)?;
    trainer.checkpoint_into(&next)?;
    write(&next.join(RECORD), record)?;
    file::remove_folder(&round)?;
    fs::rename(&next, &round).map_err(file::unwritable(&round))
}

/// The last round of an earlier attempt, with its folder. Between removing the old and renaming the new one, the new is
/// whole.
pub(super) fn kept<R: Record>(place: &Place) -> Result<Option<(R, PathBuf)>, Error> {
    for folder in [place.dir.join("round"), place.dir.join("next")] {
        if let Some(record) = read(&folder.join(RECORD), place)? {
            return Ok(Some((record, folder)));
        }
    }
    Ok(None)
}

/// The tree of the last round of an earlier attempt.
pub(super) fn resumed<R: Record>(place: Option<&Place>) -> Result<Option<Tree>, Error> {
    let Some((_, folder)) = place.map(kept::<R>).transpose()?.flatten() else { return Ok(None) };
    Ok(Some(Model::load(&folder.join(TREE))?.tree))
}

/// Writes a record, as a whole or not at all.
pub(super) fn write<R: Record>(path: &FilePath, record: &R) -> Result<(), Error> {
    let text = toml::to_string(record)
        .map_err(|source| Error::Unwritable { path: path.to_owned(), source: Box::new(source) })?;
    Ok(atomic::write(path, text.as_bytes())?)
}

/// A record of this run; nothing where there is none, or another run's.
pub(super) fn read<R: Record>(path: &FilePath, place: &Place) -> Result<Option<R>, Error> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = file::read_text(path, RECORD_LIMIT)?;
    let bad = |source| Error::BadState { path: path.to_owned(), source: Box::new(source) };
    let record: R = toml::from_str(&text).map_err(bad)?;
    Ok((record.run_id() == place.run_id).then_some(record))
}
