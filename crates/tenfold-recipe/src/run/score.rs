//! Scores of a tree: fidelity, and the labeled tasks that its model can answer.

use super::event::{Reporter, Stage};
use super::session::Session;
use crate::error::Error;
use crate::recipe::Task;
use crate::result::Scores;
use tenfold_eval::task::{self, Example, Split, TaskScore, stsb};
use tenfold_eval::{EmbedOptions, Language, Masked, embed, fidelity, language, masked};
use tenfold_tensor::Array;
use tenfold_weight::Tree;

/// The dev rows of a task.
pub(super) struct Labeled {
    task: &'static task::Task,
    rows: Vec<Example>,
    pairs: Vec<stsb::Pair>,
}

impl Labeled {
    /// Reads the dev rows of a task.
    pub(super) fn read(task: &'static task::Task, dir: &std::path::Path) -> Result<Self, Error> {
        let pairs = if task.name == stsb::NAME { stsb::read(dir)? } else { Vec::new() };
        Ok(Self { task, rows: task::read(task, dir, Split::Dev)?, pairs })
    }
}

impl Session {
    /// Scores of a tree; those of the original must have been taken before.
    pub(super) fn scores(
        &self,
        stage: Stage,
        tree: &Tree,
        reporter: &mut Reporter<'_>,
    ) -> Result<Scores, Error> {
        let fidelity = match self.original_vectors() {
            Some(before) => Some(fidelity(before, &self.vectors_of(stage, tree, reporter)?)?),
            None => None,
        };
        let language = self.language_of(stage, tree, reporter)?;
        let masked = self.masked_of(stage, tree, reporter)?;
        let prompts = self.prompt_scores(stage, tree, reporter)?;
        Ok(Scores { fidelity, language, masked, prompts, ..self.task_scores(stage, tree, true, reporter)? })
    }

    /// Scores of a tree in the labeled tasks; the head counts only where it has been trained.
    pub(super) fn task_scores(
        &self,
        stage: Stage,
        tree: &Tree,
        trained_head: bool,
        reporter: &mut Reporter<'_>,
    ) -> Result<Scores, Error> {
        let mut scores = Scores::default();
        for labeled in self.labeled() {
            let Labeled { task, rows, pairs } = labeled;
            if self.answers(task) {
                if trained_head {
                    let score = self.task_score(stage, task, rows, tree, reporter)?;
                    scores.tasks.insert(task.name.to_owned(), score);
                }
            } else if !pairs.is_empty() {
                let score = counted(reporter, stage, stsb::NAME, |progress| {
                    Ok(stsb::score(self.model(), tree, pairs, &EmbedOptions::default(), progress)?)
                })?;
                scores.stsb = Some(score);
            }
        }
        Ok(scores)
    }

    /// Whether the model's head is for a task: the one that the recipe trains, or any of its size where it trains none.
    fn answers(&self, task: &task::Task) -> bool {
        let fits = self.model().head.is_some_and(|head| head.outputs == task.outputs());
        fits && self.head_task().is_none_or(|trained| trained.name == task.name)
    }

    /// The score of a tree on some rows of a task, by the head.
    pub(super) fn task_score(
        &self,
        stage: Stage,
        task: &task::Task,
        rows: &[Example],
        tree: &Tree,
        reporter: &mut Reporter<'_>,
    ) -> Result<TaskScore, Error> {
        let outputs = counted(reporter, stage, task.name, |progress| {
            Ok(task::predict(self.model(), tree, rows, &EmbedOptions::default(), progress)?)
        })?;
        Ok(task::score(task, &outputs, rows)?)
    }

    /// How well a decoder foretells the texts for fidelity, and how far it is from the untouched one.
    pub(super) fn language_of(
        &self,
        stage: Stage,
        tree: &Tree,
        reporter: &mut Reporter<'_>,
    ) -> Result<Option<Language>, Error> {
        let model = self.model();
        if !(model.network.is_decoder() && self.watches_fidelity()) {
            return Ok(None);
        }
        let texts: Vec<&str> = self.texts().iter().map(String::as_str).collect();
        let original = (stage != Stage::Original && !self.is_streamed()).then_some(&model.tree);
        let windows = self.windows();
        counted(reporter, stage, if windows.is_some() { "windows" } else { "texts" }, |progress| {
            Ok(Some(language(model, tree, original, &texts, windows, &EmbedOptions::default(), progress)?))
        })
    }

    /// How well an encoder guesses hidden tokens of the texts for fidelity.
    pub(super) fn masked_of(
        &self,
        stage: Stage,
        tree: &Tree,
        reporter: &mut Reporter<'_>,
    ) -> Result<Option<Masked>, Error> {
        if !self.watches_masked() {
            return Ok(None);
        }
        let texts: Vec<&str> = self.texts().iter().map(String::as_str).collect();
        counted(reporter, stage, "hidden tokens", |progress| {
            Ok(Some(masked(self.model(), tree, &texts, &EmbedOptions::default(), progress)?))
        })
    }

    /// Sentence vectors of the texts for fidelity.
    pub(super) fn vectors_of(
        &self,
        stage: Stage,
        tree: &Tree,
        reporter: &mut Reporter<'_>,
    ) -> Result<Array, Error> {
        let texts: Vec<&str> = self.texts().iter().map(String::as_str).collect();
        counted(reporter, stage, "texts", |progress| {
            Ok(embed(self.model(), tree, &texts, &EmbedOptions::default(), progress)?)
        })
    }
}

/// Reads the dev rows of every labeled task of a recipe.
pub(super) fn read_all(tasks: &[Task], dir: Option<&std::path::Path>) -> Result<Vec<Labeled>, Error> {
    let labeled = tasks.iter().filter_map(|task| match task {
        Task::Labeled(task) => Some(*task),
        _ => None,
    });
    let read = |task: &'static task::Task| match dir {
        Some(dir) => Labeled::read(task, dir),
        None => Err(Error::NeedsData { task: task.name }),
    };
    labeled.map(read).collect()
}

/// Work that counts, with its progress told; a wish to stop counts when the work is done.
pub(super) fn counted<T>(
    reporter: &mut Reporter<'_>,
    stage: Stage,
    item: &str,
    work: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut told = Ok(());
    let result = work(&mut |done, total| {
        if told.is_ok() {
            told = reporter.progress(stage, item, done, Some(total));
        }
    })?;
    told.map(|()| result)
}
