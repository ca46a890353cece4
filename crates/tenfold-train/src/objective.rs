//! What training makes small.

use tenfold_tensor::Var;
use tenfold_weight::Scope;

/// A loss over batches: a pure function of the weights and the step.
pub trait Objective {
    /// What can go wrong.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The loss of a step (from 0), one number. The batch must depend on nothing but the step and a fixed seed:
    /// a resumed run asks for the later steps only, and must see what an uninterrupted one would have seen.
    ///
    /// # Errors
    /// Whatever data and model meet; training stops there.
    fn loss(&self, scope: &Scope<'_>, step: u64) -> Result<Var, Self::Error>;
}

impl<T: Objective + ?Sized> Objective for &T {
    type Error = T::Error;

    fn loss(&self, scope: &Scope<'_>, step: u64) -> Result<Var, Self::Error> {
        (**self).loss(scope, step)
    }
}
