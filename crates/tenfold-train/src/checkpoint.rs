//! Checkpoints of training: one safetensors file that is replaced as a whole.
//!
//! ```text
//! DIR/checkpoint.safetensors
//!   value/LEAF             every leaf that was ever updated; the others are those of the tree the run starts from
//!   first/LEAF second/LEAF its moments, unless it is frozen for good
//!   losses                 the loss of every step
//!   __metadata__           tenfold.training: run, version, steps done, updates of every leaf, as JSON
//! DIR/writing/             the next one while it is written
//! ```
//!
//! A new checkpoint is written and synced inside `writing`, then renamed over the old one: a kill at any moment
//! leaves the old or the new file whole, and what it leaves in `writing` is cleared by the next write. Numbers are
//! kept as f32 arrays, never as decimal text, so that nothing is rounded. Decision record 0004 says why one file.

use crate::error::{CheckpointFault, Error};
use crate::option::TrainOptions;
use crate::slot::Slot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tenfold_format::checkpoint::{self, Checkpoint};
use tenfold_tensor::Array;
use tenfold_tensor::optim::AdamWState;
use tenfold_weight::LeafId;

/// The file's name in the folder of a run.
pub const FILE: &str = "checkpoint.safetensors";
/// The version that is written and read.
pub const VERSION: u64 = 1;

const SCRATCH: &str = "writing";
const STATE_KEY: &str = "tenfold.training";
const LOSSES: &str = "losses";
const ARRAYS: [&str; 3] = ["value", "first", "second"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u64,
    run_id: String,
    done: u64,
    leaves: BTreeMap<String, LeafState>,
}

/// A leaf that was to train at some step.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafState {
    updates: u64,
    moments: bool,
}

/// A checkpoint's content, checked against a run.
pub(crate) struct Saved {
    pub(crate) losses: Vec<f32>,
    pub(crate) leaves: BTreeMap<LeafId, SavedLeaf>,
}

/// A leaf that was to train at some step; it has a value when it was updated.
pub(crate) struct SavedLeaf {
    pub(crate) updates: u64,
    pub(crate) value: Option<Array>,
    pub(crate) moments: Option<AdamWState>,
}

/// Writes a checkpoint; its path and size.
pub(crate) fn write(
    dir: &Path,
    run_id: &str,
    losses: &[f32],
    slots: &BTreeMap<LeafId, Slot>,
    values: &BTreeMap<LeafId, Array>,
) -> Result<(PathBuf, u64), Error> {
    let mut leaves = BTreeMap::new();
    let mut tensors = vec![(LOSSES.to_owned(), vec![losses.len()], losses)];
    for (id, slot) in slots.iter().filter(|(_, slot)| slot.wanted) {
        let moments = slot.moments.as_ref();
        leaves.insert(id.to_string(), LeafState { updates: slot.updates, moments: moments.is_some() });
        let arrays =
            [values.get(id).filter(|_| slot.updates > 0), moments.map(|m| &m.m), moments.map(|m| &m.v)];
        for (kind, array) in ARRAYS.iter().zip(arrays) {
            tensors.extend(array.map(|array| (name(kind, id), array.shape().to_vec(), array.data())));
        }
    }
    let state = State { version: VERSION, run_id: run_id.to_owned(), done: losses.len() as u64, leaves };
    let path = dir.join(FILE);
    let text = serde_json::to_string(&state).map_err(|fault| refuse(&path)(CheckpointFault::State(fault)))?;

    let scratch = dir.join(SCRATCH);
    let failed = |source| Error::Folder { path: scratch.clone(), source };
    match fs::remove_dir_all(&scratch) {
        Err(fault) if fault.kind() != ErrorKind::NotFound => return Err(failed(fault)),
        _ => fs::create_dir_all(&scratch).map_err(failed)?,
    }
    let fresh = scratch.join(FILE);
    let bytes = checkpoint::write(&fresh, &tensors, &BTreeMap::from([(STATE_KEY.to_owned(), text)]))?;
    fs::rename(&fresh, &path).map_err(failed)?;
    // Only Unix lets a folder be synced; elsewhere the rename itself is as durable as it gets.
    if cfg!(unix) {
        File::open(dir).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    fs::remove_dir(&scratch).map_err(failed)?;
    Ok((path, bytes))
}

/// Reads the checkpoint in a folder, if there is one; `shape` gives the shape of a leaf that the tree has.
pub(crate) fn read<'a>(
    dir: &Path,
    options: &TrainOptions,
    shape: impl Fn(&LeafId) -> Option<&'a [usize]>,
) -> Result<Option<Saved>, Error> {
    let path = dir.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let fault = refuse(&path);
    let file = Checkpoint::open(&path)?;
    let state = state(&file).map_err(&fault)?;
    if state.run_id != options.run_id {
        let expected = options.run_id.clone();
        return Err(fault(CheckpointFault::OtherRun { expected, got: state.run_id }));
    }
    if state.done > options.steps {
        return Err(fault(CheckpointFault::Beyond { steps: options.steps, got: state.done }));
    }
    let losses = file.read_f32(LOSSES)?;
    if losses.len() as u64 != state.done {
        return Err(fault(CheckpointFault::Losses { expected: state.done, got: losses.len() }));
    }
    let mut leaves = BTreeMap::new();
    for (text, leaf) in state.leaves {
        let id = LeafId::parse(&text);
        let expected = shape(&id).ok_or_else(|| fault(CheckpointFault::UnknownLeaf { leaf: id.clone() }))?;
        let array = |kind: &'static str| -> Result<Array, Error> {
            let name = name(kind, &id);
            let missing = || fault(CheckpointFault::MissingArray { leaf: id.clone(), array: kind });
            let info = file.tensor(&name).ok_or_else(missing)?;
            if info.shape != expected {
                let (leaf, expected, got) = (id.clone(), expected.to_vec(), info.shape.clone());
                return Err(fault(CheckpointFault::Shape { leaf, array: kind, expected, got }));
            }
            Ok(Array::from_vec(file.read_f32(&name)?, expected))
        };
        let [value, first, second] = ARRAYS;
        let value = if leaf.updates > 0 { Some(array(value)?) } else { None };
        let moments =
            if leaf.moments { Some(AdamWState { m: array(first)?, v: array(second)? }) } else { None };
        leaves.insert(id, SavedLeaf { updates: leaf.updates, value, moments });
    }
    Ok(Some(Saved { losses, leaves }))
}

/// The training state in the header. The version is looked at first: a newer one may have fields unknown here.
fn state(file: &Checkpoint) -> Result<State, CheckpointFault> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u64,
    }
    let text = file.metadata().get(STATE_KEY).ok_or(CheckpointFault::NoState)?;
    let got = serde_json::from_str::<Versioned>(text).map_err(CheckpointFault::State)?.version;
    if got != VERSION {
        return Err(CheckpointFault::Version { got, known: VERSION });
    }
    serde_json::from_str(text).map_err(CheckpointFault::State)
}

fn refuse(path: &Path) -> impl Fn(CheckpointFault) -> Error + '_ {
    |fault| Error::Checkpoint { path: path.to_owned(), fault: Box::new(fault) }
}

fn name(kind: &str, id: &LeafId) -> String {
    format!("{kind}/{id}")
}
