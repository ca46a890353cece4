//! What the training loop asks of several ranks: that all know how each fared, one loss, one gradient.

use crate::collective::{Alone, Collective};
use crate::error::Error;
use crate::objective::Loss;
use crate::share::Share;
use std::collections::BTreeMap;
use tenfold_tensor::{Array, Var};
use tenfold_weight::LeafId;

/// Numbers of one sum at most: 16 MiB, which fills a network and fits beside the gradient.
const BUCKET: usize = 4 << 20;
/// Numbers from which on a gradient is summed where it stands; smaller ones are laid end to end, since every sum waits for
/// the slowest rank.
const LARGE: usize = 1 << 18;

/// The first byte of what a rank tells: it goes on, or an error in words follows.
const WELL: u8 = 0;
const FAILED: u8 = 1;

/// The ranks that train one tree.
pub(crate) struct Ranks<'s>(pub(crate) &'s dyn Collective);

/// The loss of a whole batch, and how to get its gradient.
pub(crate) struct Combined {
    /// The part of the loss that this rank computes; nothing of an empty share.
    pub(crate) own: Option<Var>,
    /// The loss.
    pub(crate) loss: f32,
    /// Tokens that the model read, on all ranks.
    pub(crate) tokens: u64,
}

impl Default for Ranks<'_> {
    fn default() -> Self {
        Self(&Alone)
    }
}

