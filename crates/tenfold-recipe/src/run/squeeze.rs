//! Squeezing: rounds of cuts and training, watched by a score on rows that are not trained on. Accepted rounds are kept.

use super::event::{Event, Reporter, Stage};
use super::phase::{Place, Straight};
use super::rounds;
use super::session::Session;
use crate::error::Error;
use crate::recipe::Squeeze;
use crate::result::{CutResult, PhaseResult, RoundResult, SqueezeResult, Stopped};
use serde::{Deserialize, Serialize};
use tenfold_eval::task::{Example, Task};
use tenfold_method::squeeze::{SqueezeOptions, Squeezer};
use tenfold_train::{Objective, Trainer};
use tenfold_weight::{Path, Tree};

/// What is squeezed, and by what it is judged.
pub(super) struct Squeezing<'s> {
    pub(super) session: &'s Session,
    pub(super) task: &'static Task,
    /// Rows that are not trained on.
    pub(super) watched: Vec<Example>,
    pub(super) squeeze: Squeeze,
    /// Training steps of a round.
    pub(super) steps: u64,
    /// The operators and how each may be cut.
    pub(super) weights: Vec<(Path, SqueezeOptions)>,
    /// Parameters of the squeezed weights multiplied out.
    pub(super) dense: usize,
    pub(super) stage: Stage,
}

/// How many parameters to stop at, and how many rounds that takes at most.
struct Bounds {
    target: usize,
    each: usize,
    rounds: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Record {
    run_id: String,
    baseline: f64,
    rounds: Vec<RoundResult>,
}

impl rounds::Record for Record {
    fn run_id(&self) -> &str {
        &self.run_id
    }
}

impl Squeezing<'_> {
    /// Trains a tree through the phase, round by round.
    ///
    /// # Errors
    /// As [`bounds`](Self::bounds) and [`run`](Self::run).
    pub(super) fn train<O: Objective>(
        &self,
        straight: &Straight<'_>,
        tree: Tree,
        objective: impl Fn(u64) -> Result<O, Error>,
        place: Option<&Place>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Tree, PhaseResult), Error> {
        let bounds = self.bounds(&tree)?;
        let steps = (self.steps * bounds.rounds).max(1);
        let trainer = straight.by_rounds::<Record>(tree, steps, place)?;
        let (tree, losses, squeeze) = self.run(&bounds, trainer, &objective(steps)?, place, reporter)?;
        let losses = losses.into_iter().map(f64::from).collect();
        let result = straight.result(&tree, losses, &[]);
        Ok((tree, PhaseResult { squeeze: Some(squeeze), ..result }))
    }

    /// The bounds of squeezing a tree.
    ///
    /// # Errors
    /// [`Error::Squeeze`] when no cuts reach the target, with the least possible.
    fn bounds(&self, tree: &Tree) -> Result<Bounds, Error> {
        let start = self.squeezer(tree)?.parameters();
        let least = self.least(tree)?;
        let target = (self.squeeze.to * self.dense as f64) as usize;
        if target < least {
            return Err(Error::Squeeze { target, least });
        }
        let each = ((self.squeeze.round * self.dense as f64) as usize).max(1);
        Ok(Bounds { target, each, rounds: start.saturating_sub(target).div_ceil(each) as u64 })
    }

    /// Squeezes until the target is reached or the score has fallen too far; the last accepted tree.
    fn run<O: Objective + ?Sized>(
        &self,
        bounds: &Bounds,
        mut trainer: Trainer<'_>,
        objective: &O,
        place: Option<&Place>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Tree, Vec<f32>, SqueezeResult), Error> {
        let mut record = match place.map(rounds::kept::<Record>).transpose()?.flatten() {
            Some((record, folder)) => {
                trainer.resume_from(&folder)?;
                record
            }
            None => {
                let baseline = self.score(trainer.tree(), reporter)?;
                let run_id = place.map(|place| place.run_id.clone()).unwrap_or_default();
                Record { run_id, baseline, rounds: Vec::new() }
            }
        };
        let mut accepted = trainer.tree().clone();
        let stopped = loop {
            let mut squeezer = self.squeezer(&accepted)?;
            if squeezer.parameters() <= bounds.target {
                break Stopped::Target;
            }
            let Some(cuts) = self.cut(&mut squeezer, bounds) else { break Stopped::NothingToCut };
            for (path, form) in squeezer.forms()? {
                trainer.replace(&path, form)?;
            }
            let number = record.rounds.len() as u64 + 1;
            let stage = self.stage;
            let outcome = trainer.run_to(number * self.steps, objective, &mut |event| {
                reporter.ask(Event::Training { stage, event })
            })?;
            if (outcome.steps_done) < number * self.steps {
                return Err(Error::Interrupted { stage });
            }
            let score = self.score(trainer.tree(), reporter)?;
            let fall = (record.baseline - score) / record.baseline.abs().max(f64::MIN_POSITIVE);
            let kept = fall <= self.squeeze.gap;
            let parameters = squeezer.parameters();
            record.rounds.push(RoundResult { parameters, score, accepted: kept, cuts });
            let told = format!("{parameters} parameters, {} {score:.1}", self.task.main().name());
            reporter.progress(stage, told, number as usize, Some(bounds.rounds as usize))?;
            if !kept {
                break Stopped::Gap;
            }
            accepted = trainer.tree().clone();
            if let Some(place) = place {
                rounds::keep(self.session, place, &record, &trainer)?;
            }
        };
        let losses = trainer.losses().to_vec();
        let Record { baseline, rounds, .. } = record;
        Ok((
            accepted,
            losses,
            SqueezeResult { metric: self.task.main().name().to_owned(), baseline, stopped, rounds },
        ))
    }

    /// The cuts of one round; nothing when no bond can be lowered.
    fn cut(&self, squeezer: &mut Squeezer, bounds: &Bounds) -> Option<Vec<CutResult>> {
        let start = squeezer.parameters();
        let mut cuts: Vec<CutResult> = Vec::new();
        while cuts.is_empty() || start - squeezer.parameters() < bounds.each {
            if squeezer.parameters() <= bounds.target {
                break;
            }
            let Some(cut) = squeezer.next() else { break };
            squeezer.cut(&cut);
            let path = squeezer.path(cut.weight).to_string();
            cuts.push(CutResult { path, bond: cut.bond, from: cut.from, to: cut.to, bound: cut.bound });
        }
        (!cuts.is_empty()).then_some(cuts)
    }

    fn squeezer(&self, tree: &Tree) -> Result<Squeezer, Error> {
        let of = |(path, options): &(Path, SqueezeOptions)| Ok((*options, path.clone(), tree.get(path)?));
        let weights = self.weights.iter().map(of).collect::<Result<Vec<_>, Error>>()?;
        Ok(Squeezer::new(&weights)?)
    }

    /// Parameters that are left when nothing can be cut any more.
    fn least(&self, tree: &Tree) -> Result<usize, Error> {
        Ok(self.squeezer(tree)?.least())
    }

    fn score(&self, tree: &Tree, reporter: &mut Reporter<'_>) -> Result<f64, Error> {
        Ok(self.session.task_score(self.stage, self.task, &self.watched, tree, reporter)?.main)
    }
}
