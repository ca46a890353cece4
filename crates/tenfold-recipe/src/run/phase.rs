//! A training phase: the recipe's words turned into the training loop's.

use super::batch::Batches;
use super::contract::{self, Asked};
use super::cut::Cut;
use super::distill::Distill;
use super::event::{Event, Reporter, Stage};
use super::gauge::Gauge;
use super::grow::{Growing, Sample};
use super::labeled::{self, Labeled};
use super::language::Language;
use super::light::Governed;
use super::masked::Masked;
use super::ranking::Ranking;
use super::rounds;
use super::session::Session;
use super::squeeze::Squeezing;
use super::watch::Watching;
use crate::error::Error;
use crate::plan::Resolved;
use crate::recipe::{Objective, OptimizerKind, Phase, Recipe};
use crate::result::PhaseResult;
use std::sync::Arc;
use tenfold_eval::Masker;
use tenfold_eval::task::Example;
use tenfold_method::Method;
use tenfold_method::squeeze::SqueezeOptions;
use tenfold_tensor::optim::{AdamW, Lamb};
use tenfold_train::{
    Both, CheckpointOptions, Collective, Group, Monitor, Part, Schedule, TrainOptions, Trainer,
};
use tenfold_weight::{LeafId, LeafInfo, Path, Tree};

/// Where a phase keeps its checkpoints, and what a checkpoint must belong to.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) dir: std::path::PathBuf,
    pub(super) run_id: String,
}

/// Trains a tree through one phase of a recipe, from its checkpoint where there is one.
pub(super) fn train(
    session: &Session,
    recipe: &Recipe,
    index: usize,
    resolved: &Resolved,
    tree: Tree,
    place: Option<Place>,
    reporter: &mut Reporter<'_>,
) -> Result<(Tree, PhaseResult), Error> {
    let phase = &recipe.phases[index];
    let stage = Stage::Phase(index + 1);
    // Phases over the same text or rows see different batches.
    let seed = recipe.seed.wrapping_add(index as u64);
    let governed = Governed::of(phase, resolved);
    let ranks = session.ranks();
    let watching = Watching::of(session, phase)?;
    let watching = watching.as_ref();
    let straight = Straight { phase, governed: &governed, ranks, seed, stage, also: None, watching };
    let (tree, mut result, asked) = match &phase.objective {
        Objective::Distill { text, hidden, tokens } => {
            let sequences = session.sequences(text, stage, reporter)?;
            let asked = Asked::texts(session.model(), &sequences);
            let pass = Batches::pass(&sequences, seed, *tokens);
            let batches = Batches::new(sequences, seed, *tokens, phase.steps.max(governed.batches(pass)));
            let (model, teacher) = (session.model(), session.teacher());
            let objective = Distill { model, teacher, batches: &batches, hidden: *hidden };
            let (tree, result) = straight.run(tree, &objective, pass, place, reporter)?;
            (tree, result, asked)
        }
        Objective::Language { text, reading, tokens } => {
            let model = session.model();
            let cut = Cut::next(model, reading.packed)?;
            let plain = session.plain(text, *reading, cut, stage, reporter)?;
            let (supply, pass) = plain.supply(seed, *tokens, phase.steps, &governed, place.as_ref())?;
            let asked = Asked::texts(model, &supply.some()?);
            let objective = Language { model, supply: &supply };
            let (tree, result) = straight.run(tree, &objective, pass, place, reporter)?;
            (tree, result, asked)
        }
        Objective::Masked { text, reading, masking, order, tokens } => {
            let model = session.model();
            let masker = Masker::new(&model.tokenizer, *masking)?;
            let cut = Cut::framed(model, &masker, reading.packed, *order > 0.0);
            let plain = session.plain(text, *reading, cut, stage, reporter)?;
            let (supply, pass) = plain.supply(seed, *tokens, phase.steps, &governed, place.as_ref())?;
            let asked = Asked::texts(model, &supply.some()?);
            let objective = Masked::new(model, &supply, masker, *order, seed);
            let (tree, result) = straight.run(tree, &objective, pass, place, reporter)?;
            (tree, result, asked)
        }
        Objective::Task { task, batch, rows } => {
            let examples = session.examples(task)?;
            let held_out = phase.squeeze.map_or(0.0, |squeeze| squeeze.held_out);
            let (used, held) = labeled::split(examples.len(), *rows, held_out, recipe.seed);
            let used: Vec<&Example> = used.iter().map(|at| &examples[*at]).collect();
            let pass = used.len().div_ceil((*batch).max(1)) as u64;
            let objective = |steps: u64| {
                let steps = steps.max(governed.batches(pass));
                Labeled::new(session.model(), &used, seed, *batch, steps)
            };
            let (tree, result) = match (phase.squeeze, phase.grow) {
                (Some(squeeze), _) => {
                    let squeezing = Squeezing {
                        session,
                        task,
                        watched: held.iter().map(|at| examples[*at].clone()).collect(),
                        squeeze,
                        steps: phase.steps,
                        weights: squeezable(&governed),
                        dense: dense_parameters(&tree, &governed)?,
                        stage,
                    };
                    squeezing.train(&straight, tree, objective, place.as_ref(), reporter)?
                }
                (None, Some(grow)) => {
                    let candidates = growable(&governed);
                    let sample = Sample::new(session.model(), &used, seed, *batch, grow.rows)?;
                    let growing = Growing { session, straight: &straight, grow, candidates, sample };
                    growing.train(tree, &objective(phase.steps)?, pass, place, reporter)?
                }
                (None, None) => straight.run(tree, &objective(phase.steps)?, pass, place, reporter)?,
            };
            (tree, result, Asked::rows(session.model(), &used)?)
        }
    };
    // What the first rank keeps is what it makes of it.
    if index + 1 < recipe.phases.len() || ranks.rank() != 0 {
        return Ok((tree, result));
    }
    let temporary = governed.iter().filter(|(_, one)| one.method.contracts());
    let temporary: Vec<_> = temporary.map(|(path, one)| (path, &*one.method)).collect();
    let (tree, contraction) = contract::contracted(session, tree, &temporary, &asked)?;
    result.contraction = contraction;
    Ok((tree, result))
}

