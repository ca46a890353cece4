//! A training phase: the recipe's words turned into the training loop's.

use super::batch::Batches;
use super::contract::{self, Asked};
use super::distill::Distill;
use super::event::{Event, Reporter, Stage};
use super::grow::{Growing, Sample};
use super::labeled::{self, Labeled};
use super::rounds;
use super::session::Session;
use super::squeeze::{self, Squeezing};
use crate::error::Error;
use crate::plan::{Resolved, Trained, selected, trained};
use crate::recipe::{Objective, Phase, Recipe};
use crate::result::PhaseResult;
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_eval::task::{Example, MAX_TOKENS};
use tenfold_method::Method;
use tenfold_method::squeeze::SqueezeOptions;
use tenfold_tensor::optim::AdamW;
use tenfold_train::{CheckpointOptions, Group, Schedule, TrainOptions, Trainer};
use tenfold_weight::{LeafId, LeafInfo, Path, Tree};

/// Where a phase keeps its checkpoints, and what a checkpoint must belong to.
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
    let methods = last_methods(resolved);
    let schedule = |step: u64, leaf: &LeafInfo| {
        let method = methods.get(&leaf.id.path).map(|method| method.as_ref());
        trained(phase, step, &Trained { method, path: &leaf.id.path, role: leaf.role })
    };
    let mut result = PhaseResult::of(Vec::new(), 0);
    let (losses, tree, idle, asked) = match &phase.objective {
        Objective::Distill { text, hidden, tokens } => {
            let sequences = session.sequences(text, stage, reporter)?;
            let batches = Batches::new(Arc::clone(&sequences), seed, *tokens, phase.steps);
            let (model, teacher) = (session.model(), session.teacher());
            let objective = Distill { model, teacher, batches: &batches, hidden: *hidden };
            let options = options(phase, phase.steps, seed, &tree, place);
            let trainer = Trainer::new(tree, options)?.scheduled(schedule);
            let Outcome { losses, tree, idle } = straight(trainer, &objective, stage, reporter)?;
            let most = session.model().network.max_tokens();
            let short = |one: &Vec<u32>| one[..one.len().min(most)].to_vec();
            (losses, tree, idle, Asked::Texts(sequences.iter().take(ASKED).map(short).collect()))
        }
        Objective::Task { task, batch, rows } => {
            let examples = session.examples(task)?;
            let held_out = phase.squeeze.map_or(0.0, |squeeze| squeeze.held_out);
            let (used, held) = labeled::split(examples.len(), *rows, held_out, recipe.seed);
            let used: Vec<&Example> = used.iter().map(|at| &examples[*at]).collect();
            let trained = match (phase.squeeze, phase.grow) {
                (Some(squeeze), _) => {
                    let squeezing = Squeezing {
                        session,
                        task,
                        watched: held.iter().map(|at| examples[*at].clone()).collect(),
                        squeeze,
                        steps: phase.steps,
                        weights: squeezable(&methods),
                        dense: dense_parameters(&tree, &methods)?,
                        stage,
                    };
                    let bounds = squeezing.bounds(&tree)?;
                    let steps = (phase.steps * bounds.rounds).max(1);
                    let objective = Labeled::new(session.model(), &used, seed, *batch, steps)?;
                    let tree = rounds::resumed::<squeeze::Record>(place.as_ref())?.unwrap_or(tree);
                    let options = by_rounds(phase, steps, seed, &tree, place.as_ref());
                    let trainer = Trainer::new(tree, options)?;
                    let trainer = trainer.scheduled(schedule);
                    let (tree, losses, squeezed) =
                        squeezing.run(&bounds, trainer, &objective, place.as_ref(), reporter)?;
                    result.squeeze = Some(squeezed);
                    let losses = losses.into_iter().map(f64::from).collect();
                    Outcome { losses, tree, idle: Vec::new() }
                }
                (None, Some(grow)) => {
                    let objective = Labeled::new(session.model(), &used, seed, *batch, phase.steps)?;
                    let growing = Growing {
                        session,
                        phase,
                        grow,
                        seed,
                        candidates: growable(&methods),
                        sample: Sample::new(session.model(), &used, seed, *batch, grow.rows)?,
                        stage,
                    };
                    let (outcome, grown) = growing.train(tree, &objective, &schedule, place, reporter)?;
                    result.grow = Some(grown);
                    outcome
                }
                (None, None) => {
                    let objective = Labeled::new(session.model(), &used, seed, *batch, phase.steps)?;
                    let options = options(phase, phase.steps, seed, &tree, place);
                    let trainer = Trainer::new(tree, options)?.scheduled(schedule);
                    straight(trainer, &objective, stage, reporter)?
                }
            };
            let row = |one: &&Example| {
                Ok(session.model().tokenize_pair(&one.first, one.second.as_deref(), MAX_TOKENS)?)
            };
            let asked = used.iter().take(ASKED).map(row).collect::<Result<_, Error>>()?;
            (trained.losses, trained.tree, trained.idle, Asked::Rows(asked))
        }
    };
    result.losses = losses;
    result.trained = ever_trained(phase, &tree, &idle, schedule);
    if index + 1 < recipe.phases.len() {
        return Ok((tree, result));
    }
    let temporary: Vec<&Path> =
        methods.iter().filter(|(_, method)| method.contracts()).map(|(path, _)| *path).collect();
    let (tree, contraction) = contract::contracted(session, tree, &temporary, &asked)?;
    result.contraction = contraction;
    Ok((tree, result))
}

