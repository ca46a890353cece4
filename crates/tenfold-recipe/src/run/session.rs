//! A session: one untouched model, and what all its variants share.

mod sequence;

use super::event::{Event, Flow, Reporter, Stage};
use super::evidence;
use super::fetch::Opened;
use super::layers::Course;
use super::phase::{self, Place};
use super::prompted::{self, Prompted};
use super::rewrite::{self, Look, Rewritten};
use super::score::{self, Labeled};
use super::teacher::Teacher;
use crate::default::TEACHER_BYTES;
use crate::error::Error;
use crate::plan::{Plan, Resolved, build};
use crate::recipe::{Calibration, Eval, Order, Recipe, Step, Task};
use crate::result::{PhaseResult, Scores, WeightResult};
use crate::text::Use;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tenfold_eval::task::{self, Example, Split};
use tenfold_method::Evidence;
use tenfold_model::{Model, Waiting};
use tenfold_tensor::Array;
use tenfold_train::{Alone, Collective};
use tenfold_weight::{Module, Path, Tree};

/// What a session needs besides model and recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionOptions {
    /// Where the data of tasks is.
    pub data: Option<PathBuf>,
    /// Bytes of the untouched model's answers that are kept for the next variant.
    pub teacher_bytes: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { data: None, teacher_bytes: TEACHER_BYTES }
    }
}

/// One untouched model with its evidence, its answers and its scores, each made when first needed and then shared by
/// every variant.
pub struct Session {
    model: Model,
    /// The weights of the model's layers, where they wait in their file.
    waiting: Option<Waiting>,
    seed: u64,
    calibration: Calibration,
    eval: Eval,
    texts: Vec<String>,
    data: Option<PathBuf>,
    labeled: Vec<Labeled>,
    prompted: Vec<Prompted>,
    head_task: Option<&'static task::Task>,
    /// Whether the head came with the model; a fresh one has nothing to say yet.
    head_trained: bool,
    examples: RefCell<BTreeMap<&'static str, Arc<[Example]>>>,
    evidence: OnceCell<Arc<Evidence>>,
    vectors: OnceCell<Array>,
    original: OnceCell<Scores>,
    sequences: RefCell<BTreeMap<String, Arc<[Vec<u32>]>>>,
    teacher: Teacher,
    /// Who trains with this process.
    ranks: Rc<dyn Collective>,
}

/// What came of one variant of the model.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The plan that was carried out.
    pub plan: Plan,
    /// The tree after rewriting and training.
    pub tree: Tree,
    /// Each rewritten weight.
    pub weights: Vec<WeightResult>,
    /// Scores after rewriting.
    pub truncated: Scores,
    /// Scores after training; nothing without phases.
    pub healed: Option<Scores>,
    /// Each phase.
    pub phases: Vec<PhaseResult>,
    /// Stored parameters.
    pub parameters: usize,
    /// Stored bytes without file headers.
    pub bytes: usize,
    /// Wall seconds of rewriting, training and measuring.
    pub seconds: f64,
}

impl Session {
    /// A session of a model under the calibration, evaluation and seed of a recipe. Reads texts and data.
    ///
    /// # Errors
    /// [`Error::NeedsData`], faults of texts and data files, and architectures that do not keep to the order of the recipe.
    pub fn open(opened: impl Into<Opened>, recipe: &Recipe, options: &SessionOptions) -> Result<Self, Error> {
        let Opened { model, waiting } = opened.into();
        if recipe.calibration.order != Order::AtOnce {
            model.network.walk()?;
        }
        let texts = match recipe.eval.reads_text() {
            true => recipe.eval.text.texts(Use::Evaluate)?,
            false => Vec::new(),
        };
        let prompted = prompted::read_all(&recipe.eval, options.data.as_deref())?;
        let labeled = score::read_all(&recipe.eval.tasks, options.data.as_deref())?;
        let before = model.head;
        let model = recipe.headed(model)?;
        let rows = prefix_rows(recipe, &model.tree);
        let model = if rows > 0 { model.reserving(rows) } else { model };
        Ok(Self {
            head_task: recipe.head(),
            head_trained: before == model.head,
            model,
            waiting,
            data: options.data.clone(),
            labeled,
            prompted,
            examples: RefCell::default(),
            seed: recipe.seed,
            calibration: recipe.calibration.clone(),
            eval: recipe.eval.clone(),
            texts,
            evidence: OnceCell::new(),
            vectors: OnceCell::new(),
            original: OnceCell::new(),
            sequences: RefCell::default(),
            teacher: Teacher::new(options.teacher_bytes),
            ranks: Rc::new(Alone),
        })
    }

    /// The same session, whose phases are trained among ranks.
    pub(super) fn among(self, ranks: &Rc<dyn Collective>) -> Self {
        Self { ranks: Rc::clone(ranks), ..self }
    }

