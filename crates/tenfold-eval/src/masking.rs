//! Which tokens of a text are to be guessed, and what a model sees in their places.

use crate::error::Error;
use tenfold_format::tokenizer::Tokenizer;
use tenfold_tensor::random::Random;

/// The token that hides another one, in vocabularies of BERT and in those of byte pairs.
const MASKS: [&str; 2] = ["[MASK]", "<mask>"];
/// What pieces inside of a word begin with.
const CONTINUES: &str = "##";

/// The rule by which tokens are chosen and hidden; [`Default`] is the published one.
///
/// Source: Devlin et al. 2019, section 3.1, task 1; whole words as in the later release of its code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Masking {
    /// The probability with which a token, or a word, is chosen.
    pub chosen: f64,
    /// The share of chosen tokens that become the mask token.
    pub masked: f64,
    /// The share of chosen tokens that become a token drawn from the whole vocabulary; what is left stays as it is.
    pub random: f64,
    /// Whether words are chosen, with all their pieces.
    pub whole: bool,
}

impl Default for Masking {
    fn default() -> Self {
        Self { chosen: 0.15, masked: 0.8, random: 0.1, whole: false }
    }
}

/// A token to be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Where it stands in its sequence, from 0.
    pub place: usize,
    /// What stood there.
    pub token: u32,
}

/// The rule with what it needs to know of a vocabulary.
#[derive(Clone, Debug)]
pub struct Masker {
    rule: Masking,
    mask: u32,
    vocabulary: usize,
    frame: (u32, u32),
    /// By token: whether it goes on a word. Empty where tokens are chosen one by one.
    continues: Vec<bool>,
}

impl Masker {
    /// A rule for the texts of a tokenizer.
    ///
    /// # Errors
    /// [`Error::NoMask`] for a vocabulary without a mask token, [`Error::NoFrame`] for a tokenizer that does not put one token before a
    /// text and one behind it, [`Error::NoWords`] where whole words are asked for and no token goes on one.
    pub fn new(tokenizer: &Tokenizer, rule: Masking) -> Result<Self, Error> {
        let path = || tokenizer.path().to_owned();
        let mask = MASKS.iter().find_map(|token| tokenizer.id(token));
        let mask = mask.ok_or_else(|| Error::NoMask { path: path(), known: MASKS.join(", ") })?;
        let around = tokenizer.encode("", usize::MAX).map_err(tenfold_model::Error::from)?;
        let &[begin, end] = around.as_slice() else {
            return Err(Error::NoFrame { path: path(), got: around.len() });
        };
        let vocabulary = tokenizer.vocabulary_size();
        let mut continues = Vec::new();
        if rule.whole {
            let inside = |id: u32| tokenizer.token(id).is_some_and(|token| token.starts_with(CONTINUES));
            continues = (0..vocabulary as u32).map(inside).collect();
            if !continues.contains(&true) {
                return Err(Error::NoWords { path: path() });
            }
        }
        Ok(Self { rule, mask, vocabulary, frame: (begin, end), continues })
    }

    /// The tokens before and behind a text. They are never chosen.
    pub fn frame(&self) -> (u32, u32) {
        self.frame
    }

    /// Hides tokens of a sequence and says which were chosen, in order.
    pub fn draw(&self, ids: &mut [u32], random: &mut Random) -> Vec<Chosen> {
        let mut chosen = Vec::new();
        let mut word = false;
        for (place, id) in ids.iter_mut().enumerate() {
            if !self.may_choose(*id) {
                word = false;
                continue;
            }
            // A piece that goes on a word shares its fate; without whole words every token is one.
            let inside = place > 0 && self.continues.get(*id as usize).is_some_and(|inside| *inside);
            if !inside {
                word = random.uniform() < self.rule.chosen;
            }
            if word {
                chosen.push(Chosen { place, token: *id });
                *id = self.hidden(*id, random);
            }
        }
        chosen
    }

    /// Hides one token of a sequence, whichever; nothing where none may be chosen.
    pub fn draw_one(&self, ids: &mut [u32], random: &mut Random) -> Option<Chosen> {
        let places: Vec<usize> = (0..ids.len()).filter(|place| self.may_choose(ids[*place])).collect();
        let place = *random.pick(&places)?;
        let token = ids[place];
        ids[place] = self.hidden(token, random);
        Some(Chosen { place, token })
    }

    fn may_choose(&self, id: u32) -> bool {
        id != self.frame.0 && id != self.frame.1
    }

