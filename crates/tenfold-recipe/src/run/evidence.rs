//! Evidence: a model that computes what the untouched one does, at work on calibration text.

use super::batch::shuffled;
use super::event::{Reporter, Stage};
use crate::default::BATCH_TOKENS;
use crate::error::Error;
use std::sync::Arc;
use tenfold_method::{Collector, Evidence};
use tenfold_model::{Batch, Model};
use tenfold_weight::{Scope, Tree};

/// Runs the model with the weights of `tree` over about `tokens` tokens of the sequences, drawn by `seed`, and collects
/// what goes into them.
pub(super) fn collect(
    model: &Model,
    tree: &Tree,
    sequences: &[Vec<u32>],
    seed: u64,
    tokens: usize,
    reporter: &mut Reporter<'_>,
) -> Result<Evidence, Error> {
    let batches = draw(sequences, seed, tokens);
    let total: usize = batches.iter().map(Batch::tokens).sum();
    if total == 0 {
        return Err(Error::NoTokens { purpose: "calibration" });
    }
    let collector = Collector::new();
    let scope = Scope::evaluate(tree).observed(&collector);
    let mut done = 0;
    for batch in &batches {
        model.encoder.hidden(&scope, batch)?;
        done += batch.tokens();
        reporter.progress(Stage::Evidence, "tokens", done, Some(total))?;
    }
    drop(scope);
    let height = |path: &_| tree.get(path).ok().and_then(|form| form.shape().first().copied()).unwrap_or(0);
    Ok(collector.finish(height).with_wiring(Arc::clone(tree.wiring())))
}

/// Sequences in an order drawn by seed, until there are `tokens`, packed into batches.
fn draw(sequences: &[Vec<u32>], seed: u64, tokens: usize) -> Vec<Batch> {
    let mut batches = Vec::new();
    let (mut open, mut held, mut drawn) = (Vec::new(), 0, 0);
    for at in shuffled(sequences.len(), seed, 0) {
        let sequence = &sequences[at as usize];
        if drawn >= tokens {
            break;
        }
        if held + sequence.len() > BATCH_TOKENS && !open.is_empty() {
            batches.push(Batch::from_sequences(&std::mem::take(&mut open)));
            held = 0;
        }
        open.push(sequence);
        held += sequence.len();
        drawn += sequence.len();
    }
    if !open.is_empty() {
        batches.push(Batch::from_sequences(&open));
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_as_many_tokens_as_asked_for_are_drawn() {
        let sequences: Vec<Vec<u32>> = (0..100).map(|at| vec![at; 7]).collect();
        let tokens = |wanted| draw(&sequences, 3, wanted).iter().map(Batch::tokens).sum::<usize>();
        assert_eq!((tokens(0), tokens(1), tokens(50), tokens(10_000)), (0, 7, 56, 700));
        assert_ne!(draw(&sequences, 3, 50)[0].ids, draw(&sequences, 4, 50)[0].ids);
    }
}
