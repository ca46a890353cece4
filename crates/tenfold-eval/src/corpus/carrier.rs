//! Short lines that hold given words. The frames are data, in `text/words/carriers.txt`.

use super::grammar::{BLANK, Frame, Grammar, parse};
use super::inflect::capitalize;
use super::lexicon::content;
use tenfold_tensor::random::Random;

const CARRIERS: &str = include_str!("../../text/words/carriers.txt");

/// Whole words this short serve as the beginning of a word that ends in a given word-internal piece.
const STEM_LETTERS: usize = 5;

/// Deals the words in a random order, again and again, each round in another order.
struct Deck {
    words: Vec<String>,
    dealt: usize,
}

impl Deck {
    fn next(&mut self, random: &mut Random) -> &str {
        if self.dealt.is_multiple_of(self.words.len()) {
            random.shuffle(&mut self.words);
        }
        let at = self.dealt % self.words.len();
        self.dealt += 1;
        &self.words[at]
    }
}

/// See [`super::vocabulary_lines`].
pub(super) fn lines<'a>(
    grammar: &Grammar,
    words: impl Iterator<Item = &'a str>,
    seed: u64,
    count: usize,
) -> Vec<String> {
    let mut random = Random::new(seed);
    let marker = |word: &str| word.len() > 2 && word.starts_with('[') && word.ends_with(']');
    let usable = |word: &&str| !word.is_empty() && !marker(word);
    let (pieces, mut words): (Vec<String>, Vec<String>) = words
        .map(str::trim)
        .filter(usable)
        .map(str::to_owned)
        .partition(|word| word.len() > 2 && word.starts_with("##"));
    let stem = |word: &&String| word.bytes().all(|letter| letter.is_ascii_alphabetic());
    let stems: Vec<String> =
        words.iter().filter(stem).filter(|word| (2..=STEM_LETTERS).contains(&word.len())).cloned().collect();
    for piece in &pieces {
        let stem = random.pick(&stems).map_or("", String::as_str);
        words.push(format!("{stem}{}", piece.trim_start_matches('#')));
    }
    if words.is_empty() {
        return Vec::new();
    }
    let frames: Vec<Frame> = frames().map(parse).collect();
    let mut deck = Deck { words, dealt: 0 };
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        let Some(frame) = random.pick(&frames) else { break };
        let mut line = String::new();
        for letter in capitalize(&grammar.fill(frame, &mut random)).chars() {
            if letter == BLANK {
                line.push_str(deck.next(&mut random));
            } else {
                line.push(letter);
            }
        }
        lines.push(line);
    }
    lines
}

/// The carrier frames as written.
pub(super) fn frames() -> impl Iterator<Item = &'static str> {
    content(CARRIERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_carrier_holds_a_word() {
        assert!(frames().count() > 40);
        assert!(frames().all(|frame| frame.contains("{}")));
    }
}
