//! Questions whose answer is a number, worked out in words.
//!
//! By likelihood the right number stands against three near ones, made from it alone: chance is a quarter.

use super::file;
use super::{Group, Judge, Question};
use crate::error::{Error, RowFault};
use std::path::Path;

/// Demonstrations: as many of the first rows.
const SHOTS: usize = 8;
const TRAIN: &str = "gsm8k/train.jsonl";
const TEST: &str = "gsm8k/test.jsonl";

/// A question with the steps to its answer.
struct Item {
    question: String,
    steps: String,
    value: f64,
}

impl Item {
    fn prompt(&self) -> String {
        format!("Question: {}\nAnswer:", self.question.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn shot(&self) -> String {
        let steps = if self.steps.is_empty() { String::new() } else { format!(" {}", self.steps) };
        format!("{}{steps} The answer is {}.\n\n", self.prompt(), self.value)
    }

    fn question(&self) -> Question {
        let (values, right) = beside(self.value);
        let options = values.into_iter().map(|value| format!(" The answer is {value}.")).collect();
        Question { prompt: self.prompt(), options, right, judge: Judge::Number(self.value) }
    }
}

/// Four numbers, one of them the given one, and its place, which depends on it alone. The others are a slip away: one more, ten
/// more or less, and twice as much.
pub(crate) fn beside(value: f64) -> ([f64; 4], usize) {
    let ten = if value >= 10.0 { value - 10.0 } else { value + 10.0 };
    let twice = if value == 0.0 || value == 1.0 || 2.0 * value == ten { value + 3.0 } else { 2.0 * value };
    let place = (value.abs() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 62;
    let mut values = [value + 1.0, ten, twice, value];
    values.swap(3, place as usize);
    (values, place as usize)
}

fn group(name: &str, shots: &[Item], items: &[Item]) -> Vec<Group> {
    vec![Group {
        name: name.to_owned(),
        heading: String::new(),
        shots: shots.iter().take(SHOTS).map(Item::shot).collect(),
        questions: items.iter().map(Item::question).collect(),
    }]
}

/// Rows of GSM8K: steps, with the marks of a calculator, and `#### n` at the end.
fn grade_school(dir: &Path, name: &str) -> Result<Vec<Item>, Error> {
    file::lines(dir, name, |place, value| {
        let answer = place.text(value, "answer")?;
        let fault = || place.fault(RowFault::Key { column: "answer" });
        let (steps, last) = answer.rsplit_once("####").ok_or_else(fault)?;
        let value_of = last.trim().replace(',', "").parse().map_err(|_| fault())?;
        Ok(Item { question: place.text(value, "question")?.to_owned(), steps: plain(steps), value: value_of })
    })
}

/// Steps in one line, without what stands between `<<` and `>>`.
fn plain(steps: &str) -> String {
    let mut text = String::new();
    let mut rest = steps;
    while let Some((before, after)) = rest.split_once("<<") {
        text.push_str(before);
        rest = after.split_once(">>").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn gsm8k_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(vec![TRAIN.to_owned(), TEST.to_owned()])
}

pub(super) fn gsm8k(dir: &Path) -> Result<Vec<Group>, Error> {
    Ok(group("gsm8k", &grade_school(dir, TRAIN)?, &grade_school(dir, TEST)?))
}

/// A file of word problems without steps; demonstrations are worked ones of GSM8K.
fn word_problems(
    dir: &Path,
    name: &str,
    question: fn(&file::Place<'_>, &serde_json::Value) -> Result<String, Error>,
    answer: &'static str,
) -> Result<Vec<Group>, Error> {
    let items = file::json(dir, &format!("cot_arithmetic/{name}.json"), None, |place, value| {
        Ok(Item {
            question: question(place, value)?,
            steps: String::new(),
            value: place.number(value, answer)?,
        })
    })?;
    Ok(group(name, &grade_school(dir, TRAIN)?, &items))
}

fn asked(place: &file::Place<'_>, value: &serde_json::Value) -> Result<String, Error> {
    Ok(place.text(value, "sQuestion")?.to_owned())
}

fn with_body(place: &file::Place<'_>, value: &serde_json::Value) -> Result<String, Error> {
    let body = place.text(value, "Body")?.trim();
    let stop = if body.ends_with(['.', '?', '!']) { "" } else { "." };
    Ok(format!("{body}{stop} {}", place.text(value, "Question")?))
}

fn word_files(name: &str) -> Vec<String> {
    vec![TRAIN.to_owned(), format!("cot_arithmetic/{name}.json")]
}

pub(super) fn addsub_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(word_files("AddSub"))
}

pub(super) fn addsub(dir: &Path) -> Result<Vec<Group>, Error> {
    word_problems(dir, "AddSub", asked, "lSolutions")
}

pub(super) fn multi_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(word_files("MultiArith"))
}

pub(super) fn multi(dir: &Path) -> Result<Vec<Group>, Error> {
    word_problems(dir, "MultiArith", asked, "lSolutions")
}

pub(super) fn single_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(word_files("SingleEq"))
}

pub(super) fn single(dir: &Path) -> Result<Vec<Group>, Error> {
    word_problems(dir, "SingleEq", asked, "lSolutions")
}

pub(super) fn svamp_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(word_files("SVAMP"))
}

pub(super) fn svamp(dir: &Path) -> Result<Vec<Group>, Error> {
    word_problems(dir, "SVAMP", with_body, "Answer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beside_the_right_one_are_others() {
        let mut places = [0; 4];
        for value in (0..400).map(f64::from).chain([0.5, -3.0, 1e9]) {
            let (values, right) = beside(value);
            assert_eq!(values[right], value);
            places[right] += 1;
            let mut sorted = values;
            sorted.sort_by(f64::total_cmp);
            assert!(sorted.windows(2).all(|pair| pair[0] < pair[1]), "{values:?}");
        }
        assert!(places.iter().all(|count| (80..125).contains(count)), "{places:?}");
    }

    #[test]
    fn marks_of_the_calculator_are_taken_out() {
        assert_eq!(
            plain("16 - 3 = <<16-3=13>>13 eggs.\nShe sells <<1*2=2>>2\n"),
            "16 - 3 = 13 eggs. She sells 2"
        );
        assert_eq!(plain("open << mark"), "open");
    }
}
