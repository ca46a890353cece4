//! The loop.

mod step;
mod update;

use crate::checkpoint::{self, Draft};
use crate::collective::Collective;
use crate::error::Error;
use crate::event::{Event, Flow, Outcome};
use crate::monitor::Monitor;
use crate::objective::Objective;
use crate::option::TrainOptions;
use crate::part::{Drawn, Part};
use crate::ranks::Ranks;
use crate::slot::{Schedule, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;
use step::Stepped;
use tenfold_tensor::device;
use tenfold_weight::{Form, LeafId, LeafInfo, Path, Tree};

/// Trains the leaves of a tree.
pub struct Trainer<'s> {
    tree: Tree,
    options: TrainOptions,
    schedule: Schedule<'s>,
    monitor: Option<&'s mut dyn Monitor>,
    ranks: Ranks<'s>,
    slots: BTreeMap<LeafId, Slot>,
    trains: BTreeSet<LeafId>,
    losses: Vec<f32>,
    /// Steps done at the last checkpoint.
    saved: u64,
}

impl<'s> Trainer<'s> {
    /// A trainer of every leaf of the tree.
    ///
    /// # Errors
    /// [`Error::Option`], [`Error::NothingSelected`] or [`Error::NoRunId`] for faulty options.
    pub fn new(tree: Tree, options: TrainOptions) -> Result<Self, Error> {
        let leaves = tree.leaves();
        options.check(&leaves)?;
        let slots = leaves.into_iter().map(|info| (info.id.clone(), Slot::new(info, &options))).collect();
        let schedule: Schedule<'s> = Box::new(|_, _| Some(1.0));
        let (trains, losses) = (BTreeSet::new(), Vec::new());
        let ranks = Ranks::default();
        Ok(Self { tree, options, schedule, monitor: None, ranks, slots, trains, losses, saved: 0 })
    }

    /// The same trainer with a say in what trains when: for a step (from 0) and a leaf, `None` keeps the leaf's
    /// bits, `Some` is a multiple of its rate. Must be pure: it is asked about later steps ahead of time.
    pub fn scheduled(self, schedule: impl Fn(u64, &LeafInfo) -> Option<f32> + 's) -> Self {
        Self { schedule: Box::new(schedule), ..self }
    }

    /// The same trainer under a monitor, which looks on and says when leaves go on with their light part alone.
    pub fn monitored(self, monitor: &'s mut dyn Monitor) -> Self {
        Self { monitor: Some(monitor), ..self }
    }

    /// The same trainer as one of several ranks, each of which has the same tree, options and objective and takes a share of
    /// every batch. All end with the same tree: that of one process up to rounding, where the model drops nothing. The first
    /// rank alone writes checkpoints; how many ranks there are is none of theirs.
    pub fn among(self, ranks: &'s dyn Collective) -> Self {
        Self { ranks: Ranks(ranks), ..self }
    }

    /// Says what of a leaf is light; all of it where nothing is said. Entries are kept in checkpoints, and those of a
    /// checkpoint that is taken up count.
    ///
    /// # Errors
    /// [`Error::Weight`] for a leaf that is not there, [`Error::NoSuchEntry`].
    pub fn set_part(&mut self, leaf: &LeafId, part: Part) -> Result<(), Error> {
        let slot = self.slot(leaf)?;
        let len = slot.len();
        slot.part = match part {
            Part::Entries(entries) if entries.is_empty() => Part::Nothing,
            Part::Entries(entries) => {
                let beyond = entries.numbers().last().filter(|at| **at as usize >= len);
                if let Some(&entry) = beyond {
                    return Err(Error::NoSuchEntry { leaf: leaf.clone(), len, entry });
                }
                Part::Entries(entries)
            }
            other => other,
        };
        Ok(())
    }

    /// Lets the light part of a leaf alone train from the next step on.
    ///
    /// # Errors
    /// [`Error::Weight`] for a leaf that is not there.
    pub fn lighten(&mut self, leaf: &LeafId) -> Result<(), Error> {
        self.slot(leaf)?.lighten();
        Ok(())
    }

    /// Thins out the gradient of a leaf at every step. Moments of what was left out go on: its entries move by them.
    ///
    /// # Errors
    /// [`Error::Weight`] for a leaf that is not there; [`Error::Option`].
    pub fn thin(&mut self, leaf: &LeafId, drawn: Drawn) -> Result<(), Error> {
        if !(drawn.share > 0.0 && drawn.share <= 1.0) {
            let expected = "a number above 0 and at most 1".to_owned();
            return Err(Error::Option { option: "share of entries", expected, got: drawn.share });
        }
        self.slot(leaf)?.drawn = Some(drawn);
        Ok(())
    }

