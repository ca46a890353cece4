//! What a run has finished, in a small file: enough to go on after being stopped at any moment.
//!
//! A stage is recorded only after everything it made is on disk, so whatever the file says can be relied on; what is
//! on disk without being recorded is made again.

use super::event::Stage;
use crate::error::Error;
use crate::file;
use crate::receipt::{StageTime, Throughput};
use crate::result::{PhaseResult, Scores, VariantResult, WeightResult};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tenfold_format::atomic;

/// The file's name in the run's folder.
const FILE: &str = "state.toml";

/// The version that is written and read.
const VERSION: u32 = 1;

/// The longest state that is read, in bytes: losses of a hundred million steps are no small file.
const STATE_LIMIT: u64 = 4 << 30;

/// The finished stages of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    /// Hash of the resolved recipe and of everything it reads.
    pub(super) run_id: String,
    /// Whether model, receipt and report are written.
    pub(super) finished: bool,
    /// Largest memory of all attempts, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_memory: Option<u64>,
    /// Scores of the untouched model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<Scores>,
    /// Whether the rewritten tree is in its folder.
    pub(super) rewritten: bool,
    /// Scores of the rewritten tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truncated: Option<Scores>,
    /// Scores of the trained tree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) healed: Option<Scores>,
    /// Wall seconds by stage, all attempts together.
    #[serde(default)]
    pub(super) stages: Vec<StageTime>,
    /// Finished phases; the tree of the last one is in its folder.
    #[serde(default)]
    pub(super) phases: Vec<PhaseResult>,
    /// Each rewritten weight.
    #[serde(default)]
    pub(super) weights: Vec<WeightResult>,
    /// Each measured variant, in the order of the recipe.
    #[serde(default)]
    pub(super) variants: Vec<VariantResult>,
}

impl State {
    /// A run that has finished nothing.
    pub(super) fn fresh(run_id: String) -> Self {
        Self {
            version: VERSION,
            run_id,
            finished: false,
            peak_memory: None,
            original: None,
            rewritten: false,
            truncated: None,
            healed: None,
            stages: Vec::new(),
            phases: Vec::new(),
            weights: Vec::new(),
            variants: Vec::new(),
        }
    }

    /// The state of the run with this id in a folder; nothing where there is none, or one of another run or version.
    ///
    /// # Errors
    /// [`Error::BadState`] and faults of reading.
    pub(super) fn read(dir: &Path, run_id: &str) -> Result<Option<Self>, Error> {
        let path = path(dir);
        if !path.is_file() {
            return Ok(None);
        }
        let text = file::read_text(&path, STATE_LIMIT)?;
        let bad = |source| Error::BadState { path: path.clone(), source: Box::new(source) };
        // First, because another version may have other fields.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        if toml::from_str::<Versioned>(&text).map_err(bad)?.version != VERSION {
            return Ok(None);
        }
        let state: Self = toml::from_str(&text).map_err(bad)?;
        Ok((state.run_id == run_id).then_some(state))
    }

    /// Writes the state, as a whole or not at all.
    ///
    /// # Errors
    /// [`Error::Unwritable`] and faults of writing.
    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = path(dir);
        let text = toml::to_string(self)
            .map_err(|source| Error::Unwritable { path: path.clone(), source: Box::new(source) })?;
        Ok(atomic::write(&path, text.as_bytes())?)
    }

    /// Adds wall times of stages.
    pub(super) fn add_seconds(&mut self, times: Vec<(Stage, f64)>) {
        for (stage, seconds) in times {
            let stage = stage.to_string();
            match self.stages.iter_mut().find(|one| one.stage == stage) {
                Some(known) => known.seconds += seconds,
                None => self.stages.push(StageTime { stage, seconds, training: None }),
            }
        }
    }

    /// Adds tokens and seconds of training steps among so many ranks, by stage. Its time is there already.
    pub(super) fn add_trained(&mut self, ranks: usize, trained: Vec<(Stage, u64, f64)>) {
        for (stage, tokens, seconds) in trained {
            let stage = stage.to_string();
            if let Some(known) = self.stages.iter_mut().find(|one| one.stage == stage) {
                known.training = Some(Throughput::and(known.training, ranks, tokens, seconds));
            }
        }
    }

    /// Wall seconds of a stage, all attempts together.
    pub(super) fn seconds(&self, stage: Stage) -> f64 {
        let stage = stage.to_string();
        self.stages.iter().find(|one| one.stage == stage).map_or(0.0, |one| one.seconds)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_survives_its_file_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        let mut state = State::fresh("abc".to_owned());
        state.phases.push(PhaseResult::of(vec![0.1f32.into(), 1.0 / 3.0, 1e-300], 5));
        state.add_seconds(vec![(Stage::Phase(1), 1.5), (Stage::Rewrite, 2.0), (Stage::Phase(1), 0.25)]);
        state.add_trained(2, vec![(Stage::Phase(1), 700, 0.5)]);
        state.write(dir.path()).unwrap();
        let read = State::read(dir.path(), "abc").unwrap().unwrap();
        assert_eq!(read, state);
        assert_eq!((read.seconds(Stage::Phase(1)), read.seconds(Stage::Fetch)), (1.75, 0.0));
    }

    #[test]
    fn states_of_other_runs_are_not_taken_up_and_damaged_ones_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        assert!(State::read(dir.path(), "abc").unwrap().is_none());
        State::fresh("abc".to_owned()).write(dir.path()).unwrap();
        assert!(State::read(dir.path(), "other").unwrap().is_none());
        std::fs::write(path(dir.path()), "version = 9\nnew-field = 1\n").unwrap();
        assert!(State::read(dir.path(), "abc").unwrap().is_none());
        std::fs::write(path(dir.path()), "version = 1\nrun-id = 3\n").unwrap();
        assert!(matches!(State::read(dir.path(), "abc"), Err(Error::BadState { .. })));
    }
}
