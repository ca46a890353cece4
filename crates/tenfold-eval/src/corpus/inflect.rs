//! English inflection of the listed words: regular rules, and a table for the rest.

use std::collections::HashMap;

use super::lexicon::{entries, sections};

const IRREGULAR: &str = include_str!("../../text/words/irregular.txt");

/// The form of a word that a slot asks for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Inflection {
    /// As listed.
    Base,
    /// Plural of a noun.
    Plural,
    /// Third person singular of a verb.
    Third,
    /// Past tense.
    Past,
    /// Past participle.
    Participle,
    /// Form in -ing.
    Gerund,
    /// First letter a capital.
    Capital,
}

impl Inflection {
    /// The form named in a frame, as in `{does:ed}`.
    pub(super) fn named(name: &str) -> Option<Inflection> {
        Some(match name {
            "" => Inflection::Base,
            "pl" => Inflection::Plural,
            "v" => Inflection::Third,
            "ed" => Inflection::Past,
            "en" => Inflection::Participle,
            "ing" => Inflection::Gerund,
            "cap" => Inflection::Capital,
            _ => return None,
        })
    }
}

/// Irregular verbs and plurals.
pub(super) struct Inflector {
    verbs: HashMap<&'static str, (&'static str, &'static str)>,
    plurals: HashMap<&'static str, &'static str>,
}

impl Inflector {
    pub(super) fn shipped() -> Inflector {
        let mut verbs = HashMap::new();
        let mut plurals = HashMap::new();
        for (name, list) in sections(IRREGULAR) {
            for entry in entries(list) {
                let mut forms = entry.splitn(3, ' ');
                match (name, forms.next(), forms.next(), forms.next()) {
                    ("verb", Some(base), Some(past), Some(participle)) => {
                        verbs.insert(base, (past, participle));
                    }
                    ("plural", Some(one), Some(many), None) => {
                        plurals.insert(one, many);
                    }
                    _ => {}
                }
            }
        }
        Inflector { verbs, plurals }
    }

    /// `phrase` in the asked form; in a phrase of several words the head is inflected: the first word of a verb
    /// ("dig up"), the last of a noun ("fire engine"), the one before "of" ("law of motion").
    pub(super) fn apply(&self, phrase: &str, form: Inflection) -> String {
        match form {
            Inflection::Base => phrase.to_owned(),
            Inflection::Capital => capitalize(phrase),
            Inflection::Plural => {
                let (noun, rest) = match phrase.find(" of ") {
                    Some(at) => phrase.split_at(at),
                    None => (phrase, ""),
                };
                let (modifier, head) = noun.rfind(' ').map_or(("", noun), |at| noun.split_at(at + 1));
                format!("{modifier}{}{rest}", self.plural(head))
            }
            _ => {
                let (head, rest) = phrase.find(' ').map_or((phrase, ""), |at| phrase.split_at(at));
                format!("{}{rest}", self.verb(head, form))
            }
        }
    }

    fn plural(&self, noun: &str) -> String {
        if let Some(many) = self.plurals.get(noun) {
            return (*many).to_owned();
        }
        if let Some(stem) = noun.strip_suffix("man").filter(|stem| stem.len() > 2 && !stem.ends_with("hu")) {
            return format!("{stem}men");
        }
        add_s(noun)
    }

    fn verb(&self, base: &str, form: Inflection) -> String {
        let irregular = self.verbs.get(base);
        match form {
            Inflection::Third if base == "have" => "has".to_owned(),
            Inflection::Third if base == "be" => "is".to_owned(),
            Inflection::Third => add_s(base),
            Inflection::Gerund => {
                if let Some(stem) = base.strip_suffix("ie") {
                    return format!("{stem}ying");
                }
                let doubled =
                    irregular.is_some_and(|(past, _)| past.len() == base.len() + 3 && past.ends_with("ed"));
                match drop_e(base) {
                    Some(stem) => format!("{stem}ing"),
                    None => format!("{}ing", double(base, doubled)),
                }
            }
            _ => {
                if let Some((past, participle)) = irregular {
                    return (*if form == Inflection::Past { past } else { participle }).to_owned();
                }
                match (base.strip_suffix('e'), base.strip_suffix('y')) {
                    (Some(_), _) => format!("{base}d"),
                    (_, Some(stem)) if !stem.ends_with(VOWELS) => format!("{stem}ied"),
                    _ => format!("{}ed", double(base, false)),
                }
            }
        }
    }
}