/// Training whose forms stay.
pub(super) struct Straight<'s> {
    pub(super) phase: &'s Phase,
    pub(super) governed: &'s Governed<'s>,
    /// Who trains together.
    pub(super) ranks: &'s dyn Collective,
    pub(super) seed: u64,
    pub(super) stage: Stage,
    /// What looks on where the phase itself has no monitor.
    pub(super) also: Option<&'s Ranking>,
    /// What is measured on the way.
    pub(super) watching: Option<&'s Watching<'s>>,
}

impl Straight<'_> {
    /// Trains, from the phase's checkpoint where there is one.
    pub(super) fn run<O: tenfold_train::Objective + ?Sized>(
        &self,
        tree: Tree,
        objective: &O,
        pass: u64,
        place: Option<Place>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Tree, PhaseResult), Error> {
        let Self { phase, governed, seed, stage, .. } = *self;
        let watched = place.clone().filter(|_| self.watching.is_some());
        let options = options(phase, phase.steps, seed, &tree, place);
        let mut both;
        let (mut watch, mut also, mut gauge) = (governed.watch(&tree), self.also, Gauge::of(phase, &tree));
        let mut trainer = Trainer::new(tree, options.clone())?
            .scheduled(|step, leaf| governed.rate(step, leaf))
            .among(self.ranks);
        let first = match (&mut watch, &mut also) {
            (Some(watch), _) => Some(watch as &mut dyn Monitor),
            (None, Some(also)) => Some(also as &mut dyn Monitor),
            (None, None) => None,
        };
        match (first, &mut gauge) {
            (Some(first), Some(gauge)) => {
                both = Both(first, gauge);
                trainer = trainer.monitored(&mut both);
            }
            (Some(only), None) => trainer = trainer.monitored(only),
            (None, Some(only)) => trainer = trainer.monitored(only),
            (None, None) => {}
        }
        governed.prepare(&mut trainer)?;
        // What a checkpoint holds was chosen before the first step; later weights would choose otherwise.
        if trainer.resume_if_present()?.is_none() {
            governed.choose(&mut trainer, &options, objective, pass, (stage, reporter))?;
        }
        let (outcome, watched) = match self.watching {
            Some(watching) => {
                watching.run(&mut trainer, objective, phase.steps, watched.as_ref(), (stage, reporter))?
            }
            None => {
                let events = &mut |event| reporter.ask(Event::Training { stage, event });
                (trainer.run(objective, events)?, Vec::new())
            }
        };
        if outcome.stopped {
            return Err(Error::Interrupted { stage });
        }
        let at_end = trainer.training(phase.steps.saturating_sub(1));
        let size = |leaf: &LeafInfo| match trainer.part(&leaf.id) {
            Some((Part::Entries(entries), _)) if phase.calibrate.is_none() => entries.len(),
            _ => leaf.shape.iter().product(),
        };
        let trained = parameters(governed, trainer.tree(), &outcome.idle, size);
        let tree = trainer.into_tree();
        let calibrate = watch.map(|watch| watch.result(at_end));
        let gauge = gauge.map(Gauge::result);
        Ok((tree, PhaseResult { calibrate, gauge, watched, ..PhaseResult::of(outcome.losses, trained) }))
    }

    /// A trainer that keeps whole rounds in place of checkpoints, its tree that of the last one where there is one.
    pub(super) fn by_rounds<R: rounds::Record>(
        &self,
        tree: Tree,
        steps: u64,
        place: Option<&Place>,
    ) -> Result<Trainer<'_>, Error> {
        let tree = rounds::resumed::<R>(place)?.unwrap_or(tree);
        let mut options = options(self.phase, steps, self.seed, &tree, None);
        options.run_id = place.map(|place| place.run_id.clone()).unwrap_or_default();
        Ok(Trainer::new(tree, options)?.scheduled(|step, leaf| self.governed.rate(step, leaf)))
    }

    /// What such training comes to.
    pub(super) fn result(&self, tree: &Tree, losses: Vec<f64>, idle: &[LeafId]) -> PhaseResult {
        PhaseResult::of(losses, parameters(self.governed, tree, idle, |leaf| leaf.shape.iter().product()))
    }
}

