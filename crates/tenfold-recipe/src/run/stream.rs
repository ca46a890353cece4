//! Batches of texts that are larger than memory: which sequences stand in the batch of a step is a pure function of seed and
//! step here, too.
//!
//! Each epoch shuffles the parts of the text; neighbors in that order make a pile, whose sequences are shuffled together. Batches take
//! sequences pile by pile, across their ends. Where the batch of a step begins is found from those before it; every batch that
//! begins in a pile of its own is noted, so that going back costs one pile.

use super::batch::shuffled;
use super::begin::{Begin, Begins};
use super::cut::Cut;
use crate::error::Error;
use crate::text::Parts;
use std::cell::RefCell;
use std::sync::Arc;
use tenfold_model::Batch;

/// Streams of random numbers: the order of parts, and what tells piles apart.
const PARTS: u64 = 0x5041_5254;
const PILES: u64 = 0x9E6D_62D0_6F6A_9A9B;
/// Piles that are held: a batch may begin in one and end in the next.
const HELD: usize = 2;

/// The batches of one phase over text that comes in parts.
pub(super) struct Stream<'m> {
    parts: Parts,
    /// Parts of a pile.
    per_pile: usize,
    cut: Cut<'m>,
    seed: u64,
    tokens: usize,
    state: RefCell<State>,
}

struct State {
    begins: Begins,
    /// Where the batch of the step after the last one asked for begins.
    next: (u64, Begin),
    held: Vec<(u64, Arc<[Vec<u32>]>)>,
}

impl<'m> Stream<'m> {
    /// Batches of as many sequences as fit into `tokens` tokens, a longer one alone.
    pub(super) fn new(
        parts: Parts,
        per_pile: usize,
        cut: Cut<'m>,
        (seed, tokens): (u64, usize),
        begins: Begins,
    ) -> Self {
        let next = (0, Begin { pile: 0, at: 0 });
        let state = State { begins, next, held: Vec::new() };
        Self { parts, per_pile: per_pile.max(1), cut, seed, tokens, state: RefCell::new(state) }
    }

    /// The batch of a step, from 0.
    ///
    /// # Errors
    /// Faults of the text and the tokenizer, [`Error::NoTokens`].
    pub(super) fn batch(&self, step: u64) -> Result<Batch, Error> {
        let mut state = self.state.borrow_mut();
        let noted = state.begins.before(step);
        let close = Some(state.next).filter(|(next, _)| *next <= step);
        let known = [noted, close].into_iter().flatten().max_by_key(|(begins, _)| *begins);
        let (mut now, mut place) = known.unwrap_or((0, Begin { pile: 0, at: 0 }));
        loop {
            let (members, after) = self.fill(&mut state, place)?;
            now += 1;
            if after.pile > place.pile {
                state.begins.note(now, after)?;
            }
            state.next = (now, after);
            if now > step {
                return Ok(Batch::from_sequences(&members));
            }
            place = after;
        }
    }

    /// The batches in which every sequence is seen once: the last of them may hold sequences of the next epoch. Reads all of the
    /// text.
    ///
    /// # Errors
    /// As [`Stream::batch`].
    pub(super) fn pass(&self) -> Result<u64, Error> {
        let mut state = self.state.borrow_mut();
        let (mut steps, mut place) = (0, Begin { pile: 0, at: 0 });
        while place.pile < self.piles() {
            let after = self.fill(&mut state, place)?.1;
            steps += 1;
            if after.pile > place.pile {
                state.begins.note(steps, after)?;
            }
            place = after;
        }
        Ok(steps)
    }

    /// The sequences of the first pile.
    ///
    /// # Errors
    /// As [`Stream::batch`].
    pub(super) fn first(&self) -> Result<Arc<[Vec<u32>]>, Error> {
        self.pile(&mut self.state.borrow_mut(), 0)
    }

    /// The sequences of the batch that begins at a place, and where the next one begins.
    fn fill(&self, state: &mut State, from: Begin) -> Result<(Vec<Vec<u32>>, Begin), Error> {
        let (mut members, mut held) = (Vec::new(), 0);
        let Begin { mut pile, mut at } = from;
        let mut empty = 0;
        loop {
            let sequences = self.pile(state, pile)?;
            empty = if sequences.is_empty() { empty + 1 } else { 0 };
            if empty > self.piles() {
                return Err(Error::NoTokens { purpose: "training" });
            }
            for sequence in &sequences[at.min(sequences.len())..] {
                if !members.is_empty() && held + sequence.len() > self.tokens {
                    return Ok((members, Begin { pile, at }));
                }
                held += sequence.len();
                members.push(sequence.clone());
                at += 1;
            }
            (pile, at) = (pile + 1, 0);
        }
    }

    /// Piles of an epoch.
    fn piles(&self) -> u64 {
        self.parts.len().div_ceil(self.per_pile) as u64
    }

