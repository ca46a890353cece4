//! The laboratory: three abilities in a form that a small decoder can learn, generated without end from a seed.
//!
//! ```text
//! rule k>3 a>1 f>0 c>2; f>0 k>3 c>2 a>1.      a map of its own on every line: to be learned from the line itself
//! sum 47+85: 7+5=12 4+8+1=13 =132.            a sum, digit by digit with its carry
//! do up box: kat > [KAT].                     one or two instructions, done to a word
//! ```
//!
//! A model trains on [`training`] lines and answers [`rule_questions`], [`sum_questions`] and [`format_questions`], whose rules were
//! **held out**: no training line has such a map, adds such a pair of numbers, or has such a word or combination of instructions. What
//! is held out is a property of the rule, so it is the same for every seed. The kinds stand for in-context learning, chains of thought and
//! following instructions in the study of quantized models (Liu et al. 2024); what small models show of them is no measure of large ones.

mod format;
mod rule;
mod sum;

use crate::prompt::Group;
use tenfold_tensor::random::Random;

/// The seeds of questions and of held-out text.
const QUESTIONS: u64 = 0x5155_4553;
const HELD_OUT: u64 = 0x4845_4C44;
/// Questions of each kind.
const COUNT: usize = 500;

/// `count` lines to train on, about as many of each kind. The first lines of a longer list are those of a shorter one with the same
/// `seed`.
///
/// ```
/// use tenfold_eval::lab;
///
/// let lines = lab::training(7, 100);
/// assert_eq!(lines[..10], lab::training(7, 10)[..]);
/// assert!(lines.iter().any(|line| line.starts_with("sum ")));
/// ```
pub fn training(seed: u64, count: usize) -> Vec<String> {
    lines(seed, count, false)
}

/// `count` lines of held-out rules, to measure on.
pub fn held_out(count: usize) -> Vec<String> {
    lines(HELD_OUT, count, true)
}

fn lines(seed: u64, count: usize, held_out: bool) -> Vec<String> {
    let mut random = Random::new(seed);
    let line = |random: &mut Random| match random.below(3) {
        0 => rule::Rule::draw(random, held_out).line(random),
        1 => sum::Sum::draw(random, held_out).line(),
        _ => {
            let held = held_out.then(|| random_part(random));
            format::Order::draw(random, held).line()
        }
    };
    (0..count).map(|_| line(&mut random)).collect()
}

fn random_part(random: &mut Random) -> format::Held {
    if random.below(2) == 0 { format::Held::Word } else { format::Held::Pair }
}

/// Maps that no training line has; the options are the labels.
pub fn rule_questions() -> Vec<Group> {
    let mut random = Random::labelled(QUESTIONS, &[0]);
    let questions = (0..COUNT).map(|_| rule::Rule::draw(&mut random, true).question(&mut random));
    vec![Group { name: "maps".to_owned(), questions: questions.collect(), ..Group::default() }]
}

/// Sums of pairs that no training line adds; the options are workings, of which three have a slip.
pub fn sum_questions() -> Vec<Group> {
    let mut random = Random::labelled(QUESTIONS, &[1]);
    let questions = (0..COUNT).map(|_| sum::Sum::draw(&mut random, true).question());
    vec![Group { name: "sums".to_owned(), questions: questions.collect(), ..Group::default() }]
}

/// Instructions on words that no training line has, and in combinations that none has; the options are other ways to misread them.
pub fn format_questions() -> Vec<Group> {
    let mut random = Random::labelled(QUESTIONS, &[2]);
    let mut group = |name: &str, held: format::Held| {
        let questions = (0..COUNT / 2).map(|_| format::Order::draw(&mut random, Some(held)).question());
        Group { name: name.to_owned(), questions: questions.collect(), ..Group::default() }
    };
    vec![group("new words", format::Held::Word), group("new combinations", format::Held::Pair)]
}

/// A number that depends on every byte of a text: FNV-1a (Fowler, Noll and Vo), finished by a multiplication.
fn mark(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    let hash = text.bytes().fold(0xCBF2_9CE4_8422_2325, step);
    (hash ^ (hash >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::{Judge, Written};
    use std::collections::HashSet;

    fn questions() -> Vec<crate::prompt::Question> {
        [rule_questions(), sum_questions(), format_questions()]
            .concat()
            .into_iter()
            .flat_map(|group| group.questions)
            .collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_lines_and_kinds_are_even() {
        assert_eq!(training(3, 300), training(3, 300));
        assert_ne!(training(3, 300), training(4, 300));
        let lines = training(3, 3000);
        for kind in ["rule ", "sum ", "do "] {
            let count = lines.iter().filter(|line| line.starts_with(kind)).count();
            assert!((900..1100).contains(&count), "{kind} {count}");
        }
        assert!(lines.iter().all(|line| line.ends_with('.') && line.len() < 100 && line.is_ascii()));
    }

    #[test]
    fn no_training_line_shows_a_held_out_rule() {
        let prompts: HashSet<String> = training(1, 30_000).iter().map(|line| rule_of(line)).collect();
        for line in held_out(2000) {
            assert!(!prompts.contains(&rule_of(&line)), "{line}");
        }
        for question in questions() {
            let line = format!("{}{}", question.prompt, question.options[question.right]);
            assert!(!prompts.contains(&rule_of(&line)), "{line}");
        }
    }

    /// What of a line is held out: the map, whatever its order; the two numbers, in either order; the instructions with the word.
    fn rule_of(line: &str) -> String {
        let (head, _) = line.split_once([';', ':']).unwrap();
        if let Some(numbers) = head.strip_prefix("sum ") {
            let mut pair: Vec<&str> = numbers.split('+').collect();
            pair.sort_unstable();
            return pair.concat();
        }
        if let Some(map) = head.strip_prefix("rule ") {
            let mut pairs: Vec<&str> = map.split(' ').collect();
            pairs.sort_unstable();
            return pairs.concat();
        }
        line.split_once('>').unwrap().0.to_owned()
    }

    #[test]
    fn right_options_are_right_and_others_are_not() {
        for question in questions() {
            let written = |text: &str| Written { text: text.trim_end_matches('.').to_owned(), ended: true };
            assert_eq!(question.options.len(), 4, "{}", question.prompt);
            for (at, option) in question.options.iter().enumerate() {
                assert_eq!(
                    question.judge.right(&written(option)),
                    at == question.right,
                    "{}{option}",
                    question.prompt
                );
            }
            let distinct: HashSet<&String> = question.options.iter().collect();
            assert_eq!(distinct.len(), 4);
            assert!(!matches!(question.judge, Judge::Form(_)));
        }
    }

    #[test]
    fn right_options_stand_at_every_place() {
        for group in [rule_questions(), sum_questions(), format_questions()].concat() {
            let mut places = [0; 4];
            group.questions.iter().for_each(|question| places[question.right] += 1);
            let share = group.questions.len() / 4;
            assert!(
                places.iter().all(|count| (share / 2..2 * share).contains(count)),
                "{} {places:?}",
                group.name
            );
        }
    }
}
