//! A runner: one recipe from its model to its receipt, in a folder that survives being stopped at any moment.
//!
//! ```text
//! OUT/state.toml       which stages are finished (not for reading by people)
//! OUT/work/            trees and checkpoints between stages; removed at the end
//! OUT/model/           the result
//! OUT/receipt.toml     its record
//! OUT/report.html      the same for people
//! ```

use super::company::{self, Company};
use super::event::{Event, Flow, Reporter, Stage};
use super::fetch::{self, Found};
use super::folder::Folder;
use super::phase::Place;
use super::rewrite::Rewritten;
use super::session::{Session, SessionOptions, Variant};
use super::state::State;
use super::summary::{self, Shown};
use crate::default::TEACHER_BYTES;
use crate::error::Error;
use crate::plan::Resolved;
use crate::receipt::{Draft, Inputs, Receipt, hash_of, peak_memory, program};
use crate::recipe::Recipe;
use crate::result::WeightResult;
use std::path::PathBuf;
use std::rc::Rc;
use tenfold_format::atomic;
use tenfold_format::source::FetchOptions;
use tenfold_model::Model;
use tenfold_train::Collective;
use tenfold_weight::{Path, Tree};

/// Where a run works and what it may use.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run's folder.
    pub out: PathBuf,
    /// Where the data of tasks is.
    pub data: Option<PathBuf>,
    /// How models are fetched.
    pub fetch: FetchOptions,
    /// Whether to go on with an earlier run of the same recipe in the same folder; otherwise it starts anew.
    pub resume: bool,
    /// Bytes of the untouched model's answers that are kept in memory.
    pub teacher_bytes: usize,
}

impl RunOptions {
    /// A run in a folder, going on where an earlier one stopped, with models from the usual cache.
    pub fn new(out: impl Into<PathBuf>) -> Self {
        Self {
            out: out.into(),
            data: None,
            fetch: FetchOptions::default(),
            resume: true,
            teacher_bytes: TEACHER_BYTES,
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything is done.
    Finished(Box<Finished>),
    /// Everything is done, and the first of several ranks has what came of it.
    Assisted,
    /// It was stopped; the same recipe in the same folder goes on from there.
    Interrupted {
        /// Where it stopped.
        stage: Stage,
    },
}

/// A finished run.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The record.
    pub receipt: Receipt,
    /// The folder with the result.
    pub model: PathBuf,
    /// The receipt's file.
    pub receipt_path: PathBuf,
    /// The page for people.
    pub report_path: PathBuf,
}

impl Finished {
    /// Whether the budget was kept; nothing without one.
    pub fn within_budget(&self) -> Option<bool> {
        self.receipt.record.budget.map(|budget| budget.kept)
    }
}

/// Runs one recipe.
pub struct Runner<'r> {
    pub(super) recipe: &'r Recipe,
    pub(super) options: RunOptions,
    pub(super) company: Company,
}

/// What stands while a run works.
pub(super) struct Work<'w> {
    pub(super) recipe: &'w Recipe,
    company: &'w Company,
    folder: Folder,
    pub(super) state: State,
    inputs: Inputs,
    pub(super) session: Session,
    resolved: Resolved,
}

impl<'r> Runner<'r> {
    /// A runner of a recipe.
    pub fn new(recipe: &'r Recipe, options: RunOptions) -> Self {
        Self { recipe, options, company: Company::default() }
    }

    /// The same runner as one of several ranks that train together. The first one does everything else alone, and has the
    /// run's folder; all others need is what the recipe reads.
    pub fn among(self, ranks: Rc<dyn Collective>) -> Self {
        Self { company: Company::of(ranks), ..self }
    }

    /// Carries the recipe through. `events` hears of everything and may stop the run at any event.
    ///
    /// # Errors
    /// Faults of the recipe, the model, the texts, the methods, training, evaluation and files. What is finished is
    /// kept, so the same run goes on when the fault is mended. Among ranks [`Error::RanksDiffer`] and [`Error::OneProcess`].
    pub fn run(&self, events: &mut dyn FnMut(Event) -> Flow) -> Result<Outcome, Error> {
        let mut reporter = Reporter::new(events);
        if !self.company.is_alone() {
            company::check(self.recipe)?;
        }
        if !self.company.is_first() {
            return match self.assist(&mut reporter) {
                Ok(()) => Ok(Outcome::Assisted),
                Err(Error::Interrupted { stage }) => Ok(Outcome::Interrupted { stage }),
                Err(error) => Err(error),
            };
        }
        match self.finish(&mut reporter) {
            Ok(finished) => Ok(Outcome::Finished(Box::new(finished))),
            Err(Error::Interrupted { stage }) => Ok(Outcome::Interrupted { stage }),
            Err(error) => Err(error),
        }
    }

