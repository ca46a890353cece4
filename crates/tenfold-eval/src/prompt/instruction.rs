//! Open questions. Nobody here can say whether an answer is good: what is judged is its form alone (enough words, no loops, code
//! where code is asked for), and the score says no more than that. By likelihood the reference answer of a question, where it
//! has one, stands against those of the others, compared per byte.

use super::file;
use super::judge::Form;
use super::{Group, Judge, Question};
use crate::error::{Error, RowFault};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const QUESTIONS: &str = "vicuna_bench/question.jsonl";
const REFERENCES: &str = "vicuna_bench/reference_answer_gpt4.jsonl";
/// The least words of an answer.
const WORDS: usize = 12;
/// What is compared of a reference, in characters.
const COMPARED: usize = 160;

pub(super) fn vicuna_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(vec![QUESTIONS.to_owned(), REFERENCES.to_owned()])
}

/// One group a category.
pub(super) fn vicuna(dir: &Path) -> Result<Vec<Group>, Error> {
    let id = |place: &file::Place<'_>, value: &Value| {
        let found = value.get("question_id").and_then(Value::as_u64);
        found.ok_or_else(|| place.fault(RowFault::Key { column: "question_id" }))
    };
    let turn = |place: &file::Place<'_>, value: &Value| {
        let found = value.get("turns").and_then(|turns| turns.get(0)).and_then(Value::as_str);
        found.map(str::to_owned).ok_or_else(|| place.fault(RowFault::Key { column: "turns" }))
    };
    let references: BTreeMap<u64, String> = file::lines(dir, REFERENCES, |place, value| {
        let first = value.get("choices").and_then(|choices| choices.get(0));
        let text = turn(place, first.unwrap_or(&Value::Null))?;
        Ok((id(place, value)?, format!(" {}", text.chars().take(COMPARED).collect::<String>())))
    })?
    .into_iter()
    .collect();
    let rows = file::lines(dir, QUESTIONS, |place, value| {
        Ok((id(place, value)?, place.text(value, "category")?.to_owned(), turn(place, value)?))
    })?;
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (id, category, question) in rows {
        let known = references.contains_key(&id);
        let form = Form { words: WORDS, code: category == "coding", question: question.clone() };
        let group =
            groups.entry(category.clone()).or_insert_with(|| Group { name: category, ..Group::default() });
        group.questions.push(Question {
            prompt: format!("### Human: {question}\n### Assistant:"),
            options: if known { references.values().cloned().collect() } else { Vec::new() },
            right: references.keys().position(|key| *key == id).unwrap_or_default(),
            judge: Judge::Form(form),
        });
    }
    Ok(groups.into_values().collect())
}
