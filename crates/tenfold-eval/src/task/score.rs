//! Answers of a model with a task head, and their score.

use super::{Answer, Example, Metric, Target, Task};
use crate::embed::{EmbedOptions, in_batches};
use crate::error::Error;
use crate::metric;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tenfold_model::{Batch, Model};
use tenfold_tensor::Array;
use tenfold_weight::{Scope, Tree};

/// The longest text in tokens, as in the released scripts of MPOP and most others of the field.
pub const MAX_TOKENS: usize = 128;

/// What a model reached in a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TaskScore {
    /// The task's main metric times 100.
    pub main: f64,
    /// Which metric that is.
    pub metric: String,
    /// Every metric of the task times 100, by name.
    pub all: BTreeMap<String, f64>,
    /// Examples scored.
    pub examples: usize,
}

/// The outputs of the head for every example, B x C, in their order. The weights come from `tree`, all else from
/// `model`. `progress` hears after each batch how many examples are done, and of how many.
///
/// # Errors
/// [`Error::Model`] for a model without a head, [`Error::NotFinite`] naming the first example whose outputs are not
/// finite.
pub fn predict(
    model: &Model,
    tree: &Tree,
    examples: &[Example],
    options: &EmbedOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Array, Error> {
    let tokenize =
        |example: &Example| Ok(model.tokenize_pair(&example.first, example.second.as_deref(), MAX_TOKENS)?);
    let pairs = examples.iter().map(tokenize).collect::<Result<Vec<_>, Error>>()?;
    let lengths: Vec<usize> = pairs.iter().map(|(ids, _)| ids.len()).collect();
    let scope = Scope::evaluate(tree).computing(options.precision);
    let outputs = model.head.map_or(0, |head| head.outputs);
    let run = |members: &[usize]| {
        let packed: Vec<_> = members.iter().map(|at| &pairs[*at]).collect();
        Ok(model.logits(&scope, &Batch::from_pairs(&packed))?.value().clone())
    };
    in_batches(&lengths, outputs, options, run, progress)
}

/// Scores outputs (B x C) against the right answers. The class of the largest output is the answer; the only output of
/// a regression is the number itself.
///
/// A model that answers the same everywhere has no correlation; it scores 0 there, so that ruined models can be
/// compared.
///
/// # Errors
/// [`Error::Shape`] when the outputs do not fit the task and the examples; [`Error::TooFew`].
pub fn score(task: &Task, outputs: &Array, examples: &[Example]) -> Result<TaskScore, Error> {
    let expected = vec![examples.len(), task.outputs()];
    if outputs.shape() != expected {
        return Err(Error::Shape { expected, got: outputs.shape().to_vec() });
    }
    let mut all = BTreeMap::new();
    for metric in task.metrics {
        all.insert(metric.name().to_owned(), 100.0 * value(task, *metric, outputs, examples)?);
    }
    let metric = task.main().name().to_owned();
    let main = all.get(&metric).copied().unwrap_or_default();
    Ok(TaskScore { main, metric, all, examples: examples.len() })
}

fn value(task: &Task, metric: Metric, outputs: &Array, examples: &[Example]) -> Result<f64, Error> {
    let rows = outputs.data().chunks_exact(task.outputs().max(1));
    if let Answer::Value(..) = task.answer {
        let answers: Vec<f64> = outputs.data().iter().map(|value| f64::from(*value)).collect();
        let truth: Vec<f64> = examples.iter().map(|example| number(example.target)).collect();
        let correlation = match metric {
            Metric::Pearson => metric::pearson(&answers, &truth),
            _ => metric::spearman(&answers, &truth),
        };
        return match correlation {
            Err(Error::Constant { side: "first", .. }) => Ok(0.0),
            other => other,
        };
    }
    let answers: Vec<u32> = rows.map(largest).collect();
    let truth: Vec<u32> = examples.iter().map(|example| number(example.target) as u32).collect();
    let positive = |classes: &[u32]| classes.iter().map(|class| *class == 1).collect::<Vec<_>>();
    match metric {
        Metric::F1 => metric::f1(&positive(&answers), &positive(&truth)),
        Metric::Matthews => metric::matthews(&positive(&answers), &positive(&truth)),
        _ => metric::accuracy(&answers, &truth),
    }
}

fn number(target: Target) -> f64 {
    match target {
        Target::Class(class) => f64::from(class),
        Target::Value(value) => value,
    }
}

/// The position of the largest number, the first of equals.
fn largest(row: &[f32]) -> u32 {
    let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
    (1..row.len()).fold(0, better) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::find;

    fn examples(targets: &[Target]) -> Vec<Example> {
        let one = |target: &Target| Example { first: "a".to_owned(), second: None, target: *target };
        targets.iter().map(one).collect()
    }

    #[test]
    fn classes_are_scored_by_the_largest_output() {
        let truth = examples(&[Target::Class(1), Target::Class(1), Target::Class(0), Target::Class(0)]);
        let outputs = Array::from_slice(&[0.0, 1.0, 2.0, 1.0, 0.5, 0.5, -1.0, 3.0], &[4, 2]);
        let found = score(find("mrpc").unwrap(), &outputs, &truth).unwrap();
        // One true positive, one false positive, one false negative, one true negative.
        assert_eq!((found.main, found.all["accuracy"], found.examples), (50.0, 50.0, 4));
        assert_eq!(score(find("cola").unwrap(), &outputs, &truth).unwrap().main, 0.0);
    }

    #[test]
    fn numbers_are_scored_by_correlation_and_a_constant_scores_nothing() {
        let task = find("stsb").unwrap();
        let truth = examples(&[Target::Value(1.0), Target::Value(4.0), Target::Value(2.0)]);
        let ordered = score(task, &Array::from_slice(&[0.1, 0.9, 0.2], &[3, 1]), &truth).unwrap();
        assert!((ordered.main - 100.0).abs() < 1e-9 && ordered.all["pearson"] < 100.0);
        assert_eq!(score(task, &Array::from_slice(&[0.3; 3], &[3, 1]), &truth).unwrap().main, 0.0);
    }

    #[test]
    fn outputs_must_fit_the_task() {
        let truth = examples(&[Target::Class(0)]);
        let wrong = score(find("mnli").unwrap(), &Array::zeros(&[1, 2]), &truth);
        assert!(matches!(wrong, Err(Error::Shape { expected, .. }) if expected == [1, 3]));
    }
}