    /// Who trains with this process.
    pub(super) fn ranks(&self) -> &dyn Collective {
        &*self.ranks
    }

    /// The untouched model; without the weights of its layers where they wait in their file.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Whether the weights of the model's layers wait in their file. Then the untouched model is not measured.
    pub fn is_streamed(&self) -> bool {
        self.waiting.is_some()
    }

    /// The untouched tree; of weights that wait zeros.
    pub fn outline(&self) -> Tree {
        match &self.waiting {
            Some(waiting) => waiting.outline(&self.model.tree),
            None => self.model.tree.clone(),
        }
    }

    /// The untouched model as the teacher of its variants.
    pub fn teacher(&self) -> &Teacher {
        &self.teacher
    }

    /// What the untouched model's weights see of calibration text.
    ///
    /// # Errors
    /// Faults of texts and model; [`Error::Interrupted`].
    pub fn evidence(&self, events: &mut dyn FnMut(Event) -> Flow) -> Result<Arc<Evidence>, Error> {
        self.evidence_with(&mut Reporter::new(events))
    }

    /// The untouched model's own scores.
    ///
    /// # Errors
    /// Faults of the model; [`Error::Interrupted`].
    pub fn original(&self, events: &mut dyn FnMut(Event) -> Flow) -> Result<Scores, Error> {
        self.original_with(&mut Reporter::new(events))
    }

    /// Carries out the steps and phases of a recipe, in memory: rewrite, measure, train, measure. The calibration,
    /// evaluation and texts are the session's, so variants differ in nothing else.
    ///
    /// # Errors
    /// Faults of the recipe against this model, of methods, training and evaluation; [`Error::Interrupted`].
    pub fn variant(&self, recipe: &Recipe, events: &mut dyn FnMut(Event) -> Flow) -> Result<Variant, Error> {
        self.made(recipe, &mut Reporter::new(events))
    }

    /// As [`Session::variant`].
    pub(super) fn made(&self, recipe: &Recipe, reporter: &mut Reporter<'_>) -> Result<Variant, Error> {
        let resolved = Resolved::of(recipe, &self.outline())?;
        let evidence = self.evidence_for(&resolved, reporter)?;
        self.original_with(reporter)?;
        let start = Instant::now();
        let Rewritten { mut tree, weights } = self.rewrite(&resolved, &evidence, reporter)?;
        let truncated = reporter.stage(Stage::Truncated, |on| self.scores(Stage::Truncated, &tree, on))?;
        let mut phases = Vec::new();
        for index in 0..recipe.phases.len() {
            let (trained, result) = self.phase(recipe, index, &resolved, tree, None, reporter)?;
            tree = trained;
            phases.push(result);
        }
        let healed = match phases.is_empty() {
            true => None,
            false => Some(reporter.stage(Stage::Healed, |on| self.scores(Stage::Healed, &tree, on))?),
        };
        Ok(Variant {
            plan: resolved.plan,
            parameters: tree.parameters(),
            bytes: tree.bytes(),
            seconds: start.elapsed().as_secs_f64(),
            tree,
            weights,
            truncated,
            healed,
            phases,
        })
    }

    pub(super) fn evidence_with(&self, reporter: &mut Reporter<'_>) -> Result<Arc<Evidence>, Error> {
        if let Some(known) = self.evidence.get() {
            return Ok(Arc::clone(known));
        }
        let found = reporter.stage(Stage::Evidence, |on| self.collect(&self.model.tree, on))?;
        Ok(Arc::clone(self.evidence.get_or_init(|| Arc::new(found))))
    }

    /// The evidence that the methods of a recipe ask for.
    pub(super) fn evidence_for(
        &self,
        resolved: &Resolved,
        reporter: &mut Reporter<'_>,
    ) -> Result<Arc<Evidence>, Error> {
        let needed = resolved.methods.iter().any(|method| method.needs_inputs());
        // Otherwise each layer's comes when its turn does.
        match needed && self.calibration.order == Order::AtOnce {
            true => self.evidence_with(reporter),
            false => Ok(Arc::new(Evidence::none().with_wiring(Arc::clone(self.model.tree.wiring())))),
        }
    }

    pub(super) fn original_with(&self, reporter: &mut Reporter<'_>) -> Result<Scores, Error> {
        if let Some(known) = self.original.get() {
            return Ok(known.clone());
        }
        if self.is_streamed() {
            return Ok(Scores::default());
        }
        let scores = reporter.stage(Stage::Original, |on| {
            let tree = &self.model.tree;
            let mut language = None;
            if self.model.network.is_decoder() {
                language = self.language_of(Stage::Original, tree, on)?;
            } else if self.watches_fidelity() {
                let _ = self.vectors.set(self.vectors_of(Stage::Original, tree, on)?);
            }
            let prompts = self.prompt_scores(Stage::Original, tree, on)?;
            Ok(Scores {
                language,
                prompts,
                masked: self.masked_of(Stage::Original, tree, on)?,
                ..self.task_scores(Stage::Original, tree, self.head_trained, on)?
            })
        })?;
        Ok(self.original.get_or_init(|| scores).clone())
    }

