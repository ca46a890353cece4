//! Over-parameterization in the course of training: weights are ranked within their kind, and the most important ones go
//! on in a larger form.
//!
//! Selections on the way are rounds, kept like those of squeezing. A selection after a training of its own is one record,
//! `PLACE/selected.toml`; the training that counts then begins anew.

use super::event::{Event, Reporter};
use super::labeled::Labeled;
use super::phase::{Place, Straight, options};
use super::ranking::{Ranking, choose, largest_kind};
use super::rounds;
use super::session::Session;
use crate::error::Error;
use crate::file;
use crate::recipe::{Grow, Importance, Selection};
use crate::result::{Chosen, GrowResult, GrowRound, PhaseResult};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use tenfold_eval::task::Example;
use tenfold_method::Method;
use tenfold_model::Model;
use tenfold_tensor::Array;
use tenfold_train::{Objective, Share, Trainer};
use tenfold_weight::{Form, Path, Scope, Tree};

/// The record of a selection after a training of its own.
const SELECTED: &str = "selected.toml";

/// The selections of an earlier attempt.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Record {
    run_id: String,
    rounds: Vec<GrowRound>,
}

impl rounds::Record for Record {
    fn run_id(&self) -> &str {
        &self.run_id
    }
}

/// Training rows on which losses are taken, in batches.
pub(super) struct Sample<'s> {
    rows: Labeled<'s>,
    batches: u64,
}

impl<'s> Sample<'s> {
    /// The first `count` of a task's training rows in the order of a seed.
    ///
    /// # Errors
    /// Faults of the tokenizer.
    pub(super) fn new(
        model: &'s Model,
        examples: &[&Example],
        seed: u64,
        batch: usize,
        count: usize,
    ) -> Result<Self, Error> {
        let batches = count.min(examples.len()).div_ceil(batch.max(1)) as u64;
        Ok(Self { rows: Labeled::new(model, examples, seed, batch, batches)?, batches })
    }

    /// The mean loss of a tree, without dropout.
    fn loss(&self, tree: &Tree) -> Result<f64, Error> {
        let mut sum = 0.0;
        for batch in 0..self.batches {
            let loss = self.rows.loss(&Scope::evaluate(tree), batch, Share::WHOLE)?.whole();
            sum += loss.map_or(0.0, |loss| f64::from(loss.value().item()));
        }
        Ok(sum / self.batches.max(1) as f64)
    }
}

/// What may grow in a phase, and how it is ranked.
pub(super) struct Growing<'s> {
    pub(super) session: &'s Session,
    pub(super) straight: &'s Straight<'s>,
    pub(super) grow: Grow,
    /// Weights with their methods, in order of their paths.
    pub(super) candidates: Vec<(Path, Arc<dyn Method>)>,
    pub(super) sample: Sample<'s>,
}