    /// What a model sees in the place of a chosen token.
    fn hidden(&self, id: u32, random: &mut Random) -> u32 {
        let Masking { masked, random: other, .. } = self.rule;
        let way = random.uniform();
        if way < masked {
            self.mask
        } else if way < masked + other {
            random.below(self.vocabulary) as u32
        } else {
            id
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: (u32, u32) = (2, 3);

    fn masker(rule: Masking, inside: impl Fn(u32) -> bool) -> Masker {
        let vocabulary = 5000;
        let continues = if rule.whole { (0..vocabulary as u32).map(inside).collect() } else { Vec::new() };
        Masker { rule, mask: 4, vocabulary, frame: FRAME, continues }
    }

    /// `count` tokens between those of the frame, no two neighbors equal.
    fn framed(count: u32) -> Vec<u32> {
        [FRAME.0].into_iter().chain((0..count).map(|at| 5 + at % 4000)).chain([FRAME.1]).collect()
    }

    /// Whether a count lies within five standard deviations of a binomial's mean.
    fn binomial(got: usize, tries: usize, share: f64) -> bool {
        let (mean, deviation) = (tries as f64 * share, (tries as f64 * share * (1.0 - share)).sqrt());
        (got as f64 - mean).abs() <= 5.0 * deviation
    }

    #[test]
    fn shares_are_those_of_the_rule() {
        let tokens = 200_000;
        for rule in [Masking::default(), Masking { chosen: 0.4, masked: 0.5, random: 0.3, whole: false }] {
            let ids = framed(tokens);
            let mut read = ids.clone();
            let chosen = masker(rule, |_| false).draw(&mut read, &mut Random::new(7));
            assert!(binomial(chosen.len(), tokens as usize, rule.chosen), "{}", chosen.len());
            let seen = |is: &dyn Fn(&Chosen) -> bool| chosen.iter().filter(|one| is(one)).count();
            let masks = seen(&|one| read[one.place] == 4);
            let kept = seen(&|one| read[one.place] == one.token);
            // A token drawn at random is the same or the mask once in 2,500 times.
            assert!(binomial(masks, chosen.len(), rule.masked), "{masks}");
            assert!(binomial(kept, chosen.len(), 1.0 - rule.masked - rule.random), "{kept}");
            // What was not chosen is as it was, and what was is told truly.
            let mut again = read.clone();
            chosen.iter().for_each(|one| again[one.place] = one.token);
            assert_eq!(again, ids);
            assert!(chosen.iter().all(|one| ids[one.place] == one.token));
        }
    }

    #[test]
    fn draws_depend_on_the_stream_alone_and_spare_the_frame() {
        let masker = masker(Masking { chosen: 1.0, ..Masking::default() }, |_| false);
        let draw = |seed| {
            let mut ids = framed(300);
            (masker.draw(&mut ids, &mut Random::new(seed)), ids)
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1).1, draw(2).1);
        let (chosen, ids) = draw(3);
        assert_eq!(chosen.len(), 300);
        assert_eq!((ids[0], ids[301]), FRAME);
    }

    #[test]
    fn whole_words_are_chosen_with_all_their_pieces() {
        // Every third token begins a word.
        let inside = |id: u32| id >= 5 && !(id - 5).is_multiple_of(3);
        let rule = Masking { whole: true, ..Masking::default() };
        let mut ids = framed(3999);
        let chosen = masker(rule, inside).draw(&mut ids, &mut Random::new(11));
        assert!(binomial(chosen.len() / 3, 1333, 0.15), "{}", chosen.len());
        for word in chosen.chunks(3) {
            let places: Vec<usize> = word.iter().map(|one| one.place).collect();
            assert_eq!(places, [places[0], places[0] + 1, places[0] + 2]);
            assert!(!inside(word[0].token));
        }
    }

    #[test]
    fn one_token_can_be_asked_for() {
        let masker = masker(Masking { chosen: 0.0, masked: 1.0, ..Masking::default() }, |_| false);
        let mut ids = framed(5);
        assert!(masker.draw(&mut ids, &mut Random::new(1)).is_empty());
        let one = masker.draw_one(&mut ids, &mut Random::new(1)).unwrap();
        assert_eq!((ids[one.place], one.token), (4, framed(5)[one.place]));
        assert_eq!(masker.draw_one(&mut [2, 3], &mut Random::new(1)), None);
    }
}
