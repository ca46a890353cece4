//! A recursive phrase grammar over the word lists. The rules are data, in `text/words/frames.txt`.

use std::collections::{BTreeMap, HashSet};

use super::inflect::{Inflection, Inflector, capitalize};
use super::lexicon::{Lexicon, content};
use tenfold_tensor::random::Random;

const FRAMES: &str = include_str!("../../text/words/frames.txt");

/// Nested rules beyond this depth take their first alternative, which is written never to recurse.
const DEEPEST: usize = 5;

/// Stands for a word of the caller in the text of an expanded frame; no list holds it.
pub(super) const BLANK: char = '\u{1}';

/// One alternative of a rule.
pub(super) type Frame = Vec<Part>;

/// A piece of a frame.
pub(super) enum Part {
    Text(&'static str),
    Slot(Slot),
}

/// A slot such as `{does:ed}` or `{~thing}`.
pub(super) struct Slot {
    name: &'static str,
    form: Inflection,
    /// Written `{~name}`: from any subject, not the one the line is about.
    foreign: bool,
}

/// Rules and lists ready to expand.
pub(super) struct Grammar {
    rules: BTreeMap<&'static str, Vec<Frame>>,
    lexicon: Lexicon,
    inflector: Inflector,
}

/// One line in the making.
struct Draft {
    subject: usize,
    text: String,
    /// Entries taken so far: a line that names the same thing twice reads badly.
    taken: HashSet<&'static str>,
}

impl Grammar {
    pub(super) fn shipped() -> Grammar {
        let mut rules: BTreeMap<_, Vec<Frame>> = BTreeMap::new();
        for (name, frame) in content(FRAMES).filter_map(|line| line.split_once(" = ")) {
            rules.entry(name).or_default().push(parse(frame));
        }
        Grammar { rules, lexicon: Lexicon::shipped(), inflector: Inflector::shipped() }
    }

    pub(super) fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// A sentence, or two, with a capital and its stop.
    pub(super) fn sentence(&self, random: &mut Random) -> String {
        capitalize(&self.start("line", random))
    }

    /// A line that is no sentence: a query, a title, a headline, a line of code.
    pub(super) fn raw(&self, random: &mut Random) -> String {
        self.start("raw", random)
    }

    /// The text of `frame` about a random subject; unnamed slots `{}` become [`BLANK`].
    pub(super) fn fill(&self, frame: &Frame, random: &mut Random) -> String {
        let subject = random.below(self.lexicon.subjects.len());
        let mut draft = Draft { subject, text: String::new(), taken: HashSet::new() };
        self.expand(frame, 0, &mut draft, random);
        polish(&draft.text)
    }

    fn start(&self, rule: &str, random: &mut Random) -> String {
        let alternatives = self.rules.get(rule).map_or(&[][..], Vec::as_slice);
        random.pick(alternatives).map_or_else(String::new, |frame| self.fill(frame, random))
    }

    fn expand(&self, frame: &Frame, depth: usize, draft: &mut Draft, random: &mut Random) {
        for part in frame {
            match part {
                Part::Text(text) => draft.text.push_str(text),
                Part::Slot(slot) => self.slot(slot, depth, draft, random),
            }
        }
    }

