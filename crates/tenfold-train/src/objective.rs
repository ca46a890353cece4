//! What training makes small.

use crate::share::Share;
use tenfold_tensor::{Var, op};
use tenfold_weight::Scope;

/// A loss over batches: a pure function of the weights and the step.
pub trait Objective {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The loss of a share of the batch of a step (from 0). The batch must depend on nothing but the step and a fixed seed: a
    /// resumed run asks for the later steps only, and must see what an uninterrupted one would have seen. The shares of a
    /// batch are its parts, however many there are, and the [means](Loss) over all of them those of the batch; where a batch
    /// cannot be divided, its first share is all of it.
    ///
    /// # Errors
    /// Whatever data and model meet; training stops there.
    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Self::Error>;
}

impl<T: Objective + ?Sized> Objective for &T {
    type Error = T::Error;

    fn loss(&self, scope: &Scope<'_>, step: u64, share: Share) -> Result<Loss, Self::Error> {
        (**self).loss(scope, step, share)
    }
}

/// The loss of a share of a batch: a sum of means, each with the weight of what it is taken over. The batch's loss is the sum
/// over terms k of `sum_r w_rk L_rk / sum_r w_rk`, r over shares: a mean over tokens weighs as many as there are.
pub struct Loss {
    pub(crate) terms: Vec<(Var, f64)>,
    pub(crate) tokens: u64,
}

impl Loss {
    /// The loss of a share without anything in it.
    pub fn empty() -> Self {
        Self { terms: Vec::new(), tokens: 0 }
    }

    /// A mean, one number, and the weight of what it is taken over, above 0: tokens, or rows.
    pub fn mean(value: Var, weight: f64) -> Self {
        Self::empty().and(value, weight)
    }

    /// The same loss plus another mean, with a weight of its own. Every share that is not empty has as many.
    pub fn and(mut self, value: Var, weight: f64) -> Self {
        self.terms.push((value, weight));
        self
    }

    /// The same loss with the number of tokens that the model read for it.
    pub fn reading(self, tokens: usize) -> Self {
        Self { tokens: tokens as u64, ..self }
    }

    /// The loss where the share is the whole batch; nothing of an empty one.
    pub fn whole(self) -> Option<Var> {
        let factors = vec![1.0; self.terms.len()];
        self.scaled(&factors)
    }

    /// The sum of the terms, each by its factor.
    pub(crate) fn scaled(self, factors: &[f64]) -> Option<Var> {
        let scaled = self.terms.into_iter().zip(factors).map(|((value, _), factor)| match *factor as f32 {
            1.0 => value,
            factor => op::scale(&value, factor),
        });
        scaled.reduce(|sum, term| op::add(&sum, &term))
    }
}
