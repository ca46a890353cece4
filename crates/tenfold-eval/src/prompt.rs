//! Prompt tasks: questions that a decoder answers in its own words, each scored twice. By **likelihood** the answer is the
//! option that the model finds likeliest; by **generation** it is what the model writes, read by the rule of the task. A model
//! that has lost its words can still rank options, so the two fall apart where a model breaks (Liu et al. 2024, Do emergent
//! abilities exist in quantized large language models, table 1).
//!
//! A task is one entry of [`ALL`]: it reads a data folder, or makes its questions from a seed ([`lab`]). [`read`] gives its [`Group`]s,
//! [`answer`] what a model says to them, [`score`] what that is worth, beside the answers of the untouched model where they
//! are given.
//!
//! Source of the protocol: demonstrations before the question, dropped whole where the context is full; greedy decoding;
//! an answer counts that begins with the right letter or text, or names the right number.

mod answer;
mod bbh;
mod choice;
mod exact;
mod file;
mod instruction;
mod judge;
mod score;

pub use answer::{Answer, AnswerOptions, answer};
pub use judge::{Form, Judge, Written};
pub use score::{PromptScore, score};

use crate::error::Error;
use crate::lab;
use std::path::Path;

/// A question with what goes with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What the model goes on from, without demonstrations.
    pub prompt: String,
    /// What may follow it, compared by likelihood; none where a question has no such answers.
    pub options: Vec<String>,
    /// The right one, by its position.
    pub right: usize,
    /// How a written answer is read.
    pub judge: Judge,
}

/// Questions that share a heading and demonstrations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// Its name within the task.
    pub name: String,
    /// What stands before the demonstrations.
    pub heading: String,
    /// Demonstrations, each with its answer and all that follows it up to the next.
    pub shots: Vec<String>,
    /// The questions.
    pub questions: Vec<Question>,
}

/// How the scores of groups become that of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mean {
    /// Every question counts the same.
    Questions,
    /// Every group counts the same.
    Groups,
}

/// Where the questions of a task come from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// Files below the data folder.
    Data {
        /// The files, for hashing, relative to the folder.
        files: fn(&Path) -> Result<Vec<String>, Error>,
        /// Reads them.
        read: fn(&Path) -> Result<Vec<Group>, Error>,
    },
    /// A generator in the program.
    Made(fn() -> Vec<Group>),
}

/// A prompt task.
#[derive(Clone, Copy, Debug)]
pub struct PromptTask {
    /// Name and version, as recipes write it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Demonstrations before a question, where the context has room for them.
    pub shots: usize,
    /// Tokens that a model may write.
    pub max_tokens: usize,
    /// Texts at which an answer ends; they are no part of it.
    pub stops: &'static [&'static str],
    /// How scores of groups are put together.
    pub mean: Mean,
    /// The questions.
    pub origin: Origin,
}

impl PromptTask {
    /// Whether it reads a data folder.
    pub fn needs_data(&self) -> bool {
        matches!(self.origin, Origin::Data { .. })
    }

    /// The files that it reads, relative to the data folder `dir`, in order.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn files(&self, dir: &Path) -> Result<Vec<String>, Error> {
        match self.origin {
            Origin::Data { files, .. } => files(dir),
            Origin::Made(_) => Ok(Vec::new()),
        }
    }
}