impl Ranks<'_> {
    pub(crate) fn share(&self) -> Share {
        Share::new(self.0.rank(), self.0.size())
    }

    /// Whether this process is all there is.
    pub(crate) fn is_alone(&self) -> bool {
        self.0.size() == 1
    }

    /// Whether this rank writes files.
    pub(crate) fn is_first(&self) -> bool {
        self.0.rank() == 0
    }

    /// What every rank tells, by rank. Where one failed, all fail: that one with its own error.
    pub(crate) fn exchange(&self, own: Result<Vec<u8>, Error>) -> Result<Vec<Vec<u8>>, Error> {
        if self.is_alone() {
            return own.map(|bytes| vec![bytes]);
        }
        let told = match &own {
            Ok(bytes) => [&[WELL], bytes.as_slice()].concat(),
            Err(error) => [&[FAILED], error.to_string().as_bytes()].concat(),
        };
        let all = self.0.gather(&told)?;
        own?;
        let mut heard = Vec::new();
        for (rank, told) in all.into_iter().enumerate() {
            match told.split_first() {
                Some((&WELL, bytes)) => heard.push(bytes.to_vec()),
                told => {
                    let words = told.map(|(_, words)| String::from_utf8_lossy(words).into_owned());
                    return Err(Error::OtherRank { rank, reason: words.unwrap_or_default() });
                }
            }
        }
        Ok(heard)
    }

    /// A rank's result, once every rank has one.
    pub(crate) fn together<T>(&self, own: Result<T, Error>) -> Result<T, Error> {
        let (value, told) = match own {
            Ok(value) => (Some(value), Ok(Vec::new())),
            Err(error) => (None, Err(error)),
        };
        self.exchange(told)?;
        // An error came back above.
        value.ok_or(Error::Collective(crate::CollectiveError::Lost))
    }

    /// The loss of the whole batch, from what each rank computed of its share.
    pub(crate) fn combine(&self, step: u64, own: Result<Loss, Error>) -> Result<Combined, Error> {
        let (loss, told) = match own.and_then(checked(step)) {
            Ok(loss) => {
                let told = message(&loss);
                (Some(loss), Ok(told))
            }
            Err(error) => (None, Err(error)),
        };
        let all = self.exchange(told)?;
        let loss = loss.unwrap_or_else(Loss::empty);
        let heard: Vec<Told> = all.iter().map(|bytes| Told::of(bytes)).collect();
        let terms = heard.iter().map(|one| one.terms.len()).max().unwrap_or(0);
        let total =
            |term: usize| heard.iter().filter_map(|one| one.terms.get(term)).map(|one| one.0).sum::<f64>();
        let totals: Vec<f64> = (0..terms).map(total).collect();
        if terms == 0 || totals.iter().any(|total| *total <= 0.0) {
            return Err(Error::EmptyBatch { step });
        }
        let part = |one: &Told| {
            let parts = one.terms.iter().zip(&totals);
            parts.map(|((weight, value), total)| weight / total * value).sum::<f64>()
        };
        let value: f64 = heard.iter().map(part).sum();
        let factors: Vec<f64> =
            loss.terms.iter().zip(&totals).map(|((_, weight), total)| weight / total).collect();
        let tokens = heard.iter().map(|one| one.tokens).sum();
        Ok(Combined { own: loss.scaled(&factors), loss: value as f32, tokens })
    }

    /// The sum of all ranks' gradients. Of a leaf that only some ranks have one for, theirs; `shapes` are those of all that
    /// train, in an order that every rank has.
    pub(crate) fn reduce<'l>(
        &self,
        own: Result<BTreeMap<LeafId, Array>, Error>,
        shapes: impl Iterator<Item = (&'l LeafId, Vec<usize>)> + Clone,
    ) -> Result<BTreeMap<LeafId, Array>, Error> {
        if self.is_alone() {
            return own;
        }
        let (mut found, told) = match own {
            Ok(found) => {
                let has = shapes.clone().map(|(leaf, _)| u8::from(found.contains_key(leaf))).collect();
                (found, Ok(has))
            }
            Err(error) => (BTreeMap::new(), Err(error)),
        };
        let all = self.exchange(told)?;
        let mut packed = Packed::default();
        let mut summed = BTreeMap::new();
        for (at, (leaf, shape)) in shapes.enumerate() {
            if !all.iter().any(|has| has.get(at) == Some(&1)) {
                continue;
            }
            let mut gradient = found.remove(leaf).unwrap_or_else(|| Array::zeros(&shape));
            if gradient.len() >= LARGE {
                for part in gradient.data_mut().chunks_mut(BUCKET) {
                    self.0.sum(part)?;
                }
                summed.insert(leaf.clone(), gradient);
                continue;
            }
            if packed.numbers.len() + gradient.len() > BUCKET {
                packed.flush(self.0, &mut summed)?;
            }
            packed.push(leaf, gradient);
        }
        packed.flush(self.0, &mut summed)?;
        Ok(summed)
    }

    /// Refuses to go on where trees have become different: messages have one result on all ranks, and so should processors.
    pub(crate) fn compare(&self, step: u64, fingerprint: impl FnOnce() -> u64) -> Result<(), Error> {
        if self.is_alone() {
            return Ok(());
        }
        let all = self.exchange(Ok(fingerprint().to_le_bytes().to_vec()))?;
        match all.iter().position(|one| *one != all[0]) {
            Some(rank) => Err(Error::Diverged { step, rank }),
            None => Ok(()),
        }
    }
}

/// Small gradients, end to end.
#[derive(Default)]
struct Packed {
    numbers: Vec<f32>,
    gradients: Vec<(LeafId, Array)>,
}

impl Packed {
    fn push(&mut self, leaf: &LeafId, gradient: Array) {
        self.numbers.extend_from_slice(gradient.data());
        self.gradients.push((leaf.clone(), gradient));
    }

    /// Sums what has come together.
    fn flush(&mut self, ranks: &dyn Collective, summed: &mut BTreeMap<LeafId, Array>) -> Result<(), Error> {
        if self.gradients.is_empty() {
            return Ok(());
        }
        ranks.sum(&mut self.numbers)?;
        let mut rest = self.numbers.as_slice();
        for (leaf, mut gradient) in self.gradients.drain(..) {
            let (own, others) = rest.split_at(gradient.len());
            gradient.data_mut().copy_from_slice(own);
            rest = others;
            summed.insert(leaf, gradient);
        }
        self.numbers.clear();
        Ok(())
    }
}

