//! The objective `language`: foretell the next token of plain text.

use super::batch::Batches;
use crate::error::Error;
use tenfold_model::{Batch, Model};
use tenfold_tensor::op;
use tenfold_train::{Loss, Objective, Share};
use tenfold_weight::Scope;

/// Cross-entropy of the next token, mean over the batch's tokens that have one before them.
///
/// Source: Bengio et al. 2003, A neural probabilistic language model, equation 1.
pub(super) struct Language<'s> {
    pub(super) model: &'s Model,
    /// Sequences of at least two tokens.
    pub(super) batches: &'s Batches,
}

impl Objective for Language<'_> {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Error> {
        let Some(whole) = self.batches.share(step, share) else { return Ok(Loss::empty()) };
        let sequences: Vec<&[u32]> = whole.offsets.ranges().map(|range| &whole.ids[range]).collect();
        // Nothing follows the last token, so nobody needs to read it.
        let read: Vec<&[u32]> = sequences.iter().map(|ids| &ids[..ids.len() - 1]).collect();
        let next: Vec<u32> = sequences.iter().flat_map(|ids| &ids[1..]).copied().collect();
        let logits = self.model.network.logits(scope, &Batch::from_sequences(&read))?; // N x V
        Ok(Loss::mean(op::cross_entropy(&logits, &next)?, next.len() as f64).reading(next.len()))
    }
}

/// The sequences of some texts: each text with the token that ends it, in stretches of as many tokens as the model can place.
/// What is too short to foretell anything is left out.
///
/// # Errors
/// [`tenfold_eval::Error::NoDecoder`], faults of the tokenizer, [`Error::NoTokens`].
pub(super) fn sequences(model: &Model, texts: &[String]) -> Result<Vec<Vec<u32>>, Error> {
    if !model.network.is_decoder() || model.network.reads_source() {
        let architecture = model.network.config().architecture();
        let purpose = "the objective language".to_owned();
        return Err(tenfold_eval::Error::NoDecoder { purpose, architecture }.into());
    }
    let end = model.network.end_tokens().first().copied();
    let mut found = Vec::new();
    for text in texts {
        let mut ids = model.tokenizer.encode(text, usize::MAX)?;
        ids.extend(end);
        let stretches = ids.chunks(model.network.max_tokens().max(2));
        found.extend(stretches.filter(|ids| ids.len() > 1).map(<[u32]>::to_vec));
    }
    if found.is_empty() { Err(Error::NoTokens { purpose: "training" }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenfold_format::config::{LlamaConfig, ModelConfig};
    use tenfold_format::tokenizer::Tokenizer;

    fn model() -> Model {
        let letters = Tokenizer::of_characters(["abc"].into_iter()).unwrap();
        let config = LlamaConfig {
            vocabulary: 6,
            width: 16,
            layers: 1,
            heads: 2,
            key_heads: 1,
            head_width: 8,
            hidden: 24,
            positions: 5,
            initializer_range: 0.3,
            ..LlamaConfig::default()
        };
        Model::fresh(ModelConfig::Llama(config), letters, 3).unwrap()
    }

    #[test]
    fn texts_end_and_long_ones_come_in_stretches() {
        let texts = ["abc".to_owned(), String::new(), "abcabcabc".to_owned()];
        let found = sequences(&model(), &texts).unwrap();
        let expected: [&[u32]; 4] = [&[1, 3, 4, 5, 2], &[1, 2], &[1, 3, 4, 5, 3], &[4, 5, 3, 4, 5]];
        // Of the last text one token is left, which foretells nothing.
        assert_eq!(found, expected);
        assert!(matches!(sequences(&model(), &[]), Err(Error::NoTokens { .. })));
    }

    #[test]
    fn encoders_have_no_next_token() {
        let dir = tempfile::tempdir().unwrap();
        tenfold_testkit::tiny::TinyBert::default().write(dir.path()).unwrap();
        let found = sequences(&Model::load(dir.path()).unwrap(), &["a".to_owned()]);
        let found = found.unwrap_err();
        assert!(found.to_string().contains("this model is bert"), "{found}");
    }

    /// Against the definition, sequence by sequence and in double precision.
    #[test]
    fn the_loss_is_the_mean_over_tokens_that_follow_others() {
        let model = model();
        let texts: Vec<String> = ["abca", "b", "ccab", "ba"].map(str::to_owned).into();
        let sequences = sequences(&model, &texts).unwrap();
        let batches = Batches::new(sequences.into(), 1, 30, 1);
        let scope = Scope::evaluate(&model.tree);
        let language = Language { model: &model, batches: &batches };
        let loss = language.loss(&scope, 0, Share::WHOLE).unwrap().whole().unwrap();
        let (mut sum, mut tokens) = (0.0, 0);
        // Whoever has room left sees the first texts again.
        let batch = batches.batch(0);
        for ids in batch.offsets.ranges().map(|range| &batch.ids[range]) {
            let logits = model.network.logits(&scope, &Batch::from_sequences(&[ids])).unwrap();
            for (row, next) in logits.value().data().chunks_exact(6).zip(&ids[1..]) {
                let norm = row.iter().map(|logit| f64::from(*logit).exp()).sum::<f64>().ln();
                sum += norm - f64::from(row[*next as usize]);
                tokens += 1;
            }
        }
        let got = f64::from(loss.value().data()[0]);
        assert!((got - sum / f64::from(tokens)).abs() < 1e-5, "{got} {}", sum / f64::from(tokens));
    }
}
