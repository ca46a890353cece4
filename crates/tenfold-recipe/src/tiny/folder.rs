//! A fresh model as an ordinary Hugging Face folder, so that it is loaded like any other.

use super::{TinyOptions, vocabulary};
use crate::error::Error;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tenfold_format::config::{self, BertConfig, ModelConfig};
use tenfold_format::pipeline::{self, Pipeline, Pooling};
use tenfold_format::{atomic, checkpoint, tokenizer};
use tenfold_tensor::random::Random;

/// The stream of random numbers that weights start from.
const WEIGHTS: u64 = 1;

/// Writes config, vocabulary, the settings of sentence-transformers, a note on the origin, and random weights.
///
/// # Errors
/// Faults in writing; sizes that no model can have.
pub(super) fn write(dir: &Path, options: &TinyOptions, texts: &[&str], note: &str) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
    write_json(&dir.join(tokenizer::SETTINGS), &settings(options.positions))?;
    let bert = BertConfig {
        vocabulary: vocabulary::write(dir, texts, options.vocabulary)?,
        width: options.width,
        layers: options.layers,
        heads: options.heads,
        hidden: options.hidden,
        positions: options.positions,
        ..BertConfig::default()
    };
    write_json(&dir.join(config::FILE), &ModelConfig::Bert(bert.clone()).hf_json())?;
    // The reader knows which sizes are possible; asked before the weights take memory.
    config::read(dir)?;
    let pipeline = Pipeline { max_tokens: Some(options.positions), pooling: Pooling::Mean, normalize: true };
    pipeline::write(dir, &pipeline, options.width)?;
    atomic::write(&dir.join("README.md"), note.as_bytes())?;
    let weights = weights(&bert, options.seed);
    let tensors: Vec<_> =
        weights.iter().map(|(name, shape, data)| (name.clone(), shape.clone(), data.as_slice())).collect();
    checkpoint::write(&dir.join(checkpoint::FILE), &tensors, &BTreeMap::new())?;
    Ok(())
}

fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), Error> {
    Ok(atomic::write(path, format!("{value:#}\n").as_bytes())?)
}

/// `tokenizer_config.json`: lower-casing, accents off.
fn settings(positions: usize) -> serde_json::Value {
    json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": true,
        "strip_accents": null,
        "tokenize_chinese_chars": true,
        "model_max_length": positions,
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    })
}

/// Name, shape and numbers of every tensor. Matrices are normal with the config's deviation (0.02), biases 0 and gains
/// 1, as in Devlin et al. 2019.
fn weights(bert: &BertConfig, seed: u64) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let mut random = Random::labelled(seed, &[WEIGHTS]);
    let mut all = Vec::new();
    let mut put = |name: String, shape: Vec<usize>| {
        let len = shape.iter().product();
        let data = match (shape.len(), name.ends_with("LayerNorm.weight")) {
            (1, true) => vec![1.0; len],
            (1, false) => vec![0.0; len],
            _ => (0..len).map(|_| (bert.initializer_range * random.normal()) as f32).collect(),
        };
        all.push((name, shape, data));
    };
    for (table, rows) in [("word", bert.vocabulary), ("position", bert.positions), ("token_type", bert.types)]
    {
        put(format!("embeddings.{table}_embeddings.weight"), vec![rows, bert.width]);
    }
    let (mut linears, mut norms) = (Vec::new(), vec!["embeddings.LayerNorm".to_owned()]);
    for layer in 0..bert.layers {
        let at = |part: &str| format!("encoder.layer.{layer}.{part}");
        let square =
            ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
        linears.extend(square.map(|part| (at(part), bert.width, bert.width)));
        linears.push((at("intermediate.dense"), bert.hidden, bert.width));
        linears.push((at("output.dense"), bert.width, bert.hidden));
        norms.extend([at("attention.output.LayerNorm"), at("output.LayerNorm")]);
    }
    // Sentence vectors are means, so nothing uses it; programs that load a BERT expect it.
    linears.push(("pooler.dense".to_owned(), bert.width, bert.width));
    for (name, rows, cols) in linears {
        put(format!("{name}.weight"), vec![rows, cols]);
        put(format!("{name}.bias"), vec![rows]);
    }
    for name in norms {
        put(format!("{name}.weight"), vec![bert.width]);
        put(format!("{name}.bias"), vec![bert.width]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_model::Model;

    #[test]
    fn a_fresh_model_loads_with_what_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let options = TinyOptions {
            layers: 1,
            width: 8,
            heads: 2,
            hidden: 12,
            vocabulary: 150,
            positions: 20,
            ..Default::default()
        };
        write(folder.path(), &options, &["a cat on a mat"], "a note").unwrap();
        let model = Model::load(folder.path()).unwrap();
        let ModelConfig::Bert(bert) = model.network.config() else { panic!("no BERT") };
        assert_eq!((bert.layers, bert.width, bert.heads, bert.hidden, bert.positions), (1, 8, 2, 12, 20));
        assert_eq!(bert.vocabulary, model.tokenizer.vocabulary_size());
        let expected = Pipeline { max_tokens: Some(20), pooling: Pooling::Mean, normalize: true };
        assert_eq!(model.network.pipeline, expected);
        assert_eq!(model.tokenize(&"cat ".repeat(90)).unwrap().len(), 20);
    }

    #[test]
    fn sizes_that_no_model_can_have_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for options in [
            TinyOptions { heads: 3, ..Default::default() },
            TinyOptions { width: 0, ..Default::default() },
            TinyOptions { layers: 0, ..Default::default() },
        ] {
            assert!(
                matches!(write(folder.path(), &options, &["a"], ""), Err(Error::Format(_))),
                "{options:?}"
            );
        }
    }

    #[test]
    fn matrices_are_small_and_random_and_norms_do_nothing() {
        let bert =
            BertConfig { vocabulary: 400, width: 16, layers: 1, heads: 2, hidden: 32, ..Default::default() };
        for (name, shape, data) in weights(&bert, 3) {
            let square = data.iter().map(|one| f64::from(*one).powi(2)).sum::<f64>() / data.len() as f64;
            match (shape.len(), name.ends_with("LayerNorm.weight")) {
                (1, gain) => assert!(data.iter().all(|one| *one == f32::from(u8::from(gain))), "{name}"),
                _ => assert!((0.01..0.03).contains(&square.sqrt()), "{name}: {}", square.sqrt()),
            }
        }
        assert!(weights(&bert, 3) == weights(&bert, 3) && weights(&bert, 3) != weights(&bert, 4));
    }
}
