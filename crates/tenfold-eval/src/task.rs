//! Tasks: labeled texts in a data folder, what a model answers to them, and the score of its answers.
//!
//! A task is one entry of [`ALL`]: its files, their columns, its labels and its metrics. Models answer with a task head
//! ([`predict`]); STS-B can also be scored without one, by the cosine of sentence vectors ([`stsb`]).
//!
//! Source: Wang et al. 2019, GLUE, for tasks and metrics.

mod read;
mod score;
pub mod stsb;
mod table;

pub(crate) use table::file_bytes;

pub use read::{Example, Split, Target, read};
pub use score::{MAX_TOKENS, TaskScore, predict, score};

/// How a file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Tab-separated without quoting; the first row names the columns.
    Table,
    /// Tab-separated without quoting and without a header; columns are named by their number from 0.
    Bare,
    /// One JSON object per line.
    JsonLines,
}

/// One file of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File {
    /// Below the data folder.
    pub path: &'static str,
    /// How it is laid out.
    pub layout: Layout,
    /// The column of the first text.
    pub first: &'static str,
    /// The column of the second text of a pair.
    pub second: Option<&'static str>,
    /// The column of the label.
    pub label: &'static str,
}

/// What a task asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// One of these classes, by its label in the files; the position is the class.
    Class(&'static [&'static str]),
    /// A number in this range.
    Value(f64, f64),
}

/// A metric by name; see [`crate::metric`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Share of right answers.
    Accuracy,
    /// F1 of class 1.
    F1,
    /// Matthews correlation of class 1.
    Matthews,
    /// Rank correlation.
    Spearman,
    /// Linear correlation.
    Pearson,
}

impl Metric {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::F1 => "f1",
            Self::Matthews => "matthews",
            Self::Spearman => "spearman",
            Self::Pearson => "pearson",
        }
    }
}

/// A task.
#[derive(Debug, PartialEq)]
pub struct Task {
    /// Name and version, as recipes write it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Rows to learn from.
    pub train: File,
    /// Rows to be scored on.
    pub dev: File,
    /// What is asked for.
    pub answer: Answer,
    /// What answers are scored by; the first is the task's main metric.
    pub metrics: &'static [Metric],
}

impl Task {
    /// The number of outputs of a head for this task.
    pub fn outputs(&self) -> usize {
        match self.answer {
            Answer::Class(labels) => labels.len(),
            Answer::Value(..) => 1,
        }
    }

    /// The metric that stands for the task.
    pub fn main(&self) -> Metric {
        self.metrics.first().copied().unwrap_or(Metric::Accuracy)
    }
}

const fn table(path: &'static str, first: &'static str, second: Option<&'static str>) -> File {
    File { path, layout: Layout::Table, first, second, label: "label" }
}

const fn lines(path: &'static str) -> File {
    File { path, layout: Layout::JsonLines, first: "text_a", second: Some("text_b"), label: "label" }
}

const fn cola(path: &'static str) -> File {
    File { path, layout: Layout::Bare, first: "3", second: None, label: "1" }
}

const fn mrpc(path: &'static str) -> File {
    File { path, layout: Layout::Table, first: "#1 String", second: Some("#2 String"), label: "Quality" }
}

const fn scored(path: &'static str) -> File {
    File { path, layout: Layout::Table, first: "sentence1", second: Some("sentence2"), label: "score" }
}

const BINARY: Answer = Answer::Class(&["0", "1"]);
const ENTAILED: Answer = Answer::Class(&["entailment", "not_entailment"]);
const SENTENCES: (&str, Option<&str>) = ("sentence1", Some("sentence2"));

/// Every task.
pub static ALL: &[Task] = &[
    Task {
        name: "cola@1",
        title: "is the sentence acceptable English",
        train: cola("glue_cola/train.tsv"),
        dev: cola("glue_cola/dev.tsv"),
        answer: BINARY,
        metrics: &[Metric::Matthews, Metric::Accuracy],
    },
    Task {
        name: "mnli@1",
        title: "does the first sentence entail, contradict or leave open the second",
        train: lines("glue_mnli/train_9k.jsonl"),
        dev: File { first: "premise", second: Some("hypothesis"), ..lines("glue_mnli/dev_matched.jsonl") },
        answer: Answer::Class(&["entailment", "neutral", "contradiction"]),
        metrics: &[Metric::Accuracy],
    },
    Task {
        name: "mrpc@1",
        title: "do both sentences say the same",
        train: mrpc("glue_mrpc/train.tsv"),
        dev: mrpc("glue_mrpc/dev.tsv"),
        answer: BINARY,
        metrics: &[Metric::F1, Metric::Accuracy],
    },
    Task {
        name: "qnli@1",
        title: "does the sentence answer the question",
        train: lines("glue_qnli/train_9k.jsonl"),
        dev: table("glue_qnli/dev.tsv", "question", Some("sentence")),
        answer: ENTAILED,
        metrics: &[Metric::Accuracy],
    },
    Task {
        name: "qqp@1",
        title: "do both questions ask the same",
        train: lines("glue_qqp/train_9k.jsonl"),
        dev: lines("glue_qqp/val_1k_from_train.jsonl"),
        answer: BINARY,
        metrics: &[Metric::F1, Metric::Accuracy],
    },
    Task {
        name: "rte@1",
        title: "does the first text entail the second",
        train: table("glue_rte/train.tsv", SENTENCES.0, SENTENCES.1),
        dev: table("glue_rte/dev.tsv", SENTENCES.0, SENTENCES.1),
        answer: ENTAILED,
        metrics: &[Metric::Accuracy],
    },
    Task {
        name: "sst2@1",
        title: "is the review's sentence positive",
        train: table("glue_sst2/train.tsv", "sentence", None),
        dev: table("glue_sst2/dev.tsv", "sentence", None),
        answer: BINARY,
        metrics: &[Metric::Accuracy],
    },
    Task {
        name: "stsb@1",
        title: "how similar are both sentences, from 0 to 5",
        train: scored("glue_stsb/train.tsv"),
        dev: scored(stsb::FILE),
        answer: Answer::Value(0.0, 5.0),
        metrics: &[Metric::Spearman, Metric::Pearson],
    },
    Task {
        name: "wnli@1",
        title: "does the second sentence follow by resolving a pronoun of the first",
        train: table("glue_wnli/train.tsv", SENTENCES.0, SENTENCES.1),
        dev: table("glue_wnli/dev.tsv", SENTENCES.0, SENTENCES.1),
        answer: BINARY,
        metrics: &[Metric::Accuracy],
    },
];

/// The task of a name, with or without its version.
pub fn find(name: &str) -> Option<&'static Task> {
    ALL.iter().find(|task| task.name == name || task.name.split('@').next() == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_found_with_and_without_version() {
        assert_eq!(find("mrpc").map(|task| task.name), Some("mrpc@1"));
        assert_eq!(find("mrpc@1").map(|task| task.name), Some("mrpc@1"));
        assert_eq!(find("mrpc@2"), None);
    }

    #[test]
    fn names_are_in_order_and_unique() {
        assert!(ALL.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
