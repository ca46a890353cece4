//! Questions answered directly by a short text: BIG-Bench Hard and tasks of its layout.

use super::file;
use super::{Group, Judge, Question};
use crate::error::Error;
use std::collections::BTreeSet;
use std::path::Path;

/// Demonstrations: the first rows, which are no questions then (Chia et al. 2023, INSTRUCTEVAL).
const SHOTS: usize = 3;
/// A task with at most as many different answers has them as options; of others a question has this one and three more.
const CLOSED: usize = 20;
const OPEN: usize = 4;

/// A question and its answer.
type Row = (String, String);

fn prompt(question: &str) -> String {
    format!("Question: {}\nAnswer:", question.trim())
}

/// Questions after demonstrations. Options are the answers of the task: those that a question lists where it lists some, all of
/// them where they are few, else the right one and those of the next questions.
fn group(name: &str, rows: &[Row]) -> Group {
    let (shots, rows) = rows.split_at(SHOTS.min(rows.len()));
    let answers: BTreeSet<&str> = rows.iter().map(|(_, answer)| answer.as_str()).collect();
    let closed = answers.len() <= CLOSED;
    let question = |(at, (question, answer)): (usize, &Row)| {
        let listed: Vec<&str> =
            answers.iter().copied().filter(|one| one.starts_with('(') && question.contains(one)).collect();
        let mut options = match (closed, listed.len() > 1 && listed.contains(&answer.as_str())) {
            (true, true) => listed,
            (true, false) => answers.iter().copied().collect(),
            (false, _) => others(rows, at),
        };
        options.sort_unstable();
        let right = options.iter().position(|one| one == answer).unwrap_or_default();
        Question {
            prompt: prompt(question),
            options: options.into_iter().map(|one| format!(" {one}")).collect(),
            right,
            judge: Judge::Begins(answer.clone()),
        }
    };
    Group {
        name: name.to_owned(),
        heading: String::new(),
        shots: shots.iter().map(|(question, answer)| format!("{} {answer}\n\n", prompt(question))).collect(),
        questions: rows.iter().enumerate().map(question).collect(),
    }
}

/// The answer of a row and the next different ones, cyclically.
fn others(rows: &[Row], at: usize) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for (_, answer) in rows.iter().cycle().skip(at).take(rows.len()) {
        if !found.contains(&answer.as_str()) && found.len() < OPEN {
            found.push(answer);
        }
    }
    found
}

fn examples(dir: &Path, name: &str, question: &'static str, answer: &'static str) -> Result<Vec<Row>, Error> {
    file::json(dir, name, Some("examples"), |place, value| {
        Ok((place.text(value, question)?.to_owned(), place.text(value, answer)?.trim().to_owned()))
    })
}

pub(super) fn bbh_files(dir: &Path) -> Result<Vec<String>, Error> {
    file::names(dir, "bbh", ".json")
}

/// One group a kind of question.
pub(super) fn bbh(dir: &Path) -> Result<Vec<Group>, Error> {
    let kind = |path: &String| {
        let name = path.trim_start_matches("bbh/").trim_end_matches(".json");
        Ok(group(name, &examples(dir, path, "input", "target")?))
    };
    bbh_files(dir)?.iter().map(kind).collect()
}

const COIN: &str = "cot_symbolic/coin_flip.json";
const LETTERS: &str = "cot_symbolic/last_letters.json";
const STRATEGY: &str = "cot_commonsense/StrategyQA.json";

pub(super) fn coin_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(vec![COIN.to_owned()])
}

pub(super) fn coin(dir: &Path) -> Result<Vec<Group>, Error> {
    Ok(vec![group("coin_flip", &examples(dir, COIN, "question", "answer")?)])
}

pub(super) fn letters_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(vec![LETTERS.to_owned()])
}

pub(super) fn letters(dir: &Path) -> Result<Vec<Group>, Error> {
    Ok(vec![group("last_letters", &examples(dir, LETTERS, "question", "answer")?)])
}

pub(super) fn strategy_files(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(vec![STRATEGY.to_owned()])
}

/// Targets there are a word and its reasons; the word is the answer.
pub(super) fn strategy(dir: &Path) -> Result<Vec<Group>, Error> {
    let mut rows = examples(dir, STRATEGY, "input", "target")?;
    for (_, answer) in &mut rows {
        let end = answer.find(|letter: char| !letter.is_alphabetic()).unwrap_or(answer.len());
        answer.truncate(end);
    }
    Ok(vec![group("strategy_qa", &rows)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(list: &[(&str, &str)]) -> Vec<Row> {
        list.iter().map(|(question, answer)| ((*question).to_owned(), (*answer).to_owned())).collect()
    }

    #[test]
    fn options_are_what_a_question_lists_or_what_the_task_knows() {
        let found = group(
            "few",
            &rows(&[("a", "x"), ("b", "y"), ("c", "x"), ("d", "no"), ("e", "yes"), ("f", "no")]),
        );
        assert_eq!((found.shots.len(), found.questions.len()), (3, 3));
        assert_eq!(found.shots[0], "Question: a\nAnswer: x\n\n");
        assert_eq!(
            (found.questions[1].options.as_slice(), found.questions[1].right),
            (&[" no".to_owned(), " yes".to_owned()][..], 1)
        );
        let listed = "Which?\n(A) one\n(B) two";
        let more = "Which?\n(A) one\n(B) two\n(C) three";
        let found = group(
            "listed",
            &rows(&[("", ""), ("", ""), ("", ""), (listed, "(A)"), (more, "(C)"), (more, "(B)")]),
        );
        assert_eq!(found.questions[0].options, [" (A)", " (B)"]);
        assert_eq!((found.questions[1].options.len(), found.questions[1].right), (3, 2));
    }

    #[test]
    fn open_answers_stand_beside_three_others() {
        let many: Vec<Row> = (0..40)
            .map(|at| (format!("q{at}"), format!("a{}", at / 2)))
            .chain((0..9).map(|at| (String::new(), format!("b{at}"))))
            .collect();
        for question in group("many", &many).questions {
            assert_eq!(question.options.len(), OPEN);
            let Judge::Begins(answer) = &question.judge else { panic!("{:?}", question.judge) };
            assert_eq!(question.options[question.right], format!(" {answer}"));
            assert_eq!(question.options.iter().collect::<BTreeSet<_>>().len(), OPEN);
        }
    }
}