    fn finish(&self, reporter: &mut Reporter<'_>) -> Result<Finished, Error> {
        let (recipe, options) = (self.recipe, &self.options);
        if let (Some(task), None) = (recipe.needs_data(), &options.data) {
            return Err(Error::NeedsData { task });
        }
        let folder = Folder::open(&options.out)?;
        let found = self.company.first_then_others(|| {
            reporter.stage(Stage::Fetch, |on| fetch::find(recipe, &options.fetch, on))
        })?;
        let inputs = Inputs::of(recipe, &found, options.data.as_deref())?;
        inputs.check(&recipe.hashes)?;
        self.company.compare(recipe, &inputs)?;
        let done = self.work(folder, &found, inputs, reporter);
        // Whoever waits for a word gets one, also where something failed.
        let dismissed = self.company.dismiss();
        let finished = done?;
        dismissed?;
        Ok(finished)
    }

    fn work(
        &self,
        folder: Folder,
        found: &Found,
        inputs: Inputs,
        reporter: &mut Reporter<'_>,
    ) -> Result<Finished, Error> {
        let (recipe, options) = (self.recipe, &self.options);
        let id = run_id(recipe, &inputs);
        let known = if options.resume { State::read(folder.path(), &id)? } else { None };
        if known.as_ref().is_some_and(|state| state.finished) && folder.is_complete() {
            folder.clear_work()?;
            return folder.finished();
        }
        // Somebody may have removed what the state counts on.
        let state = match known.filter(|state| !state.rewritten || folder.tree(state.phases.len()).is_dir()) {
            Some(state) => state,
            None => {
                folder.clear_work()?;
                State::fresh(id)
            }
        };
        let model = reporter.stage(Stage::Load, |_| found.open(recipe))?;
        let session_options =
            SessionOptions { data: options.data.clone(), teacher_bytes: options.teacher_bytes };
        let session = Session::open(model, recipe, &session_options)?.among(self.company.ranks());
        let resolved = Resolved::of(recipe, &session.outline())?;
        reporter.send(Stage::Load, Event::Planned(Box::new(resolved.plan.clone())))?;
        let company = &self.company;
        let mut work = Work { recipe, company, folder, state, inputs, session, resolved };
        let done = work.carry_out(reporter);
        // Also of an attempt that failed: the next one adds to its times.
        work.note(reporter);
        let noted = work.state.write(work.folder.path());
        let (tree, finished) = done?;
        noted?;
        drop(tree);
        Ok(finished)
    }
}

/// What rewriting did to each weight, with the form and size that it has by now: a phase may have made it smaller.
fn as_stored(weights: &[WeightResult], tree: &Tree) -> Vec<WeightResult> {
    let now = |one: &WeightResult| match tree.get(&Path::new(&one.path)) {
        Ok(form) => WeightResult { form: form.describe(), parameters: form.parameters(), ..one.clone() },
        Err(_) => one.clone(),
    };
    weights.iter().map(now).collect()
}

/// What tells a run from all others: its recipe, what it reads and what carries it out.
pub(super) fn run_id(recipe: &Recipe, inputs: &Inputs) -> String {
    let mut text = format!("{}\n{}\n", program(), recipe.to_toml());
    for (name, hash) in &inputs.hashes {
        text.push_str(&format!("{name} {hash}\n"));
    }
    hash_of(text.as_bytes())
}

/// The same of one of its phases, from 0.
pub(super) fn phase_id(run: &str, index: usize) -> String {
    hash_of(format!("{run} phase {}", index + 1).as_bytes())
}

