//! Going light: which part of every leaf a phase trains in the end, and the monitor that says when.

use super::calibrated::Watch;
use super::event::{Flow, Reporter, Stage};
use crate::error::Error;
use crate::plan::{Governing, Resolved, Trained, component_of, components, goes_on, selected, trained};
use crate::recipe::Phase;
use std::collections::{BTreeMap, BTreeSet};
use tenfold_method::Mask;
use tenfold_method::calibrate::Calibrator;
use tenfold_method::fisher::{Fisher, Learning};
use tenfold_train::{Drawn, Entries, Objective, Part, TrainOptions, Trainer, gradients};
use tenfold_weight::{LeafId, LeafInfo, Path, Tree};

/// Who governs the weights of a phase.
pub(super) struct Governed<'p> {
    phase: &'p Phase,
    governing: BTreeMap<Path, Governing>,
}

impl<'p> Governed<'p> {
    pub(super) fn of(phase: &'p Phase, resolved: &Resolved) -> Self {
        let paths: BTreeSet<&Path> = resolved.paths.iter().flatten().collect();
        let steps = |path: &Path| {
            let steps = resolved.methods.iter().zip(&resolved.paths);
            let of: Vec<_> =
                steps.filter(|(_, paths)| paths.contains(path)).map(|(method, _)| method).collect();
            Governing::of(of.into_iter())
        };
        let governing = paths.into_iter().filter_map(|path| Some((path.clone(), steps(path)?))).collect();
        Self { phase, governing }
    }

    /// Every rewritten weight and who governs it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Governing)> + Clone {
        self.governing.iter()
    }

    fn leaf<'a>(&'a self, leaf: &'a LeafInfo) -> Trained<'a> {
        Trained { governing: self.governing.get(&leaf.id.path), path: &leaf.id.path, role: leaf.role }
    }

    /// The factor on the rate with which a leaf trains at a step, before any switch.
    pub(super) fn rate(&self, step: u64, leaf: &LeafInfo) -> Option<f32> {
        trained(self.phase, step, &self.leaf(leaf))
    }

    /// Whether a leaf trains at any step.
    pub(super) fn ever(&self, leaf: &LeafInfo) -> bool {
        selected(self.phase, &leaf.id.path, leaf.role)
            && (0..self.phase.steps).any(|step| self.rate(step, leaf).is_some())
    }

    fn ever_light(&self, leaf: &LeafInfo) -> bool {
        (0..self.phase.steps).any(|step| goes_on(self.phase, step, &self.leaf(leaf)))
    }

    fn learning(&self, leaf: &LeafInfo) -> Option<Learning> {
        self.governing.get(&leaf.id.path)?.method.learning()
    }

    /// The monitor of a phase that calibrates.
    pub(super) fn watch(&self, tree: &Tree) -> Option<Watch> {
        let calibrate = self.phase.calibrate.as_ref()?;
        let calibrated = self.iter().filter(|(_, governing)| governing.calibrates.is_some());
        let options = calibrated.clone().next()?.1.calibrates?;
        let parts = components(calibrate, calibrated.map(|(path, _)| path));
        let mut leaves: BTreeMap<Option<usize>, Vec<LeafId>> = BTreeMap::new();
        for leaf in tree.leaves().into_iter().filter(|leaf| self.ever(leaf)) {
            leaves.entry(component_of(calibrate, &leaf.id.path)).or_default().push(leaf.id);
        }
        Some(Watch::new(Calibrator::new(options, parts), leaves))
    }

    /// Tells a trainer what is known before any data are seen.
    pub(super) fn prepare(&self, trainer: &mut Trainer<'_>) -> Result<(), Error> {
        for leaf in trainer.tree().leaves() {
            if self.phase.calibrate.is_some() && !self.ever_light(&leaf) {
                trainer.set_part(&leaf.id, Part::Nothing)?;
            }
            let mask = self.governing.get(&leaf.id.path).and_then(|one| one.method.masked(leaf.role));
            match (self.learning(&leaf), mask) {
                (Some(Learning::Drawn { share, seed }), _) => {
                    trainer.thin(&leaf.id, Drawn { share, seed, raised: true })?;
                }
                (_, Some(Mask { kept: share, seed })) => {
                    trainer.thin(&leaf.id, Drawn { share, seed, raised: false })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Chooses the entries that learn by the gradients of a phase's first batches, and tells the trainer. They are light
    /// from the start, unless the phase calibrates. `pass` is the number of batches in which all training data are seen.
    pub(super) fn choose<O: Objective + ?Sized>(
        &self,
        trainer: &mut Trainer<'_>,
        options: &TrainOptions,
        objective: &O,
        pass: u64,
        on: (Stage, &mut Reporter<'_>),
    ) -> Result<(), Error> {
        let (stage, reporter) = on;
        // Weights of equal options share one threshold.
        let mut groups: Vec<(f64, u64, Vec<LeafInfo>)> = Vec::new();
        for leaf in trainer.tree().leaves() {
            if let Some(Learning::Fisher { share, batches }) = self.learning(&leaf)
                && self.ever_light(&leaf)
            {
                let batches = batches.unwrap_or(pass).max(1);
                match groups.iter_mut().find(|group| (group.0, group.1) == (share, batches)) {
                    Some(group) => group.2.push(leaf),
                    None => groups.push((share, batches, vec![leaf])),
                }
            }
        }
        let most = groups.iter().map(|group| group.1).max().unwrap_or(0);
        if most == 0 {
            return Ok(());
        }
        let count = |leaf: &LeafInfo| (leaf.id.clone(), leaf.shape.iter().product());
        let mut seen: Vec<Fisher> =
            groups.iter().map(|group| Fisher::of(group.2.iter().map(count))).collect();
        let leaves = groups.iter().flat_map(|group| &group.2).map(|leaf| leaf.id.clone()).collect();
        let mut told = Ok(());
        gradients(trainer.tree(), &leaves, options, objective, most, &mut |step, found| {
            let counts = |fisher: &mut Fisher, batches| (step < batches).then(|| fisher.add(found));
            seen.iter_mut().zip(&groups).for_each(|(fisher, group)| _ = counts(fisher, group.1));
            told = reporter.progress(stage, "gradients", step as usize + 1, Some(most as usize));
            if told.is_ok() { Flow::Continue } else { Flow::Stop }
        })?;
        told?;
        for (fisher, (share, _, _)) in seen.iter().zip(&groups) {
            for (leaf, numbers) in fisher.select(*share) {
                trainer.set_part(&leaf, Part::Entries(Entries::new(numbers)))?;
                if self.phase.calibrate.is_none() {
                    trainer.lighten(&leaf)?;
                }
            }
        }
        Ok(())
    }

    /// Batches that must be known beyond those of training, to choose entries by.
    pub(super) fn batches(&self, pass: u64) -> u64 {
        let of = |(_, governing): (&Path, &Governing)| match governing.method.learning() {
            Some(Learning::Fisher { batches, .. }) => batches.unwrap_or(pass).max(1),
            _ => 0,
        };
        self.iter().map(of).max().unwrap_or(0)
    }
}