/// One rank's loss, as told.
struct Told {
    tokens: u64,
    /// Weight and value of every term.
    terms: Vec<(f64, f64)>,
}

fn message(loss: &Loss) -> Vec<u8> {
    let terms = loss.terms.iter().flat_map(|(value, weight)| [*weight, f64::from(value.value().item())]);
    let numbers = terms.flat_map(f64::to_le_bytes);
    loss.tokens.to_le_bytes().into_iter().chain(numbers).collect()
}

impl Told {
    fn of(bytes: &[u8]) -> Self {
        let (words, _) = bytes.as_chunks();
        let number = |word: &[u8; 8]| f64::from_le_bytes(*word);
        let Some((tokens, terms)) = words.split_first() else { return Self { tokens: 0, terms: Vec::new() } };
        let terms = terms.chunks_exact(2).map(|pair| (number(&pair[0]), number(&pair[1]))).collect();
        Self { tokens: u64::from_le_bytes(*tokens), terms }
    }
}

/// A loss whose terms are one number each.
fn checked(step: u64) -> impl FnOnce(Loss) -> Result<Loss, Error> {
    move |loss| match loss.terms.iter().find(|(value, _)| value.value().len() != 1) {
        Some((value, _)) => {
            let fault = tenfold_tensor::Error::LossNotScalar { shape: value.shape().to_vec() };
            Err(Error::Objective { step, source: Box::new(fault) })
        }
        None => Ok(loss),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collective::thread_ranks;
    use std::thread;
    use tenfold_weight::Path;

    fn gradient(len: usize, seed: usize) -> Array {
        Array::from_vec((0..len).map(|at| ((at * 31 + seed * 17) % 101) as f32 - 50.0).collect(), &[len])
    }

    /// Leaves below and above the size from which on they are summed alone, more than one bucket of each; one that only a
    /// single rank has, one that nobody has.
    #[test]
    fn gradients_are_summed_leaf_by_leaf_whatever_their_sizes() {
        let sizes = [3, LARGE - 1, LARGE, BUCKET + 5, 0, 1, 7]
            .into_iter()
            .chain(std::iter::repeat_n(LARGE - 1, 17))
            .collect::<Vec<_>>();
        let leaves: Vec<LeafId> =
            (0..sizes.len()).map(|at| LeafId::root(Path::new(format!("leaf {at:02}")))).collect();
        let (single, nobody) = (5, 6);
        let one = |member: crate::collective::ThreadRank| {
            let rank = member.rank();
            let has = |at: &usize| *at != nobody && (*at != single || rank == 1);
            let own = (0..sizes.len()).filter(has);
            let own = own.map(|at| (leaves[at].clone(), gradient(sizes[at], at + 100 * rank))).collect();
            let shapes = leaves.iter().zip(&sizes).map(|(leaf, len)| (leaf, vec![*len]));
            Ranks(&member).reduce(Ok(own), shapes).unwrap()
        };
        let sums: Vec<BTreeMap<LeafId, Array>> = thread::scope(|scope| {
            let one = &one;
            let threads: Vec<_> =
                thread_ranks(3).into_iter().map(|member| scope.spawn(move || one(member))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(sums.iter().all(|one| *one == sums[0]));
        assert!(!sums[0].contains_key(&leaves[nobody]));
        for at in (0..sizes.len()).filter(|at| *at != nobody) {
            let ranks: &[usize] = if at == single { &[1] } else { &[0, 1, 2] };
            let parts: Vec<Array> = ranks.iter().map(|rank| gradient(sizes[at], at + 100 * rank)).collect();
            let sum = (0..sizes[at]).map(|i| parts.iter().map(|part| part.data()[i]).sum()).collect();
            assert_eq!(sums[0][&leaves[at]], Array::from_vec(sum, &[sizes[at]]), "{at}");
        }
    }
}