/// Stored parameters of the leaves that trained; `size` says how many of each.
fn parameters(
    governed: &Governed<'_>,
    tree: &Tree,
    idle: &[LeafId],
    size: impl Fn(&LeafInfo) -> usize,
) -> usize {
    let leaves = tree.leaves();
    leaves.iter().filter(|leaf| !idle.contains(&leaf.id) && governed.ever(leaf)).map(size).sum()
}

/// The weights that may be squeezed, and how.
fn squeezable(governed: &Governed<'_>) -> Vec<(Path, SqueezeOptions)> {
    governed.iter().filter_map(|(path, one)| Some((path.clone(), one.method.squeezes()?))).collect()
}

/// The weights that may grow.
fn growable(governed: &Governed<'_>) -> Vec<(Path, Arc<dyn Method>)> {
    let may = governed.iter().filter(|(_, one)| one.method.grows());
    may.map(|(path, one)| (path.clone(), Arc::clone(&one.method))).collect()
}

/// Parameters of those weights multiplied out.
fn dense_parameters(tree: &Tree, governed: &Governed<'_>) -> Result<usize, Error> {
    let size = |(path, _): (Path, SqueezeOptions)| Ok(tree.get(&path)?.shape().iter().product::<usize>());
    squeezable(governed).into_iter().map(size).sum()
}

pub(super) fn options(
    phase: &Phase,
    steps: u64,
    seed: u64,
    tree: &Tree,
    place: Option<Place>,
) -> TrainOptions {
    let (optimizer, schedule) = (&phase.optimizer, &phase.schedule);
    let peak = Schedule {
        peak: optimizer.rate,
        warmup: schedule.warmup,
        decay: schedule.decay,
        floor: schedule.floor,
    };
    let mut options = TrainOptions::new(steps, peak);
    (options.dropout, options.seed) = (phase.dropout, seed);
    let (betas, eps) = ((optimizer.beta1 as f32, optimizer.beta2 as f32), optimizer.eps as f32);
    options.optimizer = match optimizer.kind {
        OptimizerKind::AdamW => AdamW { betas, eps }.into(),
        OptimizerKind::Lamb { bias_correction, least_norm, most_norm } => {
            Lamb { betas, eps, bias_correction, norms: (least_norm as f32, most_norm as f32) }.into()
        }
    };
    options.weight_decay = optimizer.weight_decay;
    options.precision = phase.precision;
    options.gradient_checkpointing = phase.gradient_checkpointing;
    options.experts = phase.experts;
    options.clip = phase.clip;
    options.groups = groups(phase, tree);
    if let Some(Place { dir, run_id }) = place {
        options.checkpoint = Some(CheckpointOptions { dir, every: phase.checkpoint_every });
        options.run_id = run_id;
    }
    options
}

/// The groups without selectors that the rewrite has left nothing for: a method that chooses forms by evidence need
/// not have made every form that the plan allowed.
fn groups(phase: &Phase, tree: &Tree) -> Vec<Group> {
    let leaves = tree.leaves();
    let matches =
        |one: &tenfold_weight::Selector| leaves.iter().any(|leaf| one.matches_leaf(&leaf.id.path, leaf.role));
    let group = |group: &crate::recipe::Group| {
        let select = group.select.iter().map(|one| one.value.clone()).filter(&matches).collect();
        Group { select, rate: group.rate, weight_decay: group.weight_decay }
    };
    phase.groups.iter().map(group).filter(|group| !group.select.is_empty()).collect()
}