impl Growing<'_> {
    /// Trains a tree through the phase, with its selections. `pass` is the number of batches in which all rows are seen.
    ///
    /// # Errors
    /// [`Error::Grow`] where a candidate is no plain matrix, whose score would be that of a part; faults of training and
    /// of files; [`Error::Interrupted`].
    pub(super) fn train<O: Objective + ?Sized>(
        &self,
        tree: Tree,
        objective: &O,
        pass: u64,
        place: Option<Place>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Tree, PhaseResult), Error> {
        for (path, _) in &self.candidates {
            let form = tree.get(path)?;
            if form.as_array().is_none() {
                return Err(Error::Grow { path: path.clone(), form: form.describe() });
            }
        }
        let paths = self.candidates.iter().map(|(path, _)| path.clone()).collect();
        let ranking = Ranking::new(self.grow.score, paths);
        match self.grow.select {
            Selection::Static => self.after_scouting(tree, &ranking, objective, pass, place, reporter),
            Selection::Dynamic => self.on_the_way(tree, &ranking, objective, pass, place.as_ref(), reporter),
        }
    }

    /// One selection after a training of its own.
    fn after_scouting<O: Objective + ?Sized>(
        &self,
        mut tree: Tree,
        ranking: &Ranking,
        objective: &O,
        pass: u64,
        place: Option<Place>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Tree, PhaseResult), Error> {
        let file = place.as_ref().map(|place| place.dir.join(SELECTED));
        let known = match (&file, &place) {
            (Some(file), Some(place)) => rounds::read::<Record>(file, place)?,
            _ => None,
        };
        let chosen = match known.and_then(|record| record.rounds.into_iter().next()) {
            Some(round) => round.chosen,
            None => {
                let beside =
                    |place: &Place| Place { dir: place.dir.join("scouting"), run_id: place.run_id.clone() };
                let also = (self.grow.score != Importance::Zero).then_some(ranking);
                let straight = Straight { also, ..*self.straight };
                let scouting = place.as_ref().map(beside);
                let (scouted, _) = straight.run(tree.clone(), objective, pass, scouting, reporter)?;
                self.next(&scouted, ranking, &BTreeSet::new(), self.grow.most, reporter)?
            }
        };
        for (path, form) in self.larger(&tree, &chosen)? {
            tree.insert(path, form);
        }
        let rounds = vec![GrowRound { step: 0, parameters: tree.parameters(), chosen }];
        if let (Some(file), Some(place)) = (&file, &place) {
            file::create_folder(&place.dir)?;
            rounds::write(file, &Record { run_id: place.run_id.clone(), rounds: rounds.clone() })?;
        }
        let (tree, result) = self.straight.run(tree, objective, pass, place, reporter)?;
        let grow = GrowResult { scouting: self.straight.phase.steps, rounds };
        Ok((tree, PhaseResult { grow: Some(grow), ..result }))
    }

    /// Selections in rounds, from the last one that was kept.
    fn on_the_way<O: Objective + ?Sized>(
        &self,
        tree: Tree,
        mut ranking: &Ranking,
        objective: &O,
        pass: u64,
        place: Option<&Place>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Tree, PhaseResult), Error> {
        let Straight { phase, governed, seed, stage, .. } = *self.straight;
        let (steps, sums) = (phase.steps, ranking);
        let options = options(phase, steps, seed, &tree, None);
        let mut trainer = self.straight.by_rounds::<Record>(tree, steps, place)?;
        if self.grow.score != Importance::Zero {
            trainer = trainer.monitored(&mut ranking);
        }
        governed.prepare(&mut trainer)?;
        let mut record = match place.map(rounds::kept::<Record>).transpose()?.flatten() {
            Some((record, folder)) => {
                trainer.resume_from(&folder)?;
                record
            }
            None => {
                governed.choose(&mut trainer, &options, objective, pass, (stage, reporter))?;
                let run_id = place.map(|place| place.run_id.clone()).unwrap_or_default();
                Record { run_id, rounds: Vec::new() }
            }
        };
        let to = |trainer: &mut Trainer<'_>, until: u64, reporter: &mut Reporter<'_>| {
            let outcome = trainer
                .run_to(until, objective, &mut |event| reporter.ask(Event::Training { stage, event }))?;
            if outcome.steps_done < until { Err(Error::Interrupted { stage }) } else { Ok(outcome) }
        };
        for step in self.rounds(steps).into_iter().skip(record.rounds.len()) {
            to(&mut trainer, step, reporter)?;
            let taken = record.rounds.iter().flat_map(|round| &round.chosen).map(|one| one.path.clone());
            let chosen = self.next(trainer.tree(), sums, &taken.collect(), self.grow.each, reporter)?;
            for (path, form) in self.larger(trainer.tree(), &chosen)? {
                trainer.replace(&path, form)?;
            }
            record.rounds.push(GrowRound { step, parameters: trainer.tree().parameters(), chosen });
            if let Some(place) = place {
                rounds::keep(self.session, place, &record, &trainer)?;
            }
        }
        let outcome = to(&mut trainer, steps, reporter)?;
        let tree = trainer.into_tree();
        let result = self.straight.result(&tree, outcome.losses, &outcome.idle);
        let grow = GrowResult { scouting: 0, rounds: record.rounds };
        Ok((tree, PhaseResult { grow: Some(grow), ..result }))
    }

    /// The candidates that come next, the most important first within each kind, and nothing more of a kind than `limit`
    /// in all.
    fn next(
        &self,
        tree: &Tree,
        ranking: &Ranking,
        taken: &BTreeSet<String>,
        count: usize,
        reporter: &mut Reporter<'_>,
    ) -> Result<Vec<Chosen>, Error> {
        let scores = match self.grow.score {
            Importance::Zero => self.zeroed(tree, taken, reporter)?,
            _ => ranking.take(),
        };
        let paths: Vec<&str> = self.candidates.iter().map(|(path, _)| path.as_str()).collect();
        let chosen = choose(&paths, &scores, taken, count, self.grow.most);
        Ok(chosen.into_iter().map(|at| Chosen { path: paths[at].to_owned(), score: scores[at] }).collect())
    }

    /// The change of the loss when each weight that is left is zero.
    fn zeroed(
        &self,
        tree: &Tree,
        taken: &BTreeSet<String>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Vec<f64>, Error> {
        let whole = self.sample.loss(tree)?;
        let mut scores = Vec::new();
        for (path, _) in &self.candidates {
            reporter.progress(
                self.straight.stage,
                "importance",
                scores.len(),
                Some(self.candidates.len()),
            )?;
            if taken.contains(path.as_str()) {
                scores.push(0.0);
                continue;
            }
            let mut without = tree.clone();
            without.insert(path.clone(), Form::dense(Array::zeros(&tree.get(path)?.shape())));
            scores.push((whole - self.sample.loss(&without)?).abs());
        }
        Ok(scores)
    }

    /// The larger forms of weights.
    fn larger(&self, tree: &Tree, chosen: &[Chosen]) -> Result<Vec<(Path, Form)>, Error> {
        let of = |one: &Chosen| {
            let candidate = self.candidates.iter().find(|(path, _)| path.as_str() == one.path);
            candidate.map(|(path, method)| Ok((path.clone(), method.grown(path, tree.get(path)?)?)))
        };
        chosen.iter().filter_map(of).collect()
    }

    /// How many selections there are on the way, and the step before each.
    fn rounds(&self, steps: u64) -> Vec<u64> {
        let most = self.grow.most.min(largest_kind(self.candidates.iter().map(|(path, _)| path)));
        let rounds = most.div_ceil(self.grow.each) as u64;
        let last = (self.grow.until * steps as f64).round().clamp(1.0, steps as f64);
        (1..=rounds).map(|round| ((last * round as f64 / rounds as f64) as u64).max(1)).collect()
    }
}