    /// The sequences of a pile, in their order.
    fn pile(&self, state: &mut State, number: u64) -> Result<Arc<[Vec<u32>]>, Error> {
        if let Some((_, known)) = state.held.iter().find(|(known, _)| *known == number) {
            return Ok(Arc::clone(known));
        }
        // Gone before the new one comes.
        while state.held.len() >= HELD {
            state.held.remove(0);
        }
        let (epoch, within) = (number / self.piles(), number % self.piles());
        let order = shuffled(self.parts.len(), self.seed ^ PARTS, epoch);
        let start = within as usize * self.per_pile;
        let mut members = order[start..(start + self.per_pile).min(order.len())].to_vec();
        // What is shuffled together needs no order of its own; a text that is one pile keeps that of its file.
        members.sort_unstable();
        let mut sequences = Vec::new();
        for part in members {
            sequences.append(&mut self.cut.sequences(&self.parts.texts(part as usize)?)?);
        }
        let order = shuffled(sequences.len(), self.seed ^ within.wrapping_mul(PILES), epoch);
        let found: Arc<[Vec<u32>]> =
            order.into_iter().map(|at| std::mem::take(&mut sequences[at as usize])).collect();
        state.held.push((number, Arc::clone(&found)));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::batch::Batches;
    use crate::run::cut::tests::decoder;
    use crate::run::phase::Place;
    use crate::text::{Broken, Corpus, TextSource, Use};
    use tenfold_model::Model;

    fn corpus(dir: &tempfile::TempDir, lines: usize, least: u64) -> (Parts, Vec<String>) {
        let path = dir.path().join("text");
        let line = |at: usize| "abccba".repeat(3)[at % 5..5 + at * 7 % 13].to_owned();
        std::fs::write(&path, (0..lines).map(line).collect::<Vec<_>>().join("\n")).unwrap();
        let texts = TextSource::File(path.clone()).texts(Use::Train).unwrap();
        (Parts::Files(Corpus::in_chunks(&path, Broken::Stop, least).unwrap()), texts)
    }

    fn stream<'m>(model: &'m Model, parts: Parts, per_pile: usize, seed: u64) -> Stream<'m> {
        let (cut, begins) = (Cut::next(model, false).unwrap(), Begins::open(None).unwrap());
        Stream::new(parts, per_pile, cut, (seed, 20), begins)
    }

    #[test]
    fn one_pile_gives_the_batches_of_text_in_memory() {
        let (model, dir) = (decoder(), tempfile::tempdir().unwrap());
        for seed in 0..3 {
            let (parts, texts) = corpus(&dir, 60, 50);
            assert!(parts.len() > 5);
            let sequences = Cut::next(&model, false).unwrap().sequences(&texts).unwrap();
            let count = parts.len();
            let held = Batches::new(sequences.clone().into(), seed, 20, 90);
            let streamed = stream(&model, parts, count, seed);
            for step in 0..90 {
                assert_eq!(streamed.batch(step).unwrap(), held.batch(step), "seed {seed}, step {step}");
            }
            let (parts, _) = corpus(&dir, 60, 50);
            let pass = stream(&model, parts, count, seed).pass().unwrap();
            assert_eq!(pass, Batches::pass(&sequences.into(), seed, 20));
        }
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        let (model, dir) = (decoder(), tempfile::tempdir().unwrap());
        let fresh = |seed| stream(&model, corpus(&dir, 60, 50).0, 2, seed);
        let whole = fresh(4);
        let all: Vec<Batch> = (0..120).map(|step| whole.batch(step).unwrap()).collect();
        // Begun anywhere, and gone about in any order.
        for start in [1, 17, 63, 119] {
            assert_eq!(fresh(4).batch(start).unwrap(), all[start as usize]);
        }
        for step in [5, 90, 4, 119, 0, 60, 61, 62, 3] {
            assert_eq!(whole.batch(step).unwrap(), all[step as usize], "{step}");
        }
        assert!((0..120).any(|step| fresh(5).batch(step).unwrap() != all[step as usize]));
    }

    /// What an earlier attempt noted leads to the same batch, and to it without what came before.
    #[test]
    fn a_resumed_stream_goes_on_where_it_stood() {
        let (model, dir) = (decoder(), tempfile::tempdir().unwrap());
        let place = Place { dir: dir.path().join("phase"), run_id: "run".to_owned() };
        let noted = || {
            let (cut, begins) = (Cut::next(&model, false).unwrap(), Begins::open(Some(&place)).unwrap());
            Stream::new(corpus(&dir, 60, 50).0, 2, cut, (4, 20), begins)
        };
        let first = noted();
        let all: Vec<Batch> = (0..90).map(|step| first.batch(step).unwrap()).collect();
        let resumed = noted();
        assert_eq!(resumed.batch(89).unwrap(), all[89]);
        let piles: Vec<u64> = resumed.state.borrow().held.iter().map(|(pile, _)| *pile).collect();
        assert!(piles.len() <= HELD && !piles.contains(&0), "{piles:?}");
    }

    #[test]
    fn an_epoch_shows_every_sequence_once_and_no_two_alike() {
        let (model, dir) = (decoder(), tempfile::tempdir().unwrap());
        let (parts, texts) = corpus(&dir, 60, 50);
        let mut expected = Cut::next(&model, false).unwrap().sequences(&texts).unwrap();
        let streamed = stream(&model, parts, 3, 9);
        let mut seen: Vec<Vec<u32>> = Vec::new();
        let mut step = 0;
        while seen.len() < 2 * expected.len() {
            let batch = streamed.batch(step).unwrap();
            assert!(batch.tokens() <= 20);
            seen.extend(batch.offsets.ranges().map(|range| batch.ids[range].to_vec()));
            step += 1;
        }
        let (first, second) =
            (seen[..expected.len()].to_vec(), seen[expected.len()..][..expected.len()].to_vec());
        assert_ne!(first, second);
        expected.sort();
        for mut epoch in [first, second] {
            epoch.sort();
            assert_eq!(epoch, expected);
        }
        assert!(streamed.state.borrow().held.len() <= HELD);
    }

    #[test]
    fn text_without_tokens_is_an_error() {
        let (model, dir) = (decoder(), tempfile::tempdir().unwrap());
        let path = dir.path().join("blank");
        std::fs::write(&path, "\n \n\n \n").unwrap();
        let parts = Parts::Files(Corpus::in_chunks(&path, Broken::Stop, 1).unwrap());
        let fault = stream(&model, parts, 1, 0).batch(0).unwrap_err();
        assert!(matches!(fault, Error::NoTokens { .. }), "{fault}");
    }
}
