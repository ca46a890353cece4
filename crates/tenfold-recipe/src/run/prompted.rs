//! Prompt tasks: their questions, what the untouched model says to them, and what other trees score beside it.

use super::event::{Reporter, Stage};
use super::score::counted;
use super::session::Session;
use crate::error::Error;
use crate::recipe::{Eval, Task};
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use tenfold_eval::prompt::{self, Answer, AnswerOptions, Group, PromptScore, PromptTask};
use tenfold_weight::Tree;

/// The questions of one task, and what the untouched model said.
pub(super) struct Prompted {
    task: &'static PromptTask,
    groups: Vec<Group>,
    untouched: OnceCell<Vec<Answer>>,
}

/// Reads the questions of every prompt task of a recipe.
pub(super) fn read_all(eval: &Eval, dir: Option<&Path>) -> Result<Vec<Prompted>, Error> {
    let tasks = eval.tasks.iter().filter_map(|task| match task {
        Task::Prompt(task) => Some(*task),
        _ => None,
    });
    let read = |task: &'static PromptTask| {
        let groups = prompt::sample(prompt::read(task, dir)?, eval.questions);
        Ok(Prompted { task, groups, untouched: OnceCell::new() })
    };
    tasks.map(read).collect()
}

impl Session {
    /// Scores of a tree in the prompt tasks; those of the original are kept, and later ones measured beside them.
    pub(super) fn prompt_scores(
        &self,
        stage: Stage,
        tree: &Tree,
        reporter: &mut Reporter<'_>,
    ) -> Result<BTreeMap<String, PromptScore>, Error> {
        let mut scores = BTreeMap::new();
        let options = AnswerOptions { shots: self.shots(), ..AnswerOptions::default() };
        for Prompted { task, groups, untouched } in self.prompted() {
            let answers = counted(reporter, stage, task.name, |progress| {
                Ok(prompt::answer(self.model(), tree, task, groups, &options, progress)?)
            })?;
            let before = untouched.get().filter(|_| stage != Stage::Original);
            let score = prompt::score(task, groups, &answers, before.map(Vec::as_slice))?;
            scores.insert(task.name.to_owned(), score);
            if stage == Stage::Original {
                // Taken once a session.
                let _ = untouched.set(answers);
            }
        }
        Ok(scores)
    }
}
