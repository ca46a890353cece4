//! New lines out of the training passages: other names, numbers and nouns; clauses joined anew; two passages in one.

use std::collections::{HashMap, HashSet};

use super::inflect::capitalize;
use super::lexicon::Lexicon;
use tenfold_tensor::random::Random;

/// Where a passage may be cut. The part before one cut and the part after another of the same kind make a sentence.
const CUTS: [&str; 16] = [
    ", and ",
    ", but ",
    ", so ",
    ", which ",
    ", because ",
    ", although ",
    ", while ",
    "; ",
    " because ",
    " while ",
    " when ",
    " until ",
    " before ",
    " after ",
    " although ",
    " so that ",
];

/// Fewest letters of a half that is worth joining.
const SHORTEST_HALF: usize = 15;

/// The passages, cut and indexed.
pub(super) struct Recombiner<'a> {
    passages: &'a [&'a str],
    /// Passages that end like a sentence, the only ones that can stand before another.
    closed: Vec<&'a str>,
    /// Heads and tails per cut, in the order of [`CUTS`], without the cuts that occur too seldom.
    halves: Vec<(&'static str, Vec<&'a str>, Vec<&'a str>)>,
    /// The list a word may be exchanged within.
    kin: HashMap<&'static str, &'a [&'static str]>,
}

impl<'a> Recombiner<'a> {
    pub(super) fn new(passages: &'a [&'a str], lexicon: &'a Lexicon) -> Recombiner<'a> {
        let closed = passages.iter().copied().filter(|line| line.ends_with(['.', '?', '!', '"'])).collect();
        let mut halves = Vec::new();
        for cut in CUTS {
            let cuts: Vec<(&str, &str)> = passages
                .iter()
                .filter(|line| line.ends_with('.') && !line.contains('"'))
                .filter_map(|line| line.split_once(cut))
                .filter(|(head, tail)| head.len() >= SHORTEST_HALF && tail.len() >= SHORTEST_HALF)
                .collect();
            if cuts.len() >= 8 {
                let (heads, tails) = cuts.into_iter().unzip();
                halves.push((cut, heads, tails));
            }
        }
        Recombiner { passages, closed, halves, kin: kin(lexicon) }
    }

    /// Two passages on one line.
    pub(super) fn join(&self, random: &mut Random) -> Option<String> {
        let first = random.pick(&self.closed)?;
        let second = random.pick(&self.closed)?;
        (first != second).then(|| format!("{first} {second}"))
    }

    /// The beginning of one passage and the end of another, joined at the same conjunction.
    pub(super) fn swap_clauses(&self, random: &mut Random) -> Option<String> {
        let (cut, heads, tails) = random.pick(&self.halves)?;
        Some(format!("{}{cut}{}", random.pick(heads)?, random.pick(tails)?))
    }

    /// A passage with other numbers, names, places and a few other nouns or adjectives of the same list.
    pub(super) fn replace_words(&self, random: &mut Random) -> Option<String> {
        let passage = random.pick(self.passages)?;
        let mut line = String::with_capacity(passage.len());
        let mut changed = false;
        for chunk in passage.split_inclusive(|letter: char| !letter.is_alphanumeric()) {
            let word = chunk.trim_end_matches(|letter: char| !letter.is_alphanumeric());
            let other = if word.chars().any(|letter| letter.is_ascii_digit()) {
                Some(renumber(word, random))
            } else {
                self.exchange(word, line.is_empty(), random)
            };
            changed |= other.is_some();
            line.push_str(other.as_deref().unwrap_or(word));
            line.push_str(&chunk[word.len()..]);
        }
        changed.then_some(line)
    }

    /// Another word for `word`; names always, other listed words every other time.
    fn exchange(&self, word: &str, opens: bool, random: &mut Random) -> Option<String> {
        let list = self.kin.get(word)?;
        let name = word.starts_with(char::is_uppercase);
        if (name && opens) || (!name && random.below(2) == 0) {
            return None;
        }
        let other = random.pick(list)?;
        // An article before the word must stay right.
        let vowel = |word: &str| word.to_lowercase().starts_with(['a', 'e', 'i', 'o', 'u']);
        let fits = !other.contains(' ') && (name || vowel(other) == vowel(word));
        fits.then(|| if name { capitalize(other) } else { (*other).to_owned() })
    }
}

/// Digits exchanged for others; a year stays in its century.
fn renumber(word: &str, random: &mut Random) -> String {
    let year = word.len() == 4 && (word.starts_with('1') || word.starts_with("20"));
    let mut figure = String::with_capacity(word.len());
    for (at, letter) in word.chars().enumerate() {
        let kept = !letter.is_ascii_digit() || (year && at < 2) || letter == '0';
        match u8::try_from(random.between(1, 9)) {
            Ok(digit) if !kept => figure.push(char::from(b'0' + digit)),
            _ => figure.push(letter),
        }
    }
    figure
}

/// Single words that may be exchanged, each with its list: nouns that are not listed as a verb or adjective as well,
/// colors and materials, and names that are no noun ("Stone", "Rose").
fn kin(lexicon: &Lexicon) -> HashMap<&'static str, &[&'static str]> {
    let lists = |names: &'static [&'static str]| {
        let all = lexicon.subjects.iter().chain([&lexicon.general]);
        all.flat_map(|lists| names.iter().filter_map(|name| lists.get(name)))
    };
    let other = lists(&[
        "does",
        "handles",
        "acts",
        "moves",
        "says",
        "happens",
        "like",
        "adjective",
        "common",
        "temper",
    ]);
    let ambiguous: HashSet<&str> = other.flatten().copied().collect();
    let mut kin: HashMap<&'static str, &[&'static str]> = HashMap::new();
    for list in lists(&["who", "thing", "mass", "idea"]) {
        for word in list.iter().filter(|word| !word.contains(' ') && !ambiguous.contains(*word)) {
            kin.entry(word).or_insert(list);
        }
    }
    for list in lists(&["color", "material"]) {
        for word in list.iter().filter(|word| !word.contains(' ')) {
            kin.entry(word).or_insert(list);
        }
    }
    let mut names: HashMap<&'static str, &[&'static str]> = HashMap::new();
    for list in lists(&["first", "last", "city", "country", "month", "weekday"]) {
        let noun = |word: &str| {
            kin.contains_key(word.to_lowercase().as_str()) || ambiguous.contains(word.to_lowercase().as_str())
        };
        for word in list.iter().filter(|word| !word.contains(' ') && !noun(word)) {
            names.entry(word).or_insert(list);
        }
    }
    kin.extend(names);
    kin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_names_and_numbers_and_keeps_the_rest() {
        let lexicon = Lexicon::shipped();
        let passages = [
            "On 14 Tuesday nights in 1987 Gustavo met Helen, and nobody else ever ever knew about it at all.",
        ];
        let recombiner = Recombiner::new(&passages, &lexicon);
        let mut random = Random::new(9);
        let line = (0..20).find_map(|_| recombiner.replace_words(&mut random)).unwrap();
        assert!(
            line.starts_with("On ") && line.ends_with(" nobody else ever ever knew about it at all."),
            "{line}"
        );
        assert!(
            line.contains(" nights in 19") && line.contains("Gustavo met ") && !line.contains("Helen"),
            "{line}"
        );
    }

    #[test]
    fn a_single_passage_cannot_be_joined_with_itself() {
        let lexicon = Lexicon::shipped();
        let recombiner = Recombiner::new(&["Nobody came."], &lexicon);
        assert_eq!(recombiner.join(&mut Random::new(1)), None);
        assert_eq!(recombiner.swap_clauses(&mut Random::new(1)), None);
    }
}
