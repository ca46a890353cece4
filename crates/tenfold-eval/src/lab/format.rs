//! Instructions, done to a word one after the other.

use super::mark;
use crate::prompt::{Judge, Question};
use tenfold_tensor::random::Random;

const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
const VOWELS: &[u8] = b"aeiou";
/// One word in this many is held out, and one combination.
const HELD: u64 = 5;

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Up,
    Back,
    Twice,
    Box,
    Dash,
}

impl Act {
    const ALL: [Self; 5] = [Self::Up, Self::Back, Self::Twice, Self::Box, Self::Dash];

    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Back => "back",
            Self::Twice => "twice",
            Self::Box => "box",
            Self::Dash => "dash",
        }
    }

    fn done(self, text: &str) -> String {
        match self {
            Self::Up => text.to_uppercase(),
            Self::Back => text.chars().rev().collect(),
            Self::Twice => format!("{text}{text}"),
            Self::Box => format!("[{text}]"),
            Self::Dash => format!("-{text}-"),
        }
    }
}

/// What of an order no training line has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Held {
    Word,
    Pair,
}

/// One or two different instructions and a word.
pub(super) struct Order {
    acts: Vec<Act>,
    word: String,
}

impl Order {
    /// An order with nothing held out, or with just that.
    pub(super) fn draw(random: &mut Random, held: Option<Held>) -> Self {
        loop {
            let letter = |random: &mut Random, list: &[u8]| char::from(*random.pick(list).unwrap_or(&b'a'));
            let word = [CONSONANTS, VOWELS, CONSONANTS].map(|list| letter(random, list));
            let mut acts = Act::ALL;
            random.shuffle(&mut acts);
            let two = held == Some(Held::Pair) || random.below(3) > 0;
            let order = Self { acts: acts[..1 + usize::from(two)].to_vec(), word: word.iter().collect() };
            let (word, pair) = (held == Some(Held::Word), held == Some(Held::Pair));
            let sound = order.options().is_some();
            if (order.holds_word(), order.holds_pair()) == (word, pair) && (held.is_none() || sound) {
                return order;
            }
        }
    }

    fn holds_word(&self) -> bool {
        mark(&self.word).is_multiple_of(HELD)
    }

    /// A pair is another one in the other order, and single instructions are never held out.
    fn holds_pair(&self) -> bool {
        self.acts.len() > 1 && mark(&self.words()).is_multiple_of(HELD)
    }

    fn words(&self) -> String {
        self.acts.iter().map(|act| act.word()).collect::<Vec<_>>().join(" ")
    }

    fn prompt(&self) -> String {
        format!("do {}: {} >", self.words(), self.word)
    }

    fn done(&self, acts: &[Act]) -> String {
        acts.iter().fold(self.word.clone(), |text, act| act.done(&text))
    }

    pub(super) fn line(&self) -> String {
        format!("{} {}.", self.prompt(), self.done(&self.acts))
    }

    /// The right result and three of a misread order: one instruction alone, another in the place of one, none. Nothing where fewer
    /// are different.
    fn options(&self) -> Option<Vec<String>> {
        let right = self.done(&self.acts);
        let mut found = vec![right];
        let singles = self.acts.iter().filter(|_| self.acts.len() > 1).map(|act| vec![*act]);
        let turned: Vec<Act> = self.acts.iter().rev().copied().collect();
        let replaced = Act::ALL.iter().filter(|act| !self.acts.contains(act)).map(|act| {
            let mut acts = self.acts.clone();
            acts.pop();
            acts.push(*act);
            acts
        });
        for acts in singles.chain([turned]).chain(replaced) {
            let result = self.done(&acts);
            if found.len() < 4 && !found.contains(&result) {
                found.push(result);
            }
        }
        (found.len() == 4).then_some(found)
    }

    pub(super) fn question(&self) -> Question {
        let right = (mark(&self.prompt()) % 4) as usize;
        let mut options = self.options().unwrap_or_default();
        if right < options.len() {
            options.swap(0, right);
        }
        Question {
            prompt: self.prompt(),
            options: options.into_iter().map(|option| format!(" {option}.")).collect(),
            right,
            judge: Judge::Is(self.done(&self.acts)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_done_in_order() {
        let line = |acts: &[Act]| Order { acts: acts.to_vec(), word: "kat".to_owned() }.line();
        assert_eq!(line(&[Act::Up, Act::Box]), "do up box: kat > [KAT].");
        assert_eq!(line(&[Act::Box, Act::Back]), "do box back: kat > ]tak[.");
        assert_eq!(line(&[Act::Dash, Act::Twice]), "do dash twice: kat > -kat--kat-.");
        assert_eq!(line(&[Act::Twice]), "do twice: kat > katkat.");
    }

    #[test]
    fn some_pairs_are_held_out_and_more_are_not() {
        let mut held = 0;
        for first in Act::ALL {
            for second in Act::ALL.into_iter().filter(|second| *second != first) {
                held += usize::from(Order { acts: vec![first, second], word: String::new() }.holds_pair());
            }
        }
        assert!((2..8).contains(&held), "{held} of 20");
    }
}