    fn slot(&mut self, leaf: &LeafId) -> Result<&mut Slot, Error> {
        let missing = || tenfold_weight::Error::NoSuchPart {
            address: leaf.clone(),
            kind: "without such a leaf".to_owned(),
        };
        Ok(self.slots.get_mut(leaf).ok_or_else(missing)?)
    }

    /// Takes up the checkpoint of this run where there is one; the steps done then. What follows is what an
    /// uninterrupted run would have done, to the bit.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for one of another run, version, tree or length; [`Error::Format`] for a damaged file.
    pub fn resume_if_present(&mut self) -> Result<Option<u64>, Error> {
        match self.options.checkpoint.as_ref().map(|place| place.dir.clone()) {
            Some(dir) => self.resume_from(&dir),
            None => Ok(None),
        }
    }

    /// Goes on from what a checkpoint holds; the steps done then.
    fn take_up(&mut self, saved: checkpoint::Saved) -> Option<u64> {
        if let Some(monitor) = &mut self.monitor
            && !monitor.restore(saved.monitor)
        {
            return None;
        }
        self.losses = saved.losses;
        self.saved = self.losses.len() as u64;
        let mut values = BTreeMap::new();
        for (id, leaf) in saved.leaves {
            if let Some(slot) = self.slots.get_mut(&id) {
                (slot.wanted, slot.updates, slot.moments) = (leaf.wanted, leaf.updates, leaf.moments);
                slot.light = leaf.light;
                slot.part = leaf.entries.map_or_else(|| std::mem::take(&mut slot.part), Part::Entries);
            }
            values.extend(leaf.value.map(|value| (id, value)));
        }
        self.tree.visit_mut(|id, leaf| {
            if let Some(value) = values.remove(&id) {
                leaf.value = value;
            }
        });
        Some(self.saved)
    }

    /// Takes the steps that are left. After an error the tree stands as after the last whole step.
    ///
    /// # Errors
    /// [`Error::NothingTrains`]; [`Error::Objective`], [`Error::EmptyBatch`], [`Error::Detached`], [`Error::NonFiniteLoss`]
    /// and [`Error::NonFiniteGradient`] with the step; [`Error::Monitor`], after the step; failures to write a checkpoint.
    /// Among ranks [`Error::OtherRank`], [`Error::OutOfStep`], [`Error::Diverged`] and [`Error::Collective`].
    pub fn run<O: Objective + ?Sized>(
        &mut self,
        objective: &O,
        events: &mut dyn FnMut(Event) -> Flow,
    ) -> Result<Outcome, Error> {
        self.run_to(self.options.steps, objective, events)
    }

    /// Takes the steps that are left up to `until`, which the phase's own number of steps bounds. The rate follows the
    /// whole phase. Between two stretches forms may be [replaced](Self::replace).
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub fn run_to<O: Objective + ?Sized>(
        &mut self,
        until: u64,
        objective: &O,
        events: &mut dyn FnMut(Event) -> Flow,
    ) -> Result<Outcome, Error> {
        let steps = until.min(self.options.steps);
        let ever = |step| self.slots.values().any(|slot| slot.scale(step, &self.schedule).is_some());
        if !(0..self.options.steps).any(ever) {
            return Err(Error::NothingTrains { steps });
        }
        let mut flow = events(self.started());
        loop {
            flow = self.agreed(flow)?;
            if flow == Flow::Stop || self.done() >= steps {
                break;
            }
            let (step, start) = (self.done(), Instant::now());
            let stepped = self.step(objective, step);
            // First, since all that follows from a fault are numbers that are none.
            device::check().map_err(|fault| Error::Device { step, fault })?;
            let Stepped { loss, rate, norm, tokens, seen } = stepped?;
            self.losses.push(loss);
            let seen = seen.and_then(|()| self.look(step));
            if self.monitor.is_some() {
                self.ranks.together(seen)?;
            }
            let seconds = start.elapsed().as_secs_f64();
            flow = events(Event::Step { step, loss: loss.into(), rate, norm, tokens, seconds });
            let due =
                self.options.checkpoint.as_ref().is_some_and(|place| self.done().is_multiple_of(place.every));
            if due
                && let Some(written) = self.save()?
                && events(written) == Flow::Stop
            {
                flow = Flow::Stop;
            }
        }
        if let Some(written) = self.save()? {
            events(written);
        }
        let idle = self.slots.values().filter(|slot| slot.wanted && slot.updates == 0);
        Ok(Outcome {
            steps_done: self.done(),
            stopped: self.done() < steps,
            losses: self.losses.iter().copied().map(f64::from).collect(),
            idle: idle.map(|slot| slot.info.id.clone()).collect(),
        })
    }