impl Work<'_> {
    /// All stages that no earlier attempt has finished.
    fn carry_out(&mut self, reporter: &mut Reporter<'_>) -> Result<(Tree, Finished), Error> {
        // Needed by later measurements, so taken again by every attempt.
        let original = self.session.original_with(reporter)?;
        self.state.original = Some(original);
        self.study(reporter)?;
        let mut tree = self.rewritten(reporter)?;
        if self.recipe.only_studies() {
            // What is saved is the untouched model.
        } else if self.state.truncated.is_some() {
            reporter.before(Stage::Truncated, self.state.seconds(Stage::Truncated));
        } else {
            let scores =
                reporter.stage(Stage::Truncated, |on| self.session.scores(Stage::Truncated, &tree, on))?;
            self.state.truncated = Some(scores);
            self.record(reporter)?;
        }
        for index in 0..self.recipe.phases.len() {
            tree = self.phase(index, tree, reporter)?;
        }
        if self.state.healed.is_none() && !self.recipe.phases.is_empty() {
            let scores = reporter.stage(Stage::Healed, |on| self.session.scores(Stage::Healed, &tree, on))?;
            self.state.healed = Some(scores);
            self.record(reporter)?;
        }
        let finished = self.save(&tree, reporter)?;
        Ok((tree, finished))
    }

    /// The tree after the last finished stage, or a freshly rewritten one.
    fn rewritten(&mut self, reporter: &mut Reporter<'_>) -> Result<Tree, Error> {
        if self.state.rewritten {
            reporter.before(Stage::Rewrite, self.state.seconds(Stage::Rewrite));
            return Ok(Model::load(&self.folder.tree(self.state.phases.len()))?.tree);
        }
        let evidence = self.session.evidence_for(&self.resolved, reporter)?;
        let Rewritten { tree, weights } = self.session.rewrite(&self.resolved, &evidence, reporter)?;
        self.keep(&tree, 0)?;
        self.state.weights = weights;
        self.state.rewritten = true;
        self.record(reporter)?;
        Ok(tree)
    }

    fn phase(&mut self, index: usize, tree: Tree, reporter: &mut Reporter<'_>) -> Result<Tree, Error> {
        let stage = Stage::Phase(index + 1);
        if index < self.state.phases.len() {
            reporter.before(stage, self.state.seconds(stage));
            return Ok(tree);
        }
        let dir = self.folder.checkpoint(index + 1);
        let place = Some(Place { dir: dir.clone(), run_id: phase_id(&self.state.run_id, index) });
        self.company.send(index, &[&self.folder.tree(index), &dir])?;
        reporter.set_patient(!self.company.is_alone());
        let (tree, result) = self.session.phase(self.recipe, index, &self.resolved, tree, place, reporter)?;
        reporter.set_patient(false);
        self.company.trained();
        self.keep(&tree, index + 1)?;
        self.state.phases.push(result);
        self.record(reporter)?;
        // Recorded: what the phase began with and its checkpoints are needed no more.
        self.folder.remove(&dir)?;
        self.folder.remove(&self.folder.tree(index))?;
        Ok(tree)
    }

    /// Keeps a tree between stages.
    fn keep(&self, tree: &Tree, phases: usize) -> Result<(), Error> {
        self.session.model().with_tree(tree.clone()).save(&self.folder.tree(phases), None)?;
        Ok(())
    }

    pub(super) fn record(&mut self, reporter: &mut Reporter<'_>) -> Result<(), Error> {
        self.note(reporter);
        self.state.write(self.folder.path())
    }

    fn note(&mut self, reporter: &mut Reporter<'_>) {
        self.state.add_seconds(reporter.take_seconds());
        self.state.add_trained(self.company.ranks().size(), reporter.take_trained());
        self.state.peak_memory = self.state.peak_memory.max(peak_memory());
    }

    fn save(&mut self, tree: &Tree, reporter: &mut Reporter<'_>) -> Result<Finished, Error> {
        let finished = reporter.stage(Stage::Save, |on| {
            on.progress(Stage::Save, "model", 0, Some(3))?;
            let model = self.session.model().with_tree(tree.clone());
            model.save(&self.folder.model(), Some(self.provenance()))?;
            on.progress(Stage::Save, "receipt", 1, Some(3))?;
            let variant = self.variant(tree);
            let original = self.state.original.clone().unwrap_or_default();
            let untouched = self.session.outline();
            let draft = Draft {
                inputs: &self.inputs,
                original_size: (untouched.parameters(), untouched.bytes()),
                original: &original,
                variant: &variant,
                variants: &self.state.variants,
                stages: self.state.stages.clone(),
                peak_memory: self.state.peak_memory,
            };
            let receipt = Receipt::of(self.recipe, draft);
            receipt.write(&self.folder.receipt())?;
            on.progress(Stage::Save, "report", 2, Some(3))?;
            let shown = Shown {
                name: &self.recipe.name,
                description: "what the recipe made",
                latency: None,
                variant: &variant,
            };
            let report = summary::report(self.recipe, &self.session, &receipt, None, &[shown])?;
            atomic::write(&self.folder.report(), report.html().as_bytes())?;
            on.progress(Stage::Save, "report", 3, Some(3))?;
            Ok(Finished {
                receipt,
                model: self.folder.model(),
                receipt_path: self.folder.receipt(),
                report_path: self.folder.report(),
            })
        })?;
        self.state.finished = true;
        self.record(reporter)?;
        self.folder.clear_work()?;
        Ok(finished)
    }

    /// The record that travels inside the model: what made it, without anything that differs between repetitions.
    fn provenance(&self) -> serde_json::Value {
        serde_json::json!({
            "program": program(),
            "recipe": self.recipe.to_toml(),
            "hashes": self.inputs.hashes,
        })
    }

    fn variant(&self, tree: &Tree) -> Variant {
        Variant {
            plan: self.resolved.plan.clone(),
            tree: tree.clone(),
            weights: as_stored(&self.state.weights, tree),
            truncated: self.state.truncated.clone().unwrap_or_default(),
            healed: self.state.healed.clone(),
            phases: self.state.phases.clone(),
            parameters: tree.parameters(),
            bytes: tree.bytes(),
            seconds: self.state.stages.iter().map(|one| one.seconds).sum(),
        }
    }
}
