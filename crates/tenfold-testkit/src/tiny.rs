//! Complete small models in the layout of the Hugging Face hub, made from a seed: config, tokenizer, weights and the
//! settings of sentence-transformers. The files are spelled out here rather than written by the crates under test.

mod vocabulary;

use crate::random::Splitmix;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tenfold_format::{Error, atomic, checkpoint};
pub use vocabulary::{LEAST, SPECIAL, sentences, tokens};

/// Sizes of a BERT sentence encoder. [`Default`] is large enough to compress and trains in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TinyBert {
    /// Encoder layers.
    pub layers: usize,
    /// D, width of a token's vector.
    pub width: usize,
    /// H, attention heads; divides the width.
    pub heads: usize,
    /// F, width of the hidden layer.
    pub hidden: usize,
    /// V, tokens in the vocabulary, at least [`LEAST`].
    pub vocabulary: usize,
    /// The longest text the model can place.
    pub positions: usize,
    /// The longest text the pipeline takes, special tokens included.
    pub max_tokens: usize,
    /// Whether the pipeline takes the first token's vector instead of the mean.
    pub first_token: bool,
    /// Whether the pipeline scales vectors to length 1.
    pub normalize: bool,
    /// Whether there is a `tokenizer.json` beside `vocab.txt`.
    pub tokenizer_json: bool,
    /// Singular values of the matrices fall like `k^-decay`; 0 for none that stand out.
    pub decay: f64,
    /// Seed of the weights.
    pub seed: u64,
}

impl Default for TinyBert {
    fn default() -> Self {
        Self {
            layers: 2,
            width: 16,
            heads: 2,
            hidden: 32,
            vocabulary: 160,
            positions: 48,
            max_tokens: 32,
            first_token: false,
            normalize: true,
            tokenizer_json: true,
            decay: 0.5,
            seed: 17,
        }
    }
}

impl TinyBert {
    /// Writes the model into `dir`, which is made when it is missing; the same sizes and seed give the same bytes.
    ///
    /// # Errors
    /// [`Error::Write`] or [`Error::DiskFull`].
    ///
    /// # Panics
    /// When the vocabulary is below [`LEAST`] or the heads do not divide the width.
    #[track_caller]
    pub fn write(&self, dir: &Path) -> Result<(), Error> {
        assert!(
            self.vocabulary >= LEAST,
            "a vocabulary of {} tokens; at least {LEAST} are needed",
            self.vocabulary
        );
        assert!(
            self.width.is_multiple_of(self.heads),
            "{} heads do not divide a width of {}",
            self.heads,
            self.width
        );
        let pooling = dir.join("1_Pooling");
        fs::create_dir_all(&pooling).map_err(|source| Error::Write { path: pooling.clone(), source })?;
        let text =
            |name: &str, value: &Value| atomic::write(&dir.join(name), format!("{value:#}\n").as_bytes());
        text("config.json", &self.config())?;
        let tokens = tokens(self.vocabulary);
        atomic::write(&dir.join("vocab.txt"), format!("{}\n", tokens.join("\n")).as_bytes())?;
        text("tokenizer_config.json", &vocabulary::settings(self.positions))?;
        text("special_tokens_map.json", &vocabulary::special_map())?;
        if self.tokenizer_json {
            text("tokenizer.json", &vocabulary::tokenizer(&tokens, self.max_tokens))?;
        }
        text("modules.json", &self.modules())?;
        text(
            "sentence_bert_config.json",
            &json!({ "max_seq_length": self.max_tokens, "do_lower_case": false }),
        )?;
        text("1_Pooling/config.json", &self.pooling())?;
        let weights = self.weights();
        let tensors: Vec<_> = weights
            .iter()
            .map(|(name, shape, data)| (name.clone(), shape.clone(), data.as_slice()))
            .collect();
        checkpoint::write(&dir.join("model.safetensors"), &tensors, &BTreeMap::new())?;
        Ok(())
    }

    fn config(&self) -> Value {
        json!({
            "architectures": ["BertModel"],
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": self.width,
            "initializer_range": 0.02,
            "intermediate_size": self.hidden,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": self.positions,
            "model_type": "bert",
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "transformers_version": "4.40.0",
            "type_vocab_size": 2,
            "use_cache": true,
            "vocab_size": self.vocabulary,
        })
    }

