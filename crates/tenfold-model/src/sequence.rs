//! Sequence to sequence: what an encoder-decoder learns from.

use crate::batch::Batch;
use crate::error::Error;
use crate::network::Network;
use tenfold_tensor::{Var, op};
use tenfold_weight::Scope;

impl Network {
    /// The cross-entropy of targets, given their sources: the mean, over the tokens of all targets, of minus the logarithm of
    /// the probability that the decoder gives to a token after its source and the target's tokens before it (teacher forcing). The
    /// decoder begins with the architecture's token for that; a target ends with the token that ends texts, where the model should
    /// learn to end.
    ///
    /// # Errors
    /// [`Error::NoEncoder`] where the architecture reads no source, the tensor errors for no tokens at all and for ids outside the
    /// vocabulary, and faults of the tree.
    ///
    /// # Panics
    /// When there are not as many targets as sources.
    #[track_caller]
    pub fn target_loss<S: AsRef<[u32]>>(
        &self,
        cx: &Scope<'_>,
        sources: &[S],
        targets: &[S],
    ) -> Result<Var, Error> {
        let architecture = self.config().architecture();
        let start = self.arch.start().ok_or(Error::NoEncoder { architecture })?;
        let shifted = |target: &S| match target.as_ref() {
            [] => Vec::new(),
            [before @ .., _] => [start].into_iter().chain(before.iter().copied()).collect::<Vec<u32>>(),
        };
        let read: Vec<Vec<u32>> = targets.iter().map(shifted).collect();
        let batch = Batch::from_sequences(&read).answering(Batch::from_sequences(sources));
        let wanted: Vec<u32> = targets.iter().flat_map(|target| target.as_ref()).copied().collect();
        let logits = self.logits(cx, &batch)?;
        Ok(op::cross_entropy(&logits, &wanted).map_err(tenfold_weight::Error::from)?)
    }
}
