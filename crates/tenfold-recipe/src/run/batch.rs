//! Batches of training text: which sequences stand in the batch of a step is a pure function of seed and step.

use sha2::{Digest, Sha256};
use std::sync::Arc;
use tenfold_model::Batch;
use tenfold_tensor::random::Random;
use tenfold_train::Share;

/// The batches of one phase, all decided when it begins. Every sequence is used once before any is used again.
#[derive(Clone, Debug)]
pub struct Batches {
    sequences: Arc<[Vec<u32>]>,
    members: Vec<Vec<u32>>,
    id: [u8; 32],
}

impl Batches {
    /// Decides the batches of the first `steps` steps: as many sequences as fit into `tokens` tokens, a longer one
    /// alone. More steps leave the batches of the earlier ones as they are. No sequences give no batches.
    pub fn new(sequences: Arc<[Vec<u32>]>, seed: u64, tokens: usize, steps: u64) -> Self {
        let mut members: Vec<Vec<u32>> = Vec::new();
        let (mut open, mut held) = (Vec::new(), 0);
        let mut epoch = 0;
        while (members.len() as u64) < steps && !sequences.is_empty() {
            for at in shuffled(sequences.len(), seed, epoch) {
                let length = sequences[at as usize].len();
                if !open.is_empty() && held + length > tokens {
                    members.push(std::mem::take(&mut open));
                    held = 0;
                }
                open.push(at);
                held += length;
            }
            epoch += 1;
        }
        members.truncate(usize::try_from(steps).unwrap_or(usize::MAX));
        let id = identity(&sequences, seed, tokens);
        Self { sequences, members, id }
    }

    /// The batches in which every sequence is seen once: the last of them may hold sequences of the next round.
    pub fn pass(sequences: &Arc<[Vec<u32>]>, seed: u64, tokens: usize) -> u64 {
        let (mut batches, mut held, mut open) = (1, 0, false);
        if sequences.is_empty() {
            return 0;
        }
        for at in shuffled(sequences.len(), seed, 0) {
            let length = sequences[at as usize].len();
            if open && held + length > tokens {
                batches += 1;
                held = 0;
            }
            held += length;
            open = true;
        }
        batches
    }

    /// The batch of a step, from 0.
    ///
    /// # Panics
    /// When the step is none of those decided.
    #[track_caller]
    pub fn batch(&self, step: u64) -> Batch {
        let members = &self.members[step as usize];
        let sequences: Vec<&[u32]> =
            members.iter().map(|at| self.sequences[*at as usize].as_slice()).collect();
        Batch::from_sequences(&sequences)
    }

    /// A share of the batch of a step; nothing where it is empty. Shares have about equally many tokens.
    ///
    /// # Panics
    /// When the step is none of those decided.
    #[track_caller]
    pub fn share(&self, step: u64, share: Share) -> Option<Batch> {
        let members = &self.members[step as usize];
        let of = |at: &u32| self.sequences[*at as usize].as_slice();
        let range = share.range(members.iter().map(|at| of(at).len()));
        let sequences: Vec<&[u32]> = members[range].iter().map(of).collect();
        (!sequences.is_empty()).then(|| Batch::from_sequences(&sequences))
    }

    /// All sequences, in their own order.
    pub(super) fn sequences(&self) -> Arc<[Vec<u32>]> {
        Arc::clone(&self.sequences)
    }

    /// What tells these batches from others: equal for equal sequences, seed and tokens.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }
}

fn identity(sequences: &[Vec<u32>], seed: u64, tokens: usize) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update((tokens as u64).to_le_bytes());
    for sequence in sequences {
        hash.update((sequence.len() as u64).to_le_bytes());
        for id in sequence {
            hash.update(id.to_le_bytes());
        }
    }
    hash.finalize().into()
}

/// The numbers below `count` in an order drawn from seed and epoch.
pub(crate) fn shuffled(count: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    let mut random = Random::new(seed ^ epoch.wrapping_mul(0xA076_1D64_78BD_642F));
    for at in (1..count).rev() {
        // The bias of the remainder is below count / 2^64.
        order.swap(at, (random.bits() % (at as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(lengths: &[usize]) -> Arc<[Vec<u32>]> {
        lengths.iter().enumerate().map(|(at, length)| vec![at as u32; *length]).collect()
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        let texts = sequences(&[3, 4, 5, 2, 6, 1, 3, 4]);
        let (few, many) =
            (Batches::new(Arc::clone(&texts), 5, 8, 3), Batches::new(Arc::clone(&texts), 5, 8, 40));
        assert!((0..3).all(|step| few.batch(step) == many.batch(step)));
        assert_eq!(few.id(), many.id());
        let other = Batches::new(texts, 6, 8, 40);
        assert!((0..40).any(|step| other.batch(step) != many.batch(step)));
        assert_ne!(other.id(), many.id());
    }

    #[test]
    fn batches_keep_to_their_tokens_and_an_epoch_uses_every_sequence_once() {
        let texts = sequences(&[3, 4, 5, 2, 6, 1, 3, 4, 30]);
        let batches = Batches::new(Arc::clone(&texts), 1, 10, 60);
        let mut seen = Vec::new();
        for step in 0..60 {
            let batch = batches.batch(step);
            assert!(batch.tokens() <= 10 || batch.offsets.sequences() == 1, "step {step}");
            seen.extend((0..batch.offsets.sequences()).map(|at| batch.ids[batch.offsets.range(at).start]));
        }
        for epoch in seen.chunks_exact(texts.len()) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..texts.len() as u32).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_pass_ends_with_the_batch_that_shows_the_last_sequence() {
        let texts = sequences(&[3, 4, 5, 2, 6, 1, 3, 4, 30]);
        for seed in 0..5 {
            let pass = Batches::pass(&texts, seed, 10);
            let batches = Batches::new(Arc::clone(&texts), seed, 10, 60);
            let seen = |steps: usize| {
                let first: std::collections::BTreeSet<_> =
                    batches.members[..steps].iter().flatten().collect();
                first.len()
            };
            assert_eq!(seen(pass as usize), texts.len());
            assert!(seen(pass as usize - 1) < texts.len());
        }
        assert_eq!(Batches::pass(&sequences(&[]), 0, 10), 0);
    }

    #[test]
    fn shares_together_are_the_batch() {
        let batches = Batches::new(sequences(&[3, 4, 5, 2, 6, 1, 3, 4, 30]), 1, 10, 20);
        for step in 0..20 {
            let whole = batches.batch(step);
            for of in [1, 2, 3, 12] {
                let shares: Vec<_> =
                    (0..of).filter_map(|rank| batches.share(step, Share::new(rank, of))).collect();
                let ids: Vec<u32> = shares.iter().flat_map(|share| share.ids.clone()).collect();
                let sequences: usize = shares.iter().map(|share| share.offsets.sequences()).sum();
                assert_eq!((ids, sequences), (whole.ids.clone(), whole.offsets.sequences()));
                assert!(of < 12 || shares.len() < of, "some share is empty");
            }
        }
    }

    #[test]
    fn no_sequences_give_no_batches() {
        assert!(Batches::new(sequences(&[]), 1, 10, 5).members.is_empty());
    }
}
