//! The end of forms that serve training alone: each becomes what its method says, and the model must go on saying the same.

use super::session::Session;
use crate::error::Error;
use crate::result::ContractionResult;
use tenfold_eval::task::{Example, MAX_TOKENS};
use tenfold_method::Method;
use tenfold_model::{Batch, Model};
use tenfold_tensor::Array;
use tenfold_weight::{Form, Path, Scope, Tree, dense_values};

/// What the model is asked before and after.
pub(super) enum Asked {
    /// Rows of a task, answered by the head.
    Rows(Vec<(Vec<u32>, Vec<u32>)>),
    /// Texts, answered by the last hidden states.
    Texts(Vec<Vec<u32>>),
}

/// Rows or texts that are asked.
const ASKED: usize = 32;

impl Asked {
    pub(super) fn rows(model: &Model, examples: &[&Example]) -> Result<Self, Error> {
        let row = |one: &&Example| Ok(model.tokenize_pair(&one.first, one.second.as_deref(), MAX_TOKENS)?);
        Ok(Self::Rows(examples.iter().take(ASKED).map(row).collect::<Result<_, Error>>()?))
    }

    pub(super) fn texts(model: &Model, sequences: &[Vec<u32>]) -> Self {
        let most = model.network.max_tokens();
        let short = |one: &Vec<u32>| one[..one.len().min(most)].to_vec();
        Self::Texts(sequences.iter().take(ASKED).map(short).collect())
    }
}

/// A tree with these weights as their methods want them in the end, multiplied out unless they say otherwise.
///
/// # Errors
/// Faults of the model.
pub(super) fn contracted(
    session: &Session,
    mut tree: Tree,
    weights: &[(&Path, &dyn Method)],
    asked: &Asked,
) -> Result<(Tree, Option<ContractionResult>), Error> {
    let open = |(path, _): &&(&Path, &dyn Method)| tree.get(path).is_ok_and(|form| form.as_array().is_none());
    let open: Vec<(&Path, &dyn Method)> = weights.iter().filter(open).copied().collect();
    if open.is_empty() {
        return Ok((tree, None));
    }
    let (outputs, before) = (answers(session, &tree, asked)?, tree.parameters());
    for (path, method) in &open {
        let form = match method.contracted(path, tree.get(path)?)? {
            Some(form) => form,
            None => Form::dense(dense_values(&tree, path)?),
        };
        tree.insert((*path).clone(), form);
    }
    let pairs = outputs.data().iter().zip(answers(session, &tree, asked)?.data().to_vec());
    let difference = pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    let result = ContractionResult { weights: open.len(), before, after: tree.parameters(), difference };
    Ok((tree, Some(result)))
}

fn answers(session: &Session, tree: &Tree, asked: &Asked) -> Result<Array, Error> {
    let (scope, model) = (Scope::evaluate(tree), session.model());
    let answers = match asked {
        Asked::Rows(rows) => model.logits(&scope, &Batch::from_pairs(rows))?,
        Asked::Texts(texts) => model.network.hidden(&scope, &Batch::from_sequences(texts))?,
    };
    Ok(answers.value().clone())
}