    pub(super) fn rewrite(
        &self,
        resolved: &Resolved,
        evidence: &Evidence,
        reporter: &mut Reporter<'_>,
    ) -> Result<Rewritten, Error> {
        reporter.stage(Stage::Rewrite, |on| match self.calibration.order {
            Order::AtOnce => rewrite::rewrite(&self.model.tree, resolved, evidence, self, on),
            order => {
                let Calibration { text, tokens, .. } = &self.calibration;
                let sequences = self.sequences(text, Stage::Rewrite, on)?;
                let waiting = self.waiting.as_ref();
                let course = Course { model: &self.model, waiting, resolved, order };
                course.run(evidence::draw(&sequences, self.seed, *tokens), on)
            }
        })
    }

    pub(super) fn phase(
        &self,
        recipe: &Recipe,
        index: usize,
        resolved: &Resolved,
        tree: Tree,
        place: Option<Place>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(Tree, PhaseResult), Error> {
        reporter
            .stage(Stage::Phase(index + 1), |on| phase::train(self, recipe, index, resolved, tree, place, on))
    }

    /// The original's sentence vectors, once they have been taken.
    pub(super) fn original_vectors(&self) -> Option<&Array> {
        self.vectors.get()
    }

    /// Whether the recipe asks what is left of the untouched model's answers.
    pub(super) fn watches_fidelity(&self) -> bool {
        self.eval.tasks.contains(&Task::Fidelity)
    }

    /// Whether the recipe asks how well hidden tokens are guessed.
    pub(super) fn watches_masked(&self) -> bool {
        self.eval.tasks.contains(&Task::Masked)
    }

    /// The texts for fidelity.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The dev rows of every labeled task.
    pub(super) fn labeled(&self) -> &[Labeled] {
        &self.labeled
    }

    /// The questions of every prompt task.
    pub(super) fn prompted(&self) -> &[Prompted] {
        &self.prompted
    }

    /// The most demonstrations before a question, where the recipe says.
    pub(super) fn shots(&self) -> Option<usize> {
        self.eval.shots
    }

    /// Tokens of the windows that texts for fidelity are cut into, where the recipe says.
    pub(super) fn windows(&self) -> Option<usize> {
        self.eval.windows
    }

    /// The task that the recipe trains the head for.
    pub(super) fn head_task(&self) -> Option<&'static task::Task> {
        self.head_task
    }

    /// The training rows of a task, read once.
    pub(super) fn examples(&self, task: &'static task::Task) -> Result<Arc<[Example]>, Error> {
        if let Some(known) = self.examples.borrow().get(task.name) {
            return Ok(Arc::clone(known));
        }
        let dir = self.data.as_deref().ok_or(Error::NeedsData { task: task.name })?;
        let rows: Arc<[Example]> = task::read(task, dir, Split::Train)?.into();
        self.examples.borrow_mut().insert(task.name, Arc::clone(&rows));
        Ok(rows)
    }
}

/// Rows of the longest prefix that a step of a recipe adds: texts are cut so that they fit behind it, for the untouched model,
/// too, so that both read the same.
fn prefix_rows(recipe: &Recipe, tree: &Tree) -> usize {
    let rows = |step: &Step| {
        let method = build(step.method.name, &step.options).ok()?;
        let modules = tree.wiring().sockets.iter().filter_map(|socket| method.module(socket));
        modules.map(|module| if let Module::Prefix { rows } = module { rows } else { 0 }).max()
    };
    recipe.steps.iter().filter_map(rows).max().unwrap_or(0)
}

impl Look for Session {
    fn collect(&self, tree: &Tree, reporter: &mut Reporter<'_>) -> Result<Evidence, Error> {
        let sequences = self.sequences(&self.calibration.text, Stage::Evidence, reporter)?;
        evidence::collect(&self.model, tree, &sequences, self.seed, self.calibration.tokens, reporter)
    }

    fn sensitivity(
        &self,
        tree: &Tree,
        paths: &[Path],
        evidence: Evidence,
        reporter: &mut Reporter<'_>,
    ) -> Result<Evidence, Error> {
        let sequences = self.sequences(&self.calibration.text, Stage::Rewrite, reporter)?;
        evidence::sensitivity(&self.model, tree, &sequences, self.seed, paths, evidence, reporter)
    }
}