    /// Puts a form in the place of another. A leaf whose shape stays keeps its moments and its number of updates; any
    /// other starts anew, since its numbers mean something else. The optimizer holds exactly the leaves of the tree.
    ///
    /// # Errors
    /// [`Error::Weight`] when the tree has no such path.
    pub fn replace(&mut self, path: &Path, form: Form) -> Result<(), Error> {
        self.tree.get(path)?;
        self.tree.insert(path.clone(), form);
        let slots = std::mem::take(&mut self.slots);
        let (mut before, others) =
            slots.into_iter().partition::<BTreeMap<_, _>, _>(|(id, _)| id.path == *path);
        self.slots = others;
        self.trains.retain(|id| id.path != *path);
        for info in self.tree.leaves().into_iter().filter(|info| info.id.path == *path) {
            let kept = before.remove(&info.id).filter(|slot| slot.info.shape == info.shape);
            let id = info.id.clone();
            self.slots.insert(id, kept.unwrap_or_else(|| Slot::new(info, &self.options)));
        }
        Ok(())
    }

    /// Writes a checkpoint of the steps so far into a folder.
    ///
    /// # Errors
    /// Failures to write; [`Error::NoRunId`].
    pub fn checkpoint_into(&self, dir: &std::path::Path) -> Result<u64, Error> {
        if self.options.run_id.is_empty() {
            return Err(Error::NoRunId);
        }
        Ok(self.write(dir)?.1)
    }

    /// Takes up the checkpoint in a folder, as [`Trainer::resume_if_present`] does.
    ///
    /// # Errors
    /// As [`Trainer::resume_if_present`].
    pub fn resume_from(&mut self, dir: &std::path::Path) -> Result<Option<u64>, Error> {
        let known = |id: &LeafId| self.slots.get(id).map(|slot| slot.info.shape.as_slice());
        let Some(saved) = checkpoint::read(dir, &self.options, known)? else { return Ok(None) };
        let path = dir.join(checkpoint::FILE);
        let fault = Box::new(crate::error::CheckpointFault::Monitor);
        self.take_up(saved).ok_or(Error::Checkpoint { path, fault }).map(Some)
    }

    /// The loss of every step so far.
    pub fn losses(&self) -> &[f32] {
        &self.losses
    }

    /// Numbers that the optimizer keeps beside the weights: two for each that was ever updated and may be again.
    pub fn moments(&self) -> usize {
        let held = self.slots.values().filter(|slot| slot.moments.is_some());
        held.map(|slot| 2 * slot.moved()).sum()
    }

    /// What of a leaf is light, and whether that alone trains by now; nothing for a leaf that is not there.
    pub fn part(&self, leaf: &LeafId) -> Option<(&Part, bool)> {
        self.slots.get(leaf).map(|slot| (&slot.part, slot.light))
    }

    /// Numbers that train at a step, as things stand.
    pub fn training(&self, step: u64) -> usize {
        let trains = |slot: &&Slot| slot.scale(step, &self.schedule).is_some();
        self.slots.values().filter(trains).map(Slot::moved).sum()
    }

    /// The tree as it stands.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The trained tree.
    pub fn into_tree(self) -> Tree {
        self.tree
    }

    fn done(&self) -> u64 {
        self.losses.len() as u64
    }

    fn started(&self) -> Event {
        let (done, steps) = (self.done(), self.options.steps);
        let training = self.slots.values().filter(|slot| slot.scale(done, &self.schedule).is_some());
        let sizes: Vec<usize> = training.map(Slot::moved).collect();
        Event::Started { done, steps, leaves: sizes.len(), parameters: sizes.iter().sum() }
    }

    /// Writes a checkpoint unless there is no folder for it or the last one is as recent.
    fn save(&mut self) -> Result<Option<Event>, Error> {
        let done = self.done();
        let Some(place) = self.options.checkpoint.as_ref().filter(|_| done != self.saved) else {
            return Ok(None);
        };
        self.ranks.compare(done, || self.fingerprint())?;
        let written = match self.ranks.is_first() {
            true => self.write(&place.dir).map(Some),
            false => Ok(None),
        };
        let written = self.ranks.together(written)?;
        self.saved = done;
        Ok(written.map(|(path, bytes)| Event::Checkpoint { done, path, bytes }))
    }

    /// A number that tells trees with other bits apart.
    fn fingerprint(&self) -> u64 {
        // Multiplied by an odd number, every bit of a word reaches the higher ones; the turn brings them down again.
        const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut print = 0u64;
        self.tree.visit(|_, leaf| {
            for value in leaf.value.data() {
                print = (print ^ u64::from(value.to_bits())).wrapping_mul(FACTOR).rotate_left(29);
            }
        });
        print
    }

    fn write(&self, dir: &std::path::Path) -> Result<(std::path::PathBuf, u64), Error> {
        let monitor = self.monitor.as_ref().map(|monitor| monitor.state()).unwrap_or_default();
        let (run_id, losses, slots) = (&self.options.run_id, &self.losses, &self.slots);
        checkpoint::write(dir, Draft { run_id, losses, slots, values: &self.tree.values(), monitor })
    }
}