    fn modules(&self) -> Value {
        let module = |index: usize, path: &str, kind: &str| {
            json!({ "idx": index, "name": index.to_string(), "path": path,
                    "type": format!("sentence_transformers.models.{kind}") })
        };
        let mut modules = vec![module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling")];
        if self.normalize {
            modules.push(module(2, "2_Normalize", "Normalize"));
        }
        Value::Array(modules)
    }

    fn pooling(&self) -> Value {
        json!({
            "word_embedding_dimension": self.width,
            "pooling_mode_cls_token": self.first_token,
            "pooling_mode_mean_tokens": !self.first_token,
            "pooling_mode_max_tokens": false,
            "pooling_mode_mean_sqrt_len_tokens": false,
        })
    }

    /// Name, shape and numbers of every tensor of the checkpoint, in the order of the names.
    fn weights(&self) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let (width, hidden) = (self.width, self.hidden);
        let mut all = Vec::new();
        let mut put = |name: String, shape: Vec<usize>| {
            let mut random = Splitmix::named(&format!("{name}, seed {}", self.seed));
            let data = match (shape.as_slice(), name.contains("LayerNorm.weight")) {
                (&[len], true) => random.normals(len).iter().map(|n| 1.0 + 0.1 * n).collect(),
                (&[len], false) => random.normals(len).iter().map(|n| 0.1 * n).collect(),
                (&[rows, cols], _) if !name.starts_with("embeddings") => self.matrix(&mut random, rows, cols),
                (shape, _) => random.normals(shape.iter().product()),
            };
            all.push((name, shape, data));
        };
        let mut layer_norm = |at: String| {
            put(format!("{at}.LayerNorm.weight"), vec![width]);
            put(format!("{at}.LayerNorm.bias"), vec![width]);
        };
        layer_norm("embeddings".to_owned());
        for layer in 0..self.layers {
            layer_norm(format!("encoder.layer.{layer}.attention.output"));
            layer_norm(format!("encoder.layer.{layer}.output"));
        }
        for (table, rows) in [("word", self.vocabulary), ("position", self.positions), ("token_type", 2)] {
            put(format!("embeddings.{table}_embeddings.weight"), vec![rows, width]);
        }
        let mut linear = |at: String, rows: usize, cols: usize| {
            put(format!("{at}.weight"), vec![rows, cols]);
            put(format!("{at}.bias"), vec![rows]);
        };
        for layer in 0..self.layers {
            for part in ["self.query", "self.key", "self.value", "output.dense"] {
                linear(format!("encoder.layer.{layer}.attention.{part}"), width, width);
            }
            linear(format!("encoder.layer.{layer}.intermediate.dense"), hidden, width);
            linear(format!("encoder.layer.{layer}.output.dense"), width, hidden);
        }
        linear("pooler.dense".to_owned(), width, width);
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// A rows x cols matrix with falling singular values that keeps the mean square of unit inputs.
    fn matrix(&self, random: &mut Splitmix, rows: usize, cols: usize) -> Vec<f32> {
        let inner = rows.min(cols);
        let scales: Vec<f64> = (1..=inner).map(|k| (k as f64).powf(-self.decay)).collect();
        let square: f64 = scales.iter().map(|s| s * s).sum();
        let gain = 1.0 / (square * cols as f64).sqrt();
        let (left, right) = (random.normals(rows * inner), random.normals(inner * cols));
        let entry = |at: usize| {
            let (row, col) = (at / cols, at % cols);
            let term =
                |k: usize| f64::from(left[row * inner + k]) * scales[k] * f64::from(right[k * cols + col]);
            (gain * (0..inner).map(term).sum::<f64>()) as f32
        };
        (0..rows * cols).map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored;
    use tenfold_format::checkpoint::Checkpoint;
    use tenfold_format::config::{self, ModelConfig};
    use tenfold_format::pipeline::{self, Pooling};
    use tenfold_format::tokenizer::Tokenizer;

    #[test]
    fn every_file_loads_and_says_what_was_asked() {
        let folder = stored::folder();
        let tiny =
            TinyBert { layers: 3, width: 12, heads: 3, hidden: 20, first_token: true, ..TinyBert::default() };
        tiny.write(folder.path()).unwrap();
        let ModelConfig::Bert(config) = config::read(folder.path()).unwrap() else { panic!("no BERT") };
        assert_eq!((config.layers, config.width, config.heads, config.hidden), (3, 12, 3, 20));
        assert_eq!((config.vocabulary, config.positions, config.types), (160, 48, 2));
        let pipeline = pipeline::read(folder.path()).unwrap().unwrap();
        assert_eq!(
            (pipeline.max_tokens, pipeline.pooling, pipeline.normalize),
            (Some(32), Pooling::First, true)
        );
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(checkpoint.tensors().count(), 5 + 3 * 16 + 2);
        assert_eq!(checkpoint.tensor("embeddings.word_embeddings.weight").unwrap().shape, [160, 12]);
        assert_eq!(checkpoint.tensor("encoder.layer.2.output.dense.weight").unwrap().shape, [12, 20]);
    }

    #[test]
    fn both_tokenizers_agree_and_know_every_sentence() {
        let (with, without) = (stored::folder(), stored::folder());
        let tiny = TinyBert { vocabulary: 300, ..TinyBert::default() };
        tiny.write(with.path()).unwrap();
        TinyBert { tokenizer_json: false, ..tiny }.write(without.path()).unwrap();
        assert!(!without.path().join("tokenizer.json").exists());
        let (json, plain) = (Tokenizer::open(with.path()).unwrap(), Tokenizer::open(without.path()).unwrap());
        assert_eq!((json.vocabulary_size(), plain.vocabulary_size()), (300, 300));
        let unknown = json.id("[UNK]").unwrap();
        for text in sentences("both", 50).iter().map(String::as_str).chain(["Xylophones, 42!", "the zoo"]) {
            let ids = json.encode(text, 32).unwrap();
            assert_eq!(ids, plain.encode(text, 32).unwrap(), "{text}");
            assert!(ids.len() > 2 && !ids.contains(&unknown), "{text}: {ids:?}");
        }
        assert_eq!(json.encode_pair("a b", "c", 32).unwrap(), plain.encode_pair("a b", "c", 32).unwrap());
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let bytes = |seed| {
            let folder = stored::folder();
            TinyBert { seed, ..TinyBert::default() }.write(folder.path()).unwrap();
            fs::read(folder.path().join("model.safetensors")).unwrap()
        };
        assert!(bytes(1) == bytes(1) && bytes(1) != bytes(2));
    }

    #[test]
    fn matrices_keep_the_size_of_what_they_are_applied_to() {
        let matrix = TinyBert::default().matrix(&mut Splitmix::new(1), 64, 32);
        let square: f64 = matrix.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / 64.0;
        assert!((0.5..2.0).contains(&square), "mean square of a row {square}");
    }
}
