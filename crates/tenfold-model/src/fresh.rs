//! Models that nobody has trained yet: sizes, a vocabulary and random weights.

use crate::arch::Architecture;
use crate::error::Error;
use crate::import::Tensors;
use crate::model::Model;
use std::path::Path as FilePath;
use std::sync::Arc;
use tenfold_format::config::{self, ModelConfig};
use tenfold_format::tokenizer::Tokenizer;
use tenfold_tensor::Array;
use tenfold_tensor::random::Random;
use tenfold_weight::Form;

/// The stream of random numbers that weights start from.
const WEIGHTS: u64 = 0x4652_4553;

/// The weights that an architecture expects, drawn by a seed.
pub(crate) struct Drawn {
    pub(crate) arch: Arc<dyn Architecture>,
    pub(crate) seed: u64,
}

impl Tensors for Drawn {
    fn list(&self) -> Vec<(String, Vec<usize>)> {
        self.arch.expected().into_iter().map(|one| (one.path, one.shape)).collect()
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, tenfold_format::Error> {
        let expected = self.arch.expected();
        let at = expected.iter().position(|one| one.path == name);
        let shape = at.map(|at| expected[at].shape.as_slice()).unwrap_or_default();
        let len = shape.iter().product();
        Ok(match shape.len() {
            1 if name.ends_with(".weight") => vec![1.0; len],
            1 => vec![0.0; len],
            _ => {
                let mut random = Random::labelled(self.seed, &[WEIGHTS, at.unwrap_or_default() as u64]);
                let deviation = self.arch.sizes().deviation;
                (0..len).map(|_| (deviation * random.normal()) as f32).collect()
            }
        })
    }

    /// Drawn as the tree holds them, whatever way a checkpoint would have them lie.
    fn matrix(&self, name: &str) -> Result<Option<Form>, Error> {
        let shape = self.arch.expected().into_iter().find(|one| one.path == name).map(|one| one.shape);
        let Some(shape) = shape.filter(|shape| shape.len() == 2) else { return Ok(None) };
        Ok(Some(Form::dense(Array::from_vec(self.read(name)?, &shape))))
    }
}

impl Model {
    /// A model that has learned nothing: matrices normal with the config's deviation, gains of norms 1, biases 0, drawn by
    /// `seed`. The same arguments give the same bits on every machine.
    ///
    /// # Errors
    /// Sizes that no model can have ([`tenfold_format::Error::OutOfRange`]), a vocabulary with more tokens than the config has
    /// rows, architectures that cannot be run.
    ///
    /// ```
    /// use tenfold_format::config::{LlamaConfig, ModelConfig};
    /// use tenfold_format::tokenizer::Tokenizer;
    /// use tenfold_model::Model;
    ///
    /// let letters = Tokenizer::of_characters(["the cat", "sat"].into_iter())?;
    /// let sizes = LlamaConfig {
    ///     vocabulary: letters.vocabulary_size(),
    ///     width: 16,
    ///     hidden: 24,
    ///     layers: 1,
    ///     heads: 2,
    ///     key_heads: 2,
    ///     head_width: 8,
    ///     positions: 32,
    ///     ..LlamaConfig::default()
    /// };
    /// let model = Model::fresh(ModelConfig::Llama(sizes), letters, 17)?;
    /// assert!(model.network.is_decoder());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fresh(config: ModelConfig, tokenizer: Tokenizer, seed: u64) -> Result<Self, Error> {
        let name = format!("new:{}", config.architecture());
        // The reader knows which sizes are possible; asked before the weights take memory.
        let config = config::parse(FilePath::new(&name), &config.hf_json().to_string())?;
        let mut model = Self::from_drawn(FilePath::new(&name), config, tokenizer, seed)?;
        model.origin = name;
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_format::config::{BertConfig, Gpt2Config, LlamaConfig, T5Config};
    use tenfold_weight::{Path, dense_values};

    fn letters() -> Tokenizer {
        Tokenizer::of_characters(["abc"].into_iter()).unwrap()
    }

    fn llama(seed: u64) -> Result<Model, Error> {
        let config = LlamaConfig {
            vocabulary: 6,
            width: 32,
            layers: 2,
            heads: 4,
            key_heads: 2,
            head_width: 8,
            hidden: 48,
            positions: 20,
            tied: true,
            ..LlamaConfig::default()
        };
        Model::fresh(ModelConfig::Llama(config), letters(), seed)
    }

    #[test]
    fn weights_depend_on_the_seed_alone_and_are_saved_like_others() {
        let values = |model: &Model, path: &str| dense_values(&model.tree, &Path::new(path)).unwrap();
        let (one, same, other) = (llama(3).unwrap(), llama(3).unwrap(), llama(4).unwrap());
        let path = "layers.1.mlp.up_proj.weight";
        assert_eq!(values(&one, path), values(&same, path));
        assert_ne!(values(&one, path), values(&other, path));
        assert_ne!(values(&one, path), values(&one, "layers.0.mlp.up_proj.weight"));
        assert!(values(&one, "layers.1.input_layernorm.weight").data().iter().all(|gain| *gain == 1.0));
        let own = values(&one, path);
        let square = own.data().iter().map(|value| f64::from(*value).powi(2)).sum::<f64>() / own.len() as f64;
        assert!((square.sqrt() / 0.02 - 1.0).abs() < 0.1, "{square}");
        // The output is the table of tokens, stored once.
        assert!(one.tree.get(&Path::new("lm_head.weight")).unwrap().owner().is_some());
        let dir = tempfile::tempdir().unwrap();
        one.save(dir.path(), None).unwrap();
        let again = Model::load(dir.path()).unwrap();
        assert_eq!(values(&again, path), own);
        assert_eq!(again.origin, "new:llama");
        assert_eq!(again.tokenize("cab").unwrap(), one.tokenize("cab").unwrap());
    }

    #[test]
    fn every_architecture_can_begin_from_nothing() {
        let small = |config| Model::fresh(config, letters(), 1).unwrap();
        let bert =
            BertConfig { vocabulary: 6, layers: 1, width: 8, heads: 2, hidden: 12, ..BertConfig::default() };
        let gpt2 = Gpt2Config {
            vocabulary: 6,
            layers: 1,
            width: 8,
            heads: 2,
            hidden: 12,
            begin_token: None,
            end_tokens: Vec::new(),
            ..Gpt2Config::default()
        };
        let t5 = T5Config { vocabulary: 6, layers: 1, decoder_layers: 1, ..T5Config::default() };
        assert!(!small(ModelConfig::Bert(bert)).network.is_decoder());
        assert!(small(ModelConfig::Gpt2(gpt2)).network.is_decoder());
        assert!(small(ModelConfig::T5(t5)).network.reads_source());
    }

    #[test]
    fn impossible_sizes_are_refused_by_name() {
        let config = LlamaConfig { vocabulary: 6, width: 0, ..LlamaConfig::default() };
        let message = Model::fresh(ModelConfig::Llama(config), letters(), 1).err().unwrap().to_string();
        assert!(message.contains("hidden_size"), "{message}");
        let config = LlamaConfig {
            vocabulary: 5,
            width: 8,
            heads: 2,
            key_heads: 2,
            head_width: 4,
            ..LlamaConfig::default()
        };
        let config = LlamaConfig { hidden: 8, layers: 1, ..config };
        assert!(matches!(
            Model::fresh(ModelConfig::Llama(config), letters(), 1),
            Err(Error::Vocabulary { .. })
        ));
    }
}