    fn slot(&self, slot: &Slot, depth: usize, draft: &mut Draft, random: &mut Random) {
        if slot.name.is_empty() {
            draft.text.push(BLANK);
        } else if let Some(alternatives) = self.rules.get(slot.name) {
            let chosen = if depth < DEEPEST { random.pick(alternatives) } else { alternatives.first() };
            if let Some(frame) = chosen {
                self.expand(frame, depth + 1, draft, random);
            }
        } else if let Some(number) = figure(slot.name, random) {
            draft.text.push_str(&number);
        } else {
            let subject =
                if slot.foreign { random.below(self.lexicon.subjects.len()) } else { draft.subject };
            let list = self.lexicon.list(subject, slot.name);
            let mut word = random.pick(list).copied().unwrap_or_default();
            for _ in 0..4 {
                if !draft.taken.contains(word) {
                    break;
                }
                word = random.pick(list).copied().unwrap_or_default();
            }
            draft.taken.insert(word);
            draft.text.push_str(&self.inflector.apply(word, slot.form));
        }
    }
}

/// The parts of a frame; a slot with an unknown form keeps the base form (a unit test finds none).
pub(super) fn parse(text: &'static str) -> Frame {
    let mut parts = Frame::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, after) = after.split_once('}').unwrap_or((after, ""));
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        let (name, form) = inside.split_once(':').unwrap_or((inside, ""));
        let form = Inflection::named(form).unwrap_or(Inflection::Base);
        let own = name.strip_prefix('~');
        parts.push(Part::Slot(Slot { name: own.unwrap_or(name), form, foreign: own.is_some() }));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

/// Numbers, dates and amounts, which are drawn and not listed; none when `name` is no such slot.
fn figure(name: &str, random: &mut Random) -> Option<String> {
    Some(match name {
        "int" => match random.below(3) {
            0 => random.between(2, 19).to_string(),
            1 => random.between(20, 99).to_string(),
            _ => random.between(100, 990).to_string(),
        },
        "year" => match random.below(4) {
            0 => random.between(1480, 1899),
            1 => random.between(1900, 1959),
            _ => random.between(1960, 2029),
        }
        .to_string(),
        "year4" => {
            let born = random.between(1480, 1950);
            format!("{born}-{}", born + random.between(28, 92))
        }
        "percent" | "decimal" => format!("{}.{}", random.between(0, 78), random.between(1, 9)),
        "money" => {
            let amount = random.between(2, 950);
            match random.below(5) {
                0 => format!("${amount}"),
                1 => format!("{amount} euros"),
                2 => format!("{amount} million dollars"),
                3 => format!("{},{:03} pounds", random.between(1, 80), random.below(1000)),
                _ => format!("${amount}.{:02}", random.below(100)),
            }
        }
        "day" => random.between(1, 28).to_string(),
        "small" => random.between(2, 42).to_string(),
        "clock" => match random.below(3) {
            0 => format!("{}:{:02}", random.between(6, 23), 5 * random.below(12)),
            1 => format!("{} p.m.", random.between(1, 11)),
            _ => format!("{} o'clock", random.between(1, 12)),
        },
        _ => return None,
    })
}

/// "a" before a vowel sound becomes "an"; the comma after an apposition yields to the stop that follows it.
fn polish(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    for at in 1..words.len() {
        words[at - 1] = match words[at - 1] {
            "a" if starts_with_vowel_sound(words[at]) => "an",
            "A" if starts_with_vowel_sound(words[at]) => "An",
            other => other,
        };
    }
    words
        .join(" ")
        .replace(",.", ".")
        .replace(",,", ",")
        .replace(",;", ";")
        .replace(",?", "?")
        .replace(".m..", ".m.")
}

fn starts_with_vowel_sound(word: &str) -> bool {
    let word = word.trim_start_matches(['"', '“', '‘', '(']).to_lowercase();
    let starts = |list: &[&str]| list.iter().any(|start| word.starts_with(start));
    let glide =
        starts(&["use", "usu", "uto", "uti", "ute", "ura", "uro", "uku", "eu", "ewe", "one", "once", "ukr"]);
    let union = starts(&["uni"]) && !starts(&["unid", "unim", "unin", "unil"]) || starts(&["unila", "ugan"]);
    starts(&["hour", "honest", "honor", "heir", "x-"])
        || (starts(&["a", "e", "i", "o", "u"]) && !glide && !union)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_names_a_rule_a_list_or_a_figure_and_a_known_form() {
        let grammar = Grammar::shipped();
        let mut random = Random::new(0);
        assert!(grammar.rules["line"].len() > 100 && grammar.rules["raw"].len() > 30);
        for line in content(FRAMES).chain(super::super::carrier::frames()) {
            for inside in line.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|pair| pair.0) {
                let (name, form) = inside.split_once(':').unwrap_or((inside, ""));
                let name = name.trim_start_matches('~');
                let known = name.is_empty()
                    || grammar.rules.contains_key(name)
                    || !grammar.lexicon.list(0, name).is_empty()
                    || figure(name, &mut random).is_some();
                assert!(known && Inflection::named(form).is_some(), "`{{{inside}}}` in `{line}`");
            }
        }
    }

    #[test]
    fn first_alternatives_do_not_recurse() {
        let grammar = Grammar::shipped();
        for (rule, alternatives) in grammar.rules.iter().filter(|(rule, _)| !["line", "raw"].contains(rule)) {
            let mut pending: Vec<(&Frame, usize)> = vec![(&alternatives[0], 0)];
            while let Some((frame, depth)) = pending.pop() {
                assert!(depth < 10, "first alternatives of `{rule}` never end");
                for part in frame {
                    if let Part::Slot(slot) = part
                        && let Some(next) = grammar.rules.get(slot.name)
                    {
                        pending.push((&next[0], depth + 1));
                    }
                }
            }
        }
    }

    #[test]
    fn articles_agree_with_the_next_word() {
        assert_eq!(polish("a owl saw a unicorn, a hour early,. Near a X-ray"), {
            "an owl saw a unicorn, an hour early. Near an X-ray"
        });
    }
}
