//! Checkpoints of training: one safetensors file that is replaced as a whole.
//!
//! ```text
//! DIR/checkpoint.safetensors
//!   value/LEAF             every leaf that was ever updated; the others are those of the tree the run starts from
//!   first/LEAF second/LEAF its moments, unless it is frozen for good; of its light entries where those alone train
//!   entries/LEAF           its light entries where it has such, a flag an entry, sixteen to a number
//!   losses                 the loss of every step
//!   monitor/NAME           what the monitor knows, sixteen bits to a number
//!   __metadata__           tenfold.training: run, version, steps done, updates of every leaf, as JSON
//! DIR/writing/             the next one while it is written
//! ```
//!
//! A new checkpoint is written and synced inside `writing`, then renamed over the old one: a kill at any moment
//! leaves the old or the new file whole, and what it leaves in `writing` is cleared by the next write. Numbers are
//! kept as f32 arrays, never as decimal text, so that nothing is rounded. Decision record 0004 says why one file.

use crate::error::{CheckpointFault, Error};
use crate::monitor::{packed, unpacked};
use crate::option::TrainOptions;
use crate::part::{Entries, Part};
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
pub const VERSION: u64 = 2;

const SCRATCH: &str = "writing";
const STATE_KEY: &str = "tenfold.training";
const LOSSES: &str = "losses";
const ARRAYS: [&str; 3] = ["value", "first", "second"];
const ENTRIES: &str = "entries";
const MONITOR: &str = "monitor";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u64,
    run_id: String,
    done: u64,
    leaves: BTreeMap<String, LeafState>,
    monitor: Vec<String>,
}

/// A leaf that was to train at some step, or has light entries.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafState {
    wanted: bool,
    updates: u64,
    moments: bool,
    light: bool,
    entries: bool,
}

/// A checkpoint's content, checked against a run.
pub(crate) struct Saved {
    pub(crate) losses: Vec<f32>,
    pub(crate) leaves: BTreeMap<LeafId, SavedLeaf>,
    pub(crate) monitor: BTreeMap<String, Vec<f64>>,
}

/// A leaf that was to train at some step, or has light entries; it has a value when it was updated.
pub(crate) struct SavedLeaf {
    pub(crate) wanted: bool,
    pub(crate) light: bool,
    pub(crate) entries: Option<Entries>,
    pub(crate) updates: u64,
    pub(crate) value: Option<Array>,
    pub(crate) moments: Option<AdamWState>,
}

/// What a checkpoint is made of.
pub(crate) struct Draft<'a> {
    pub(crate) run_id: &'a str,
    pub(crate) losses: &'a [f32],
    pub(crate) slots: &'a BTreeMap<LeafId, Slot>,
    pub(crate) values: &'a BTreeMap<LeafId, Array>,
    pub(crate) monitor: BTreeMap<String, Vec<f64>>,
}

/// Writes a checkpoint; its path and size.
pub(crate) fn write(dir: &Path, draft: Draft<'_>) -> Result<(PathBuf, u64), Error> {
    let Draft { run_id, losses, slots, values, monitor } = draft;
    let mut leaves = BTreeMap::new();
    let mut packs: Vec<(String, Vec<f32>)> =
        monitor.iter().map(|(name, numbers)| (format!("{MONITOR}/{name}"), packed(numbers))).collect();
    let mut tensors = vec![(LOSSES.to_owned(), vec![losses.len()], losses)];
    let kept = |slot: &Slot| slot.wanted || matches!(slot.part, Part::Entries(_));
    for (id, slot) in slots.iter().filter(|(_, slot)| kept(slot)) {
        let moments = slot.moments.as_ref();
        let entries = match &slot.part {
            Part::Entries(entries) => Some(entries),
            _ => None,
        };
        packs.extend(entries.map(|entries| (name(ENTRIES, id), entries.flags(slot.len()))));
        let state = LeafState {
            wanted: slot.wanted,
            updates: slot.updates,
            moments: moments.is_some(),
            light: slot.light,
            entries: entries.is_some(),
        };
        leaves.insert(id.to_string(), state);
        let arrays =
            [values.get(id).filter(|_| slot.updates > 0), moments.map(|m| &m.m), moments.map(|m| &m.v)];
        for (kind, array) in ARRAYS.iter().zip(arrays) {
            tensors.extend(array.map(|array| (name(kind, id), array.shape().to_vec(), array.data())));
        }
    }
    tensors.extend(packs.iter().map(|(name, pack)| (name.clone(), vec![pack.len()], pack.as_slice())));
    let (run_id, done, monitor) = (run_id.to_owned(), losses.len() as u64, monitor.into_keys().collect());
    let state = State { version: VERSION, run_id, done, leaves, monitor };
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
        let array = |kind: &'static str, expected: &[usize]| -> Result<Array, Error> {
            let name = name(kind, &id);
            let missing = || fault(CheckpointFault::MissingArray { leaf: id.clone(), array: kind });
            let info = file.tensor(&name).ok_or_else(missing)?;
            if info.shape != expected {
                let (leaf, expected, got) = (id.clone(), expected.to_vec(), info.shape.clone());
                return Err(fault(CheckpointFault::Shape { leaf, array: kind, expected, got }));
            }
            Ok(Array::from_vec(file.read_f32(&name)?, expected))
        };
        let len: usize = expected.iter().product();
        let entries = match leaf.entries {
            true => {
                let flags = array(ENTRIES, &[len.div_ceil(Entries::FLAGS)])?;
                let found = Entries::of_flags(flags.data(), len);
                Some(found.ok_or_else(|| fault(CheckpointFault::Numbers { array: name(ENTRIES, &id) }))?)
            }
            false => None,
        };
        let held = entries.as_ref().filter(|_| leaf.light).map(|entries| vec![entries.len()]);
        let held = held.as_deref().unwrap_or(expected);
        let [value, first, second] = ARRAYS;
        let value = if leaf.updates > 0 { Some(array(value, expected)?) } else { None };
        let moments = match leaf.moments {
            true => Some(AdamWState { m: array(first, held)?, v: array(second, held)? }),
            false => None,
        };
        let LeafState { wanted, updates, light, .. } = leaf;
        leaves.insert(id, SavedLeaf { wanted, light, entries, updates, value, moments });
    }
    let monitor = monitor_state(&file, state.monitor, &fault)?;
    Ok(Some(Saved { losses, leaves, monitor }))
}

/// What the monitor knew.
fn monitor_state(
    file: &Checkpoint,
    names: Vec<String>,
    fault: &impl Fn(CheckpointFault) -> Error,
) -> Result<BTreeMap<String, Vec<f64>>, Error> {
    let read = |known: String| {
        let array = format!("{MONITOR}/{known}");
        let numbers = unpacked(&file.read_f32(&array)?);
        Ok((known, numbers.ok_or_else(|| fault(CheckpointFault::Numbers { array }))?))
    };
    names.into_iter().map(read).collect()
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