const VOWELS: [char; 5] = ['a', 'e', 'i', 'o', 'u'];

/// The stem of a verb that loses its last e before -ing; "dye" and "see" keep theirs.
fn drop_e(base: &str) -> Option<&str> {
    base.strip_suffix('e').filter(|stem| !stem.ends_with(['e', 'o', 'y']) && stem.len() > 1)
}

/// `base` with its last consonant doubled when it is one short stressed syllable ("stop"), or when `force` says so.
fn double(base: &str, force: bool) -> String {
    let letters: Vec<char> = base.chars().collect();
    let short = match letters[..] {
        [.., before, vowel, last] => {
            VOWELS.contains(&vowel)
                && !VOWELS.contains(&last)
                && !['w', 'x', 'y'].contains(&last)
                && (!VOWELS.contains(&before) || letters[letters.len() - 4..letters.len() - 2] == ['q', 'u'])
                && letters.iter().filter(|letter| VOWELS.contains(letter) || **letter == 'y').count()
                    == 1 + usize::from(before == 'u')
        }
        _ => false,
    };
    match letters.last() {
        Some(last) if short || force => format!("{base}{last}"),
        _ => base.to_owned(),
    }
}

fn add_s(word: &str) -> String {
    let sibilant =
        ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) && !word.ends_with("arch");
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(VOWELS) => format!("{stem}ies"),
        _ if sibilant || matches!(word, "go" | "do" | "veto" | "undergo") => format!("{word}es"),
        _ => format!("{word}s"),
    }
}

/// `phrase` with its first letter a capital, also behind an opening quotation mark.
pub(super) fn capitalize(phrase: &str) -> String {
    let start = phrase.find(|letter: char| !['"', '“', '‘'].contains(&letter)).unwrap_or(phrase.len());
    let (quote, rest) = phrase.split_at(start);
    let mut letters = rest.chars();
    quote.chars().chain(letters.next().into_iter().flat_map(char::to_uppercase)).chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inflects_regular_irregular_and_compound_words() {
        let inflector = Inflector::shipped();
        for (base, form, expected) in [
            ("stop", Inflection::Past, "stopped"),
            ("visit", Inflection::Past, "visited"),
            ("quiz", Inflection::Gerund, "quizzing"),
            ("see", Inflection::Gerund, "seeing"),
            ("dye", Inflection::Gerund, "dyeing"),
            ("lie", Inflection::Gerund, "lying"),
            ("tie", Inflection::Past, "tied"),
            ("submit", Inflection::Gerund, "submitting"),
            ("clean up", Inflection::Gerund, "cleaning up"),
            ("need", Inflection::Gerund, "needing"),
            ("seed", Inflection::Past, "seeded"),
            ("set", Inflection::Gerund, "setting"),
            ("quit", Inflection::Gerund, "quitting"),
            ("play", Inflection::Past, "played"),
            ("fry", Inflection::Third, "fries"),
            ("dig up", Inflection::Participle, "dug up"),
            ("steal", Inflection::Past, "stole"),
            ("law of motion", Inflection::Plural, "laws of motion"),
            ("fire engine", Inflection::Plural, "fire engines"),
            ("fisherman", Inflection::Plural, "fishermen"),
            ("leaf", Inflection::Plural, "leaves"),
            ("oligarch", Inflection::Plural, "oligarchs"),
            ("church", Inflection::Plural, "churches"),
            ("“ego", Inflection::Capital, "“Ego"),
        ] {
            assert_eq!(inflector.apply(base, form), expected);
        }
    }
}
