//! A training phase: the recipe's words turned into the training loop's.

use super::batch::Batches;
use super::distill::Distill;
use super::event::{Event, Reporter, Stage};
use super::session::Session;
use crate::error::Error;
use crate::plan::{Resolved, Trained, selected, trained};
use crate::recipe::{Objective, Phase, Recipe};
use crate::result::PhaseResult;
use std::collections::BTreeMap;
use std::sync::Arc;
use tenfold_method::Method;
use tenfold_tensor::optim::AdamW;
use tenfold_train::{CheckpointOptions, Group, Schedule, TrainOptions, Trainer};
use tenfold_weight::{LeafInfo, Path, Tree};

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
    let Objective::Distill { text, hidden } = &phase.objective;
    let sequences = session.sequences(text, stage, reporter)?;
    // Phases over one text see different batches.
    let seed = recipe.seed.wrapping_add(index as u64);
    let batches = Batches::new(sequences, seed, phase.tokens, phase.steps);
    let objective =
        Distill { model: session.model(), teacher: session.teacher(), batches: &batches, hidden: *hidden };

    let methods = last_methods(resolved);
    let schedule = |step: u64, leaf: &LeafInfo| {
        let method = methods.get(&leaf.id.path).map(|method| method.as_ref());
        trained(phase, step, &Trained { method, path: &leaf.id.path, role: leaf.role })
    };
    let leaves = tree.leaves();
    let options = options(phase, &tree, place);
    let mut trainer = Trainer::new(tree, options)?.scheduled(schedule);
    trainer.resume_if_present()?;
    let outcome = trainer.run(&objective, &mut |event| reporter.ask(Event::Training { stage, event }))?;
    if outcome.stopped {
        return Err(Error::Interrupted { stage });
    }
    let ever = |leaf: &LeafInfo| {
        selected(phase, &leaf.id.path, leaf.role)
            && (0..phase.steps).any(|step| schedule(step, leaf).is_some())
    };
    let trained = leaves.iter().filter(|leaf| !outcome.idle.contains(&leaf.id) && ever(leaf));
    let trained = trained.map(|leaf| leaf.shape.iter().product::<usize>()).sum();
    let result = PhaseResult { losses: outcome.losses, trained };
    Ok((trainer.into_tree(), result))
}

/// The method that rewrote each weight last.
fn last_methods(resolved: &Resolved) -> BTreeMap<&Path, &Arc<dyn Method>> {
    let steps = resolved.methods.iter().zip(&resolved.paths);
    steps.flat_map(|(method, paths)| paths.iter().map(move |path| (path, method))).collect()
}

fn options(phase: &Phase, tree: &Tree, place: Option<Place>) -> TrainOptions {
    let (optimizer, schedule) = (&phase.optimizer, &phase.schedule);
    let peak = Schedule {
        peak: optimizer.rate,
        warmup: schedule.warmup,
        decay: schedule.decay,
        floor: schedule.floor,
    };
    let mut options = TrainOptions::new(phase.steps, peak);
    options.adamw =
        AdamW { betas: (optimizer.beta1 as f32, optimizer.beta2 as f32), eps: optimizer.eps as f32 };
    options.weight_decay = optimizer.weight_decay;
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
