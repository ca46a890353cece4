//! What answers are worth.

use super::{Answer, Group, Mean, PromptTask, Question};
use crate::error::Error;
use serde::{Deserialize, Serialize};

/// A model's scores in one prompt task. Shares are in percent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PromptScore {
    /// Questions asked.
    pub questions: usize,
    /// Share of questions whose right option is the likeliest; nothing where no question has options. Options that are equally
    /// likely share the point, so a model without an opinion scores the level of chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<f64>,
    /// The same with likelihoods divided by the bytes of the option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood_per_byte: Option<f64>,
    /// What choosing options blindly scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// Standard error of `likelihood`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood_error: Option<f64>,
    /// Share of questions whose written answer is right.
    pub generation: f64,
    /// Standard error of `generation`.
    pub generation_error: f64,
    /// Share of questions with another likeliest option than the untouched model's; nothing for that itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood_flipped: Option<f64>,
    /// Share of questions with another written answer than the untouched model's; nothing for that itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_flipped: Option<f64>,
    /// Share of written answers that ended by themselves.
    pub ended: f64,
    /// Mean number of demonstrations that had room.
    pub shots: f64,
    /// Questions that lost their beginning, since they have no room even alone.
    pub cut: usize,
}

/// Scores answers to the questions of some groups, beside those of the untouched model where they are given.
///
/// # Errors
/// [`Error::Lengths`] where there is not one answer to a question; [`Error::TooFew`] without questions.
pub fn score(
    task: &PromptTask,
    groups: &[Group],
    answers: &[Answer],
    untouched: Option<&[Answer]>,
) -> Result<PromptScore, Error> {
    let questions = groups.iter().map(|group| group.questions.len()).sum();
    for got in [Some(answers), untouched].into_iter().flatten() {
        if got.len() != questions {
            return Err(Error::Lengths { metric: task.name, first: questions, second: got.len() });
        }
    }
    if questions == 0 {
        return Err(Error::TooFew { metric: task.name, least: 1, got: 0 });
    }
    let all = || groups.iter().flat_map(|group| &group.questions).zip(answers);
    let chosen = all().any(|(question, _)| !question.options.is_empty());
    // A question without options has no part in what is said of likelihoods.
    let by = |of: &dyn Fn(&Question, &Answer) -> Option<f64>| {
        let mut at = 0;
        let each = groups.iter().map(|group| {
            let own = &answers[at..at + group.questions.len()];
            at += own.len();
            group
                .questions
                .iter()
                .zip(own)
                .filter_map(|(question, one)| of(question, one))
                .collect::<Vec<f64>>()
        });
        mean(task.mean, &each.filter(|values| !values.is_empty()).collect::<Vec<_>>())
    };
    let with_options = |value: f64, question: &Question| (!question.options.is_empty()).then_some(value);
    let (likelihood, likelihood_error) =
        by(&|question, one| with_options(credit(question, one, |_| 1.0), question));
    let (per_byte, _) = by(&|question, one| {
        with_options(credit(question, one, |option| option.len().max(1) as f64), question)
    });
    let (chance, _) = by(&|question, _| with_options(1.0 / question.options.len().max(1) as f64, question));
    let (generation, generation_error) =
        by(&|question, one| Some(f64::from(u8::from(question.judge.right(&one.written)))));
    let flipped = |other: &dyn Fn(&Question, &Answer, &Answer) -> Option<bool>| {
        let pairs = all().zip(untouched?);
        let found: Vec<bool> =
            pairs.filter_map(|((question, one), before)| other(question, one, before)).collect();
        (!found.is_empty()).then(|| percent(found.iter().filter(|flip| **flip).count(), found.len()))
    };
    let count = |of: fn(&Answer) -> bool| answers.iter().filter(|one| of(one)).count();
    let shots: usize = answers.iter().map(|one| one.shots).sum();
    Ok(PromptScore {
        questions,
        likelihood: chosen.then_some(likelihood),
        likelihood_per_byte: chosen.then_some(per_byte),
        chance: chosen.then_some(chance),
        likelihood_error: chosen.then_some(likelihood_error),
        generation,
        generation_error,
        likelihood_flipped: flipped(&|question, one, before| {
            (!question.options.is_empty()).then(|| best(&one.likelihoods) != best(&before.likelihoods))
        }),
        generation_flipped: flipped(&|question, one, before| {
            Some(question.judge.answer(&one.written) != question.judge.answer(&before.written))
        }),
        ended: percent(count(|one| one.written.ended), questions),
        shots: shots as f64 / questions as f64,
        cut: count(|one| one.cut),
    })
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole as f64
}

/// The share of a point that the likeliest options leave the right one.
fn credit(question: &Question, answer: &Answer, size: impl Fn(&str) -> f64) -> f64 {
    let scaled: Vec<f64> =
        answer.likelihoods.iter().zip(&question.options).map(|(sum, option)| sum / size(option)).collect();
    let best = best(&scaled);
    if best.contains(&question.right) { 1.0 / best.len() as f64 } else { 0.0 }
}

/// The places of the largest values.
fn best(values: &[f64]) -> Vec<usize> {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (0..values.len()).filter(|at| values[*at] == most).collect()
}

/// Mean and its standard error, in percent, of values in groups.
fn mean(kind: Mean, groups: &[Vec<f64>]) -> (f64, f64) {
    let pooled: Vec<Vec<f64>> = match kind {
        Mean::Questions => vec![groups.concat()],
        Mean::Groups => groups.to_vec(),
    };
    // A single value says nothing of how far its group scatters: it counts as far as all values do.
    let all = spread(&groups.concat());
    let (mut sum, mut variance) = (0.0, 0.0);
    for values in pooled.iter().filter(|values| !values.is_empty()) {
        let count = values.len() as f64;
        sum += values.iter().sum::<f64>() / count;
        variance += if values.len() > 1 { spread(values) } else { all } / count;
    }
    let parts = pooled.iter().filter(|values| !values.is_empty()).count().max(1) as f64;
    (100.0 * sum / parts, 100.0 * variance.sqrt() / parts)
}

/// The unbiased variance of values; 0 for a single one.
fn spread(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_those_of_the_mean() {
        let (value, error) = mean(Mean::Questions, &[vec![1.0, 0.0], vec![0.0, 1.0, 1.0, 1.0]]);
        // Four of six; variance (4/6 * 2/6) * 6/5, over six.
        assert!((value - 400.0 / 6.0).abs() < 1e-9);
        assert!((error - 100.0 * (2.0f64 / 9.0 * 6.0 / 5.0 / 6.0).sqrt()).abs() < 1e-9);
        let (value, _) = mean(Mean::Groups, &[vec![1.0, 0.0], vec![0.0, 1.0, 1.0, 1.0]]);
        assert!((value - 62.5).abs() < 1e-9);
        // One question a group: the variance of all, 1/2 each, over two groups.
        let (value, error) = mean(Mean::Groups, &[vec![1.0], vec![0.0]]);
        assert!((value - 50.0).abs() < 1e-9 && (error - 50.0).abs() < 1e-9, "{value} {error}");
    }
}