/// The names of tasks are equal only if the tasks are.
impl PartialEq for PromptTask {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const fn choice(
    name: &'static str,
    title: &'static str,
    files: fn(&Path) -> Result<Vec<String>, Error>,
    read: fn(&Path) -> Result<Vec<Group>, Error>,
) -> PromptTask {
    let origin = Origin::Data { files, read };
    PromptTask { name, title, shots: 5, max_tokens: 2, stops: &[], mean: Mean::Questions, origin }
}

const fn number(
    name: &'static str,
    title: &'static str,
    files: fn(&Path) -> Result<Vec<String>, Error>,
    read: fn(&Path) -> Result<Vec<Group>, Error>,
) -> PromptTask {
    let origin = Origin::Data { files, read };
    let stops: &[&str] = &["Question:"];
    PromptTask { name, title, shots: 8, max_tokens: 256, stops, mean: Mean::Questions, origin }
}

const fn direct(
    name: &'static str,
    title: &'static str,
    mean: Mean,
    files: fn(&Path) -> Result<Vec<String>, Error>,
    read: fn(&Path) -> Result<Vec<Group>, Error>,
) -> PromptTask {
    let origin = Origin::Data { files, read };
    PromptTask { name, title, shots: 3, max_tokens: 32, stops: &["\n\n"], mean, origin }
}

const fn made(
    name: &'static str,
    title: &'static str,
    max_tokens: usize,
    make: fn() -> Vec<Group>,
) -> PromptTask {
    let origin = Origin::Made(make);
    PromptTask { name, title, shots: 0, max_tokens, stops: &["."], mean: Mean::Questions, origin }
}

/// Every prompt task, in the order of names.
pub static ALL: &[PromptTask] = &[
    number("addsub@1", "sums and differences in words", exact::addsub_files, exact::addsub),
    choice("aqua@1", "algebra with five options", choice::aqua_files, choice::aqua),
    choice(
        "arc-challenge@1",
        "grade-school science, the hard part",
        choice::arc_hard_files,
        choice::arc_hard,
    ),
    choice("arc-easy@1", "grade-school science, the easy part", choice::arc_easy_files, choice::arc_easy),
    direct("bbh@1", "27 kinds of hard questions, answered directly", Mean::Groups, bbh::bbh_files, bbh::bbh),
    direct("coin-flip@1", "is the coin still heads up", Mean::Questions, bbh::coin_files, bbh::coin),
    choice("commonsense-qa@1", "everyday knowledge, five options", choice::common_files, choice::common),
    number("gsm8k@1", "grade-school mathematics, step by step", exact::gsm8k_files, exact::gsm8k),
    made(
        "lab-format@1",
        "laboratory: instructions on words and in combinations never seen",
        24,
        lab::format_questions,
    ),
    made("lab-rule@1", "laboratory: a rule from its examples, never seen before", 4, lab::rule_questions),
    made(
        "lab-sum@1",
        "laboratory: sums digit by digit, of numbers never added before",
        48,
        lab::sum_questions,
    ),
    direct(
        "last-letters@1",
        "the last letters of four words",
        Mean::Questions,
        bbh::letters_files,
        bbh::letters,
    ),
    choice("mmlu@1", "57 subjects, four options", choice::mmlu_files, choice::mmlu),
    number("multiarith@1", "two or three steps of arithmetic in words", exact::multi_files, exact::multi),
    number("singleeq@1", "one equation in words", exact::single_files, exact::single),
    direct(
        "strategy-qa@1",
        "yes or no by unspoken steps",
        Mean::Questions,
        bbh::strategy_files,
        bbh::strategy,
    ),
    number("svamp@1", "arithmetic in words with distractions", exact::svamp_files, exact::svamp),
    PromptTask {
        name: "vicuna@1",
        title: "open questions; form alone is judged",
        shots: 0,
        max_tokens: 128,
        stops: &["### Human:"],
        mean: Mean::Questions,
        origin: Origin::Data { files: instruction::vicuna_files, read: instruction::vicuna },
    },
];

/// The prompt task of a name, with or without its version.
pub fn find(name: &str) -> Option<&'static PromptTask> {
    ALL.iter().find(|task| task.name == name || task.name.split('@').next() == Some(name))
}

/// The groups of a task, read below the data folder `dir` where it needs one, in the order of the files.
///
/// # Errors
/// [`Error::NeedsData`] without a folder that the task reads; [`Error::Read`], [`Error::TooLarge`], [`Error::Row`],
/// [`Error::NoRows`].
pub fn read(task: &'static PromptTask, dir: Option<&Path>) -> Result<Vec<Group>, Error> {
    match (task.origin, dir) {
        (Origin::Made(make), _) => Ok(make()),
        (Origin::Data { read, .. }, Some(dir)) => read(dir),
        (Origin::Data { .. }, None) => Err(Error::NeedsData { task: task.name }),
    }
}

/// At most `most` questions of all groups together, spread evenly over their order; groups without any are left out.
pub fn sample(groups: Vec<Group>, most: usize) -> Vec<Group> {
    let total: usize = groups.iter().map(|group| group.questions.len()).sum();
    if total <= most {
        return groups;
    }
    // Question i is taken where i most / total enters a new whole number: exactly `most` of them.
    let taken = |at: usize| at * most / total != (at + 1) * most / total;
    let mut at = 0;
    let mut kept = Vec::new();
    for mut group in groups {
        group.questions.retain(|_| {
            at += 1;
            taken(at - 1)
        });
        if !group.questions.is_empty() {
            kept.push(group);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_apart_from_those_of_labeled_tasks() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(ALL.iter().all(|task| crate::task::find(task.name).is_none()));
        assert_eq!(find("mmlu").map(|task| task.name), Some("mmlu@1"));
        assert!(find("mmlu@2").is_none());
    }

    #[test]
    fn a_sample_is_spread_and_exact() {
        let question = |at: usize| Question {
            prompt: at.to_string(),
            options: Vec::new(),
            right: 0,
            judge: Judge::Begins(String::new()),
        };
        let group = |from: usize, to: usize| Group {
            questions: (from..to).map(question).collect(),
            ..Group::default()
        };
        for most in 1..=20 {
            let found = sample(vec![group(0, 13), group(13, 14), group(14, 20)], most);
            let prompts: Vec<usize> = found
                .iter()
                .flat_map(|group| &group.questions)
                .map(|one| one.prompt.parse().unwrap())
                .collect();
            assert_eq!(prompts.len(), most);
            assert!(found.iter().all(|group| !group.questions.is_empty()));
            let gaps = prompts.windows(2).map(|pair| pair[1] - pair[0]);
            assert!(gaps.clone().all(|gap| gap >= 20 / most && gap <= 20usize.div_ceil(most)), "{prompts:?}");
        }
    }
}
