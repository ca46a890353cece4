//! A training phase: the recipe's words turned into the training loop's.

use super::batch::Batches;
use super::distill::Distill;
use super::event::{Event, Reporter, Stage};
use super::labeled::{self, Labeled};
use super::session::Session;
use super::squeeze::{self, Squeezing};
use crate::error::Error;
use crate::plan::{Resolved, Trained, selected, trained};
use crate::recipe::{Objective, Phase, Recipe};
use crate::result::{PhaseResult, SqueezeResult};
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_eval::task::Example;
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
    let (losses, tree, idle, squeeze) = match &phase.objective {
        Objective::Distill { text, hidden, tokens } => {
            let sequences = session.sequences(text, stage, reporter)?;
            let batches = Batches::new(sequences, seed, *tokens, phase.steps);
            let (model, teacher) = (session.model(), session.teacher());
            let objective = Distill { model, teacher, batches: &batches, hidden: *hidden };
            let options = options(phase, phase.steps, seed, &tree, place);
            let trainer = Trainer::new(tree, options)?.scheduled(schedule);
            straight(trainer, &objective, stage, reporter)?
        }
        Objective::Task { task, batch, rows } => {
            let examples = session.examples(task)?;
            let held_out = phase.squeeze.map_or(0.0, |squeeze| squeeze.held_out);
            let (used, held) = labeled::split(examples.len(), *rows, held_out, recipe.seed);
            let used: Vec<&Example> = used.iter().map(|at| &examples[*at]).collect();
            let Some(squeeze) = phase.squeeze else {
                let objective = Labeled::new(session.model(), &used, seed, *batch, phase.steps)?;
                let options = options(phase, phase.steps, seed, &tree, place);
                let trainer = Trainer::new(tree, options)?.scheduled(schedule);
                let (losses, tree, idle, squeeze) = straight(trainer, &objective, stage, reporter)?;
                return Ok(finished(phase, tree, losses, &idle, squeeze, schedule));
            };
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
            let tree = squeeze::resumed(place.as_ref())?.unwrap_or(tree);
            let mut options = options(phase, steps, seed, &tree, None);
            options.run_id = place.as_ref().map(|place| place.run_id.clone()).unwrap_or_default();
            let trainer = Trainer::new(tree, options)?.scheduled(schedule);
            let (tree, losses, result) =
                squeezing.run(&bounds, trainer, &objective, place.as_ref(), reporter)?;
            (losses.into_iter().map(f64::from).collect(), tree, Vec::new(), Some(result))
        }
    };
    Ok(finished(phase, tree, losses, &idle, squeeze, schedule))
}

/// What training leaves: losses, the tree, leaves that never got a gradient, and what squeezing did.
type Outcome = (Vec<f64>, Tree, Vec<LeafId>, Option<SqueezeResult>);

/// Training without squeezing, from its checkpoint where there is one.
fn straight<O: tenfold_train::Objective>(
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
    Ok((outcome.losses, trainer.into_tree(), outcome.idle, None))
}

/// A phase's result, with the parameters of the leaves that trained.
fn finished(
    phase: &Phase,
    tree: Tree,
    losses: Vec<f64>,
    idle: &[LeafId],
    squeeze: Option<SqueezeResult>,
    schedule: impl Fn(u64, &LeafInfo) -> Option<f32>,
) -> (Tree, PhaseResult) {
    let ever = |leaf: &LeafInfo| {
        selected(phase, &leaf.id.path, leaf.role)
            && (0..phase.steps).any(|step| schedule(step, leaf).is_some())
    };
    let leaves = tree.leaves();
    let trained = leaves.iter().filter(|leaf| !idle.contains(&leaf.id) && ever(leaf));
    let trained = trained.map(|leaf| leaf.shape.iter().product::<usize>()).sum();
    (tree, PhaseResult { losses, trained, squeeze })
}

/// The weights that may be squeezed, and how.
fn squeezable(methods: &BTreeMap<&Path, &Arc<dyn Method>>) -> Vec<(Path, SqueezeOptions)> {
    methods.iter().filter_map(|(path, method)| Some(((*path).clone(), method.squeezes()?))).collect()
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

fn options(phase: &Phase, steps: u64, seed: u64, tree: &Tree, place: Option<Place>) -> TrainOptions {
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
