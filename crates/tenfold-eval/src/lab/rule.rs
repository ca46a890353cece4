//! Maps from letters to labels, shown once and asked for again.

use super::mark;
use crate::prompt::{Judge, Question};
use tenfold_tensor::random::Random;

/// The letters that are mapped.
const KEYS: &[u8] = b"abcdefghijklmnopqrst";
/// What they are mapped to: as many as questions have options.
const LABELS: usize = 4;
/// Letters of a map.
const SIZES: (usize, usize) = (4, 7);
/// One map in this many is held out.
const HELD: u64 = 8;

pub(super) struct Rule {
    /// Letter and label, in the order shown.
    pairs: Vec<(char, usize)>,
}

impl Rule {
    pub(super) fn draw(random: &mut Random, held_out: bool) -> Self {
        loop {
            let mut keys = KEYS.to_vec();
            random.shuffle(&mut keys);
            keys.truncate(random.between(SIZES.0, SIZES.1));
            let pairs = keys.iter().map(|key| (char::from(*key), random.below(LABELS))).collect();
            let rule = Self { pairs };
            if rule.is_held_out() == held_out {
                return rule;
            }
        }
    }

    /// A property of the map, not of the order in which it is shown.
    fn is_held_out(&self) -> bool {
        let mut shown: Vec<String> = self.pairs.iter().map(show).collect();
        shown.sort_unstable();
        mark(&shown.concat()).is_multiple_of(HELD)
    }

    fn shown(&self) -> String {
        self.pairs.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    pub(super) fn line(&self, random: &mut Random) -> String {
        let mut again = self.pairs.clone();
        random.shuffle(&mut again);
        format!("rule {}; {}.", self.shown(), again.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    pub(super) fn question(&self, random: &mut Random) -> Question {
        let (key, label) = self.pairs[random.below(self.pairs.len())];
        Question {
            prompt: format!("rule {}; {key}>", self.shown()),
            options: (0..LABELS).map(|label| label.to_string()).collect(),
            right: label,
            judge: Judge::Begins(label.to_string()),
        }
    }
}

fn show((key, label): &(char, usize)) -> String {
    format!("{key}>{label}")
}
