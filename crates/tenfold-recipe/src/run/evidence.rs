//! Evidence: a model that computes what the untouched one does, at work on calibration text.

use super::batch::shuffled;
use super::event::{Reporter, Stage};
use crate::default::BATCH_TOKENS;
use crate::error::Error;
use std::sync::Arc;
use tenfold_linalg::{Matrix, output_error};
use tenfold_method::{Collector, Evidence};
use tenfold_model::{Batch, Model};
use tenfold_tensor::Array;
use tenfold_tensor::random::Random;
use tenfold_weight::{Form, Path, Scope, Tree, dense_values};

/// Tokens of the batch on which sensitivity is measured: some dozens of texts.
const SENSITIVITY_TOKENS: usize = 1500;
/// The relative output error by which a weight is disturbed: about what a cut to 70 % does.
const DISTURBED: f64 = 0.2;
/// The stream of random numbers that disturbances are drawn from.
const DISTURBANCE: u64 = 0x5345_4E53;

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
        // An output matrix is a weight like others.
        match model.network.is_decoder() {
            true => model.network.logits(&scope, batch)?,
            false => model.network.hidden(&scope, batch)?,
        };
        done += batch.tokens();
        reporter.progress(Stage::Evidence, "tokens", done, Some(total))?;
    }
    drop(scope);
    let height = |path: &_| tree.get(path).ok().and_then(|form| form.shape().first().copied()).unwrap_or(0);
    Ok(collector.finish(height).with_wiring(Arc::clone(tree.wiring())))
}

/// Measures for each weight how much the model's output changes by an error of the weight's own output: every weight is
/// disturbed once by random numbers of a relative output error of [`DISTURBED`], and the output of a short batch is
/// compared with the undisturbed one, relative to how much outputs differ from text to text.
pub(super) fn sensitivity(
    model: &Model,
    tree: &Tree,
    sequences: &[Vec<u32>],
    seed: u64,
    paths: &[Path],
    mut evidence: Evidence,
    reporter: &mut Reporter<'_>,
) -> Result<Evidence, Error> {
    let Some(batch) = draw(sequences, seed, SENSITIVITY_TOKENS).into_iter().next() else {
        return Err(Error::NoTokens { purpose: "calibration" });
    };
    let before = outputs(model, tree, &batch)?;
    let spread = spread(&before);
    let mut disturbed = tree.clone();
    for (at, path) in paths.iter().enumerate() {
        reporter.progress(Stage::Rewrite, "sensitivity", at, Some(paths.len()))?;
        let form = tree.get(path)?;
        let &[rows, cols] = form.shape().as_slice() else { continue };
        let alone = Tree::from_iter([(path.clone(), form.clone())]);
        let mut values = dense_values(&alone, path)?;
        let weight = Matrix::from_f32(values.data(), rows, cols)?;
        let mut random = Random::labelled(seed, &[DISTURBANCE, at as u64]);
        let noisy = Matrix::from_fn(rows, cols, |r, c| weight.get(r, c) + random.normal());
        let relative = output_error(&weight, &noisy, &evidence.metric(path)?);
        if relative == 0.0 || !relative.is_finite() {
            continue;
        }
        let scale = DISTURBED / relative;
        let pairs = weight.data().iter().zip(noisy.data());
        for (value, (clean, noisy)) in values.data_mut().iter_mut().zip(pairs) {
            *value += (scale * (noisy - clean)) as f32;
        }
        disturbed.insert(path.clone(), Form::dense(values));
        let after = outputs(model, &disturbed, &batch)?;
        disturbed.insert(path.clone(), form.clone());
        let pairs = before.data().iter().zip(after.data());
        let moved: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        evidence = evidence.with_sensitivity(path.clone(), moved / spread / DISTURBED.powi(2));
    }
    Ok(evidence)
}

