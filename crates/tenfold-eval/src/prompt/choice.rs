//! Questions with lettered options.

use super::file;
use super::{Group, Judge, Question};
use crate::error::{Error, RowFault};
use serde_json::Value;
use std::path::Path;

/// Demonstrations that are kept of a file.
const SHOTS: usize = 8;
const LETTERS: &[&str] = &["A", "B", "C", "D", "E"];

/// A question, its options and the place of the right one.
pub(super) struct Item {
    pub(super) question: String,
    pub(super) options: Vec<String>,
    pub(super) right: usize,
}

impl Item {
    /// Question, lettered options, and the word that asks for a letter.
    fn prompt(&self) -> String {
        let mut text = format!("{}\n", self.question);
        for (letter, option) in LETTERS.iter().zip(&self.options) {
            text.push_str(&format!("{letter}. {option}\n"));
        }
        text + "Answer:"
    }

    pub(super) fn question(&self) -> Question {
        let letters = LETTERS.iter().take(self.options.len());
        Question {
            prompt: self.prompt(),
            options: letters.map(|letter| format!(" {letter}")).collect(),
            right: self.right,
            judge: Judge::Begins(LETTERS[self.right].to_owned()),
        }
    }

    fn shot(&self) -> String {
        format!("{} {}\n\n", self.prompt(), LETTERS[self.right])
    }
}

/// Questions of a subject behind demonstrations of it.
fn group(name: &str, heading: String, shots: &[Item], items: &[Item]) -> Group {
    Group {
        name: name.to_owned(),
        heading,
        shots: shots.iter().take(SHOTS).map(Item::shot).collect(),
        questions: items.iter().map(Item::question).collect(),
    }
}

const HEADING: &str = "The following are multiple choice questions (with answers)";

/// Items of a CSV file: question, four options, the letter or number of the right one. Rows whose right option is a fifth one,
/// which such files leave out, are left out, too.
fn table(dir: &Path, name: &str) -> Result<Vec<Item>, Error> {
    file::csv(dir, name, 6, |place, cells| {
        let label = cells[5].trim();
        let right = LETTERS.iter().position(|letter| *letter == label);
        let numbered =
            || label.parse::<usize>().ok().filter(|at| (1..=LETTERS.len()).contains(at)).map(|at| at - 1);
        let fault = || place.fault(RowFault::Label { got: label.to_owned(), known: LETTERS });
        let right = right.or_else(numbered).ok_or_else(fault)?;
        let options = cells[1..5].to_vec();
        let question = cells[0].clone();
        Ok((right < options.len()).then_some(Item { question, options, right }))
    })
}

pub(super) fn mmlu_files(dir: &Path) -> Result<Vec<String>, Error> {
    Ok([file::names(dir, "mmlu/dev", ".csv")?, file::names(dir, "mmlu/test", ".csv")?].concat())
}

/// One group a subject; demonstrations are its development rows.
pub(super) fn mmlu(dir: &Path) -> Result<Vec<Group>, Error> {
    let subject = |path: &String| {
        let name = path.rsplit('/').next().unwrap_or_default().trim_end_matches("_test.csv").to_owned();
        let shots = table(dir, &format!("mmlu/dev/{name}_dev.csv"))?;
        let heading = format!("{HEADING} about {}.\n\n", name.replace('_', " "));
        Ok(group(&name, heading, &shots, &table(dir, path)?))
    };
    file::names(dir, "mmlu/test", "_test.csv")?.iter().map(subject).collect()
}

fn arc(dir: &Path, part: &str) -> Result<Vec<Group>, Error> {
    let (shots, items) = (format!("arc/arc_{part}_dev.csv"), format!("arc/arc_{part}_test.csv"));
    Ok(vec![group(part, format!("{HEADING} about science.\n\n"), &table(dir, &shots)?, &table(dir, &items)?)])
}

fn arc_files(part: &str) -> Vec<String> {
    ["dev", "test"].map(|split| format!("arc/arc_{part}_{split}.csv")).into()
}

pub(super) fn arc_easy_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(arc_files("easy"))
}

pub(super) fn arc_easy(dir: &Path) -> Result<Vec<Group>, Error> {
    arc(dir, "easy")
}

pub(super) fn arc_hard_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(arc_files("challenge"))
}

pub(super) fn arc_hard(dir: &Path) -> Result<Vec<Group>, Error> {
    arc(dir, "challenge")
}

/// The position of a letter.
fn position(place: &file::Place<'_>, label: &str, options: usize) -> Result<usize, Error> {
    let right = LETTERS.iter().position(|letter| *letter == label).filter(|at| *at < options);
    right.ok_or_else(|| place.fault(RowFault::Label { got: label.to_owned(), known: LETTERS }))
}

pub(super) fn common_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(["train", "dev"].map(|split| format!("commonsense_qa/{split}_rand_split.jsonl")).into())
}

pub(super) fn common(dir: &Path) -> Result<Vec<Group>, Error> {
    let read = |split: &str| {
        file::lines(dir, &format!("commonsense_qa/{split}_rand_split.jsonl"), |place, value| {
            let question = value.get("question").unwrap_or(&Value::Null);
            let choices = question.get("choices").and_then(Value::as_array);
            let choices = choices.ok_or_else(|| place.fault(RowFault::Key { column: "choices" }))?;
            let text = |one: &Value| Ok(place.text(one, "text")?.to_owned());
            let options = choices.iter().map(text).collect::<Result<Vec<_>, Error>>()?;
            let right = position(place, place.text(value, "answerKey")?, options.len())?;
            Ok(Item { question: place.text(question, "stem")?.to_owned(), options, right })
        })
    };
    Ok(vec![group("commonsense", format!("{HEADING}.\n\n"), &read("train")?, &read("dev")?)])
}

pub(super) fn aqua_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(["dev", "test"].map(|split| format!("aqua/{split}.json")).into())
}

pub(super) fn aqua(dir: &Path) -> Result<Vec<Group>, Error> {
    let read = |split: &str| {
        file::lines(dir, &format!("aqua/{split}.json"), |place, value| {
            let options = value.get("options").and_then(Value::as_array);
            let options = options.ok_or_else(|| place.fault(RowFault::Key { column: "options" }))?;
            // Options carry their letter: "A)21".
            let text = |one: &Value| {
                one.as_str().and_then(|text| text.split_once(')')).map(|(_, text)| text.trim().to_owned())
            };
            let options: Option<Vec<String>> = options.iter().map(text).collect();
            let options = options.ok_or_else(|| place.fault(RowFault::Key { column: "options" }))?;
            let right = position(place, place.text(value, "correct")?, options.len())?;
            Ok(Item { question: place.text(value, "question")?.to_owned(), options, right })
        })
    };
    Ok(vec![group("algebra", format!("{HEADING} about algebra.\n\n"), &read("dev")?, &read("test")?)])
}
