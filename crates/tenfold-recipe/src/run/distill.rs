//! The objective `distill`: stay close to the untouched model.

use super::batch::Batches;
use super::teacher::{Target, Teacher};
use crate::error::Error;
use tenfold_model::Model;
use tenfold_tensor::op;
use tenfold_train::{Loss, Objective, Share};
use tenfold_weight::Scope;

/// Of encoders the mean over the batch's texts of `1 - cos(student, teacher)` of their vectors, plus `hidden` times the
/// mean squared distance of the last hidden states relative to the teacher's mean square. Of decoders the divergence of
/// the next token's distribution from the teacher's, mean over tokens: their hidden states are no output, and a change of
/// basis turns them.
///
/// Source: Hinton, Vinyals and Dean 2015, Distilling the knowledge in a neural network, with vectors in the place of
/// class probabilities in encoders; Jiao et al. 2020, TinyBERT, equation 8, for the hidden states.
pub struct Distill<'s> {
    /// The untouched model; the student shares its network.
    pub model: &'s Model,
    /// Its answers.
    pub teacher: &'s Teacher,
    /// The batches.
    pub batches: &'s Batches,
    /// Weight of the term of the hidden states of encoders.
    pub hidden: f64,
}

impl Objective for Distill<'_> {
    type Error = Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Error> {
        let Some(batch) = self.batches.share(step, share) else { return Ok(Loss::empty()) };
        let target = self.teacher.target(self.model, self.batches, (step, share), &batch)?;
        let tokens = batch.tokens();
        let loss = match target {
            Target::NextToken { logits } => {
                let loss = op::divergence(&self.model.network.logits(scope, &batch)?, &logits)?;
                Loss::mean(loss, tokens as f64)
            }
            Target::Vectors { vectors, hidden: own, hidden_square } => {
                let hidden = self.model.network.hidden(scope, &batch)?; // N x D
                let pooled = self.model.network.pool(&hidden, &batch); // B x D
                let loss = Loss::mean(op::cosine_loss(&pooled, &vectors), batch.offsets.sequences() as f64);
                if self.hidden == 0.0 || hidden_square == 0.0 {
                    loss
                } else {
                    // Relative to the mean square of the whole batch: the sums of squares are the weights.
                    let distance = op::mse(&hidden, &own);
                    let relative = op::scale(&distance, (self.hidden / hidden_square) as f32);
                    loss.and(relative, hidden_square * own.len() as f64)
                }
            }
        };
        Ok(loss.reading(tokens))
    }
}
