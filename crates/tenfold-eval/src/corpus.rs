//! The text that ships with the program, and a generator of more.
//!
//! [`train`] and [`heldout`] are passages written for this repository, one per line, on unlike subjects.
//! [`generate`] makes any number of further lines from the training passages, word lists and a phrase grammar;
//! [`vocabulary_lines`] puts given words, such as a model's own vocabulary, into short carrier phrases, so that rows
//! of an embedding table which no passage touches are seen as well. Both give the same lines for the same seed on
//! every machine. Nothing here reads the held-out passages except [`heldout`] itself.

mod carrier;
mod grammar;
mod inflect;
mod lexicon;
mod recombine;

use std::collections::HashSet;
use std::sync::LazyLock;

use grammar::Grammar;
use recombine::Recombiner;
use tenfold_tensor::random::Random;

const TRAIN: &str = include_str!("../text/train.txt");
const HELDOUT: &str = include_str!("../text/heldout.txt");

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(Grammar::shipped);

/// Passages to calibrate and heal on, in file order; each is one line of 1 to 60 words.
pub fn train() -> impl Iterator<Item = &'static str> {
    TRAIN.lines()
}

/// Passages to measure on, in file order; none shares five consecutive words with a line of [`train`].
pub fn heldout() -> impl Iterator<Item = &'static str> {
    HELDOUT.lines()
}

/// `count` further lines, all different from each other and from those of [`train`].
///
/// The first lines of a longer list are those of a shorter one with the same `seed`.
///
/// ```
/// use tenfold_eval::corpus;
///
/// let lines = corpus::generate(7, 100);
/// assert_eq!(lines.len(), 100);
/// assert_eq!(lines[..10], corpus::generate(7, 10)[..]);
/// ```
pub fn generate(seed: u64, count: usize) -> Vec<String> {
    let passages: Vec<&str> = train().collect();
    let recombiner = Recombiner::new(&passages, GRAMMAR.lexicon());
    let mut random = Random::new(seed);
    let mut seen: HashSet<String> = passages.iter().map(|line| line.to_string()).collect();
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        let line = match random.below(20) {
            0..=8 => Some(GRAMMAR.sentence(&mut random)),
            9..=10 => Some(GRAMMAR.raw(&mut random)),
            11..=13 => recombiner.replace_words(&mut random),
            14..=16 => recombiner.swap_clauses(&mut random),
            _ => recombiner.join(&mut random),
        };
        if let Some(line) = line
            && seen.insert(line.clone())
        {
            lines.push(line);
        }
    }
    lines
}

/// `count` short lines that hold the given `words`, every word as often as every other to within one.
///
/// Entries marked as word-internal by a leading `##` (WordPiece) are glued to the end of a short whole word. Markers
/// (`[CLS]`) and empty entries are left out; without any word left the list is empty. A line
/// takes two words on average, so `words.len() / 2` lines show nearly all of them once.
pub fn vocabulary_lines<'a>(words: impl Iterator<Item = &'a str>, seed: u64, count: usize) -> Vec<String> {
    carrier::lines(&GRAMMAR, words, seed, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATED: usize = 3000;

    fn words(line: &str) -> Vec<String> {
        line.split(|letter: char| !letter.is_alphanumeric() && letter != '\'')
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect()
    }

    fn runs(line: &str, length: usize) -> Vec<String> {
        words(line).windows(length).map(|run| run.join(" ")).collect()
    }

    #[test]
    fn files_have_enough_distinct_clean_lines() {
        assert!(train().count() >= 1600, "train has {} lines", train().count());
        assert_eq!(heldout().count(), 320);
        let mut seen = HashSet::new();
        for line in train().chain(heldout()) {
            assert!(seen.insert(line), "twice: {line}");
            assert!(!line.trim().is_empty() && line.trim() == line, "blank edge: {line:?}");
            assert!(!line.contains(|letter: char| letter.is_control() || letter == '\u{feff}'), "{line:?}");
            assert!((1..=60).contains(&words(line).len()), "length: {line}");
        }
    }

    #[test]
    fn training_text_has_a_broad_vocabulary() {
        let distinct: HashSet<String> = train().flat_map(words).collect();
        assert!(distinct.len() > 9000, "{} distinct words", distinct.len());
    }

    #[test]
    fn heldout_shares_no_run_of_five_words_with_train() {
        let known: HashSet<String> = train().flat_map(|line| runs(line, 5)).collect();
        for line in heldout() {
            for run in runs(line, 5) {
                assert!(!known.contains(&run), "`{run}` of `{line}` is in train.txt");
            }
        }
    }

    #[test]
    fn same_seed_same_lines_and_other_seed_other_lines() {
        assert_eq!(generate(3, 200), generate(3, 200));
        assert_eq!(generate(3, 50)[..], generate(3, 200)[..50]);
        let first: HashSet<String> = generate(3, 200).into_iter().collect();
        let shared = generate(4, 200).into_iter().filter(|line| first.contains(line)).count();
        assert!(shared < 5, "{shared} of 200 lines are the same under another seed");
    }

    #[test]
    fn generated_lines_are_distinct_clean_and_new() {
        let lines = generate(11, GENERATED);
        assert_eq!(lines.len(), GENERATED);
        let mut seen: HashSet<&str> = train().collect();
        for line in &lines {
            assert!(seen.insert(line), "repeated: {line}");
            assert!(!line.is_empty() && line.trim() == line && !line.contains("  "), "{line:?}");
            assert!(!line.contains(['{', '}']) || line.contains("fn area"), "unfilled slot: {line}");
            assert!((1..=130).contains(&words(line).len()), "length: {line}");
        }
    }

    #[test]
    fn generated_lines_stay_apart_from_heldout() {
        let known: HashSet<String> = heldout().flat_map(|line| runs(line, 5)).collect();
        let exact: HashSet<&str> = heldout().collect();
        for line in generate(12, GENERATED) {
            assert!(!exact.contains(line.as_str()), "held-out line: {line}");
            for run in runs(&line, 5) {
                assert!(!known.contains(&run), "`{run}` of `{line}` is in heldout.txt");
            }
        }
    }

    #[test]
    fn vocabulary_lines_spread_the_words_evenly() {
        let given = ["[CLS]", "quagga", "##ness", "€", "oboe", "fjord", "", "[unused3]"];
        let lines = vocabulary_lines(given.into_iter(), 5, 300);
        assert_eq!(lines.len(), 300);
        assert_eq!(lines, vocabulary_lines(given.into_iter(), 5, 300));
        let text = lines.join("\n");
        assert!(!text.contains("[CLS]") && !text.contains("unused") && !text.contains(['#', '{']), "{text}");
        let often = |word: &str| text.matches(word).count();
        // "ness" is glued to one of the whole words, so a whole word may occur more often than it was dealt.
        assert!(often("ness") > 100 && often("quagga") > 100 && often("€") > 100);
        assert!(vocabulary_lines(["[PAD]", " "].into_iter(), 5, 10).is_empty());
    }
}
