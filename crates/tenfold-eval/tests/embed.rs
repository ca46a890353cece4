//! Embedding and scoring with a whole model, a tiny one made from a seed.

use tenfold_eval::task::stsb::{self, Pair};
use tenfold_eval::{EmbedOptions, Error, embed, fidelity, metric};
use tenfold_model::{Batch, Model};
use tenfold_tensor::Precision;
use tenfold_testkit::tiny::{TinyBert, sentences};
use tenfold_weight::{Path, Scope};

/// Sums over tokens in batches of different sizes may be ordered differently.
const TOLERANCE: f32 = 1e-5;

fn model() -> Result<Model, Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    TinyBert::default().write(folder.path())?;
    Ok(Model::load(folder.path())?)
}

#[test]
fn batching_changes_no_vector() {
    let model = model().unwrap();
    let texts = sentences("batching", 30);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let scope = Scope::evaluate(&model.tree);
    let alone = |text: &&str| {
        let batch = Batch::from_sequences(&[model.tokenize(text).unwrap()]);
        model.network.embed(&scope, &batch).unwrap().value().data().to_vec()
    };
    let expected: Vec<f32> = texts.iter().flat_map(alone).collect();
    for batch_tokens in [1, 40, 4096] {
        let mut heard = 0;
        let hear = &mut |done, total| {
            assert!(done > heard && total == 30);
            heard = done;
        };
        let options = EmbedOptions { batch_tokens, ..EmbedOptions::default() };
        let got = embed(&model, &model.tree, &texts, &options, hear).unwrap();
        assert_eq!((got.shape(), heard), (&[30, model.network.width()][..], 30));
        let off = got.data().iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off <= TOLERANCE, "{batch_tokens} tokens: off by {off}");
    }
}

/// Vectors have length 1: bf16 moves them by its rounding, two of its numbers together hardly more than f32 does.
#[test]
fn a_precision_is_seen_and_small() {
    let model = model().unwrap();
    let texts = sentences("precision", 20);
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = |precision| {
        let options = EmbedOptions { precision, ..EmbedOptions::default() };
        embed(&model, &model.tree, &texts, &options, &mut |_, _| {}).unwrap()
    };
    let exact = vectors(Precision::F32);
    let off = |precision| {
        let other = vectors(precision);
        other.data().iter().zip(exact.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let (half, triple) = (off(Precision::Bf16), off(Precision::Bf16x3));
    assert!(half > 1e-4 && half < 0.05, "bf16 is off by {half}");
    assert!(triple > 0.0 && triple < 1e-3, "bf16x3 is off by {triple}");
}

#[test]
fn the_weights_come_from_the_tree_given() {
    let (model, texts) = (model().unwrap(), sentences("other tree", 12));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let options = EmbedOptions::default();
    let mut other = model.tree.clone();
    other.visit_mut(|_, leaf| {
        if leaf.value.shape().len() == 2 {
            leaf.value.data_mut()[0] += 0.5;
        }
    });
    let before = embed(&model, &model.tree, &texts, &options, &mut |_, _| {}).unwrap();
    let after = embed(&model, &other, &texts, &options, &mut |_, _| {}).unwrap();
    let kept = fidelity(&before, &after).unwrap();
    assert!(kept.mean_cosine < 0.999_999 && kept.least_cosine <= kept.mean_cosine, "{kept:?}");
    other.remove(&Path::new("embeddings.word_embeddings.weight"));
    assert!(matches!(embed(&model, &other, &texts, &options, &mut |_, _| {}), Err(Error::Model(_))));
}

#[test]
fn a_model_scores_the_cosines_of_its_vectors() {
    let (model, texts) = (model().unwrap(), sentences("scores", 16));
    let pair = |(at, both): (usize, &[String])| Pair {
        first: both[0].clone(),
        second: both[1].clone(),
        score: (at % 6) as f64,
    };
    let pairs: Vec<Pair> = texts.chunks_exact(2).enumerate().map(pair).collect();
    let score = stsb::score(&model, &model.tree, &pairs, &EmbedOptions::default(), &mut |_, _| {}).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embed(&model, &model.tree, &texts, &EmbedOptions::default(), &mut |_, _| {}).unwrap();
    let rows: Vec<&[f32]> = vectors.data().chunks_exact(vectors.width()).collect();
    let cosines: Vec<f64> =
        rows.chunks_exact(2).map(|both| metric::cosine(both[0], both[1]).unwrap()).collect();
    let people: Vec<f64> = pairs.iter().map(|pair| pair.score).collect();
    assert_eq!(score.spearman, 100.0 * metric::spearman(&cosines, &people).unwrap());
    assert_eq!((score.pearson, score.pairs), (100.0 * metric::pearson(&cosines, &people).unwrap(), 8));
}