/// Rows or texts on which a contraction is checked.
const ASKED: usize = 32;

/// What training leaves: losses, the tree, and leaves that never got a gradient.
pub(super) struct Outcome {
    pub(super) losses: Vec<f64>,
    pub(super) tree: Tree,
    pub(super) idle: Vec<LeafId>,
}

/// Training without changes of forms, from its checkpoint where there is one.
pub(super) fn straight<O: tenfold_train::Objective + ?Sized>(
    mut trainer: Trainer<'_>,
    objective: &O,
    stage: Stage,
    reporter: &mut Reporter<'_>,
) -> Result<Outcome, Error> {
    trainer.resume_if_present()?;
    let outcome = trainer.run(objective, &mut |event| reporter.ask(Event::Training { stage, event }))?;
    if outcome.stopped {
        return Err(Error::Interrupted { stage });
    }
    Ok(Outcome { losses: outcome.losses, tree: trainer.into_tree(), idle: outcome.idle })
}

/// Stored parameters of the leaves that trained at some step.
fn ever_trained(
    phase: &Phase,
    tree: &Tree,
    idle: &[LeafId],
    schedule: impl Fn(u64, &LeafInfo) -> Option<f32>,
) -> usize {
    let ever = |leaf: &LeafInfo| {
        selected(phase, &leaf.id.path, leaf.role)
            && (0..phase.steps).any(|step| schedule(step, leaf).is_some())
    };
    let leaves = tree.leaves();
    let trained = leaves.iter().filter(|leaf| !idle.contains(&leaf.id) && ever(leaf));
    trained.map(|leaf| leaf.shape.iter().product::<usize>()).sum()
}

/// The weights that may be squeezed, and how.
fn squeezable(methods: &BTreeMap<&Path, &Arc<dyn Method>>) -> Vec<(Path, SqueezeOptions)> {
    methods.iter().filter_map(|(path, method)| Some(((*path).clone(), method.squeezes()?))).collect()
}

/// The weights that may grow.
fn growable(methods: &BTreeMap<&Path, &Arc<dyn Method>>) -> Vec<(Path, Arc<dyn Method>)> {
    let may = methods.iter().filter(|(_, method)| method.grows());
    may.map(|(path, method)| ((*path).clone(), Arc::clone(method))).collect()
}

/// Parameters of those weights multiplied out.
fn dense_parameters(tree: &Tree, methods: &BTreeMap<&Path, &Arc<dyn Method>>) -> Result<usize, Error> {
    let size = |(path, _): (Path, SqueezeOptions)| Ok(tree.get(&path)?.shape().iter().product::<usize>());
    squeezable(methods).into_iter().map(size).sum()
}

/// The method that rewrote each weight last.
fn last_methods(resolved: &Resolved) -> BTreeMap<&Path, &Arc<dyn Method>> {
    let steps = resolved.methods.iter().zip(&resolved.paths);
    steps.flat_map(|(method, paths)| paths.iter().map(move |path| (path, method))).collect()
}

/// Options of a training that keeps whole rounds in place of checkpoints.
pub(super) fn by_rounds(
    phase: &Phase,
    steps: u64,
    seed: u64,
    tree: &Tree,
    place: Option<&Place>,
) -> TrainOptions {
    let mut options = options(phase, steps, seed, tree, None);
    options.run_id = place.map(|place| place.run_id.clone()).unwrap_or_default();
    options
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
    options.adamw =
        AdamW { betas: (optimizer.beta1 as f32, optimizer.beta2 as f32), eps: optimizer.eps as f32 };
    options.weight_decay = optimizer.weight_decay;
    options.precision = phase.precision;
    options.gradient_checkpointing = phase.gradient_checkpointing;
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