/// What the model puts out for a batch: its head's numbers where it has one, logits of the next token where it is a
/// decoder, sentence vectors otherwise.
fn outputs(model: &Model, tree: &Tree, batch: &Batch) -> Result<Array, Error> {
    let scope = Scope::evaluate(tree);
    let found = match model.head {
        Some(_) => model.logits(&scope, batch)?,
        None if model.network.is_decoder() => model.network.logits(&scope, batch)?,
        None => model.network.embed(&scope, batch)?,
    };
    Ok(found.value().clone())
}

/// Sum of squared distances of all outputs from their mean; never 0.
fn spread(outputs: &Array) -> f64 {
    let (height, width) = (outputs.height().max(1), outputs.width());
    let mut mean = vec![0.0f64; width];
    for row in outputs.data().chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(*value) / height as f64);
    }
    let rows = outputs.data().chunks_exact(width);
    let sum: f64 = rows.flat_map(|row| row.iter().zip(&mean)).map(|(v, m)| (f64::from(*v) - m).powi(2)).sum();
    sum.max(f64::MIN_POSITIVE)
}

/// Sequences in an order drawn by seed, until there are `tokens`, packed into batches.
pub(super) fn draw(sequences: &[Vec<u32>], seed: u64, tokens: usize) -> Vec<Batch> {
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

    /// The tiny model, its texts as tokens, and evidence of them.
    fn seen() -> (tempfile::TempDir, Model, Vec<Vec<u32>>, Evidence) {
        let dir = tempfile::tempdir().unwrap();
        tenfold_testkit::tiny::TinyBert::default().write(dir.path()).unwrap();
        let model = Model::load(dir.path()).unwrap();
        let texts = tenfold_testkit::tiny::sentences("sensitivity", 30);
        let tokens: Vec<_> = texts.iter().map(|text| model.tokenize(text).unwrap()).collect();
        let mut heard = |_| crate::run::Flow::Continue;
        let reporter = &mut Reporter::new(&mut heard);
        let evidence = collect(&model, &model.tree, &tokens, 3, 500, reporter).unwrap();
        (dir, model, tokens, evidence)
    }

    #[test]
    fn sensitivity_repeats_and_knows_heads_that_look_elsewhere() {
        let (_dir, model, tokens, evidence) = seen();
        let paths: Vec<Path> = ["attention.self.value", "intermediate.dense", "output.dense"]
            .map(|name| Path::new(format!("encoder.layer.1.{name}.weight")))
            .into();
        let of = |model: &Model| -> Vec<f64> {
            let mut heard = |_| crate::run::Flow::Continue;
            let reporter = &mut Reporter::new(&mut heard);
            let known = evidence.clone();
            let found = sensitivity(model, &model.tree, &tokens, 3, &paths, known, reporter).unwrap();
            paths.iter().map(|path| found.sensitivity(path)).collect()
        };
        let vectors = of(&model);
        assert!(vectors.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0), "{vectors:?}");
        assert_eq!(of(&model), vectors);
        // Another output is changed by other amounts; one that is the same for every text by none.
        assert_ne!(of(&model.with_head(2, 1).unwrap()), vectors);
        let mut deaf = model.with_head(2, 1).unwrap();
        deaf.tree.insert(Path::new("classifier.weight"), Form::dense(Array::zeros(&[2, 16])));
        assert!(of(&deaf).iter().all(|ratio| *ratio == 0.0));
    }

    #[test]
    fn about_as_many_tokens_as_asked_for_are_drawn() {
        let sequences: Vec<Vec<u32>> = (0..100).map(|at| vec![at; 7]).collect();
        let tokens = |wanted| draw(&sequences, 3, wanted).iter().map(Batch::tokens).sum::<usize>();
        assert_eq!((tokens(0), tokens(1), tokens(50), tokens(10_000)), (0, 7, 56, 700));
        assert_ne!(draw(&sequences, 3, 50)[0].ids, draw(&sequences, 4, 50)[0].ids);
    }
}
