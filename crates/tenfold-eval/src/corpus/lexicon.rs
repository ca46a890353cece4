//! The word lists: subjects with their own nouns, verbs and adjectives, and lists that belong to none.

use std::collections::BTreeMap;

const DOMAINS: &str = include_str!("../../text/words/domains.txt");
const GENERAL: &str = include_str!("../../text/words/general.txt");
const COMMON: &str = include_str!("../../text/words/common.txt");
const NAMES: &str = include_str!("../../text/words/names.txt");
const PLACES: &str = include_str!("../../text/words/places.txt");

/// Lists by name, such as `thing` or `city`.
pub(super) type Lists = BTreeMap<&'static str, Vec<&'static str>>;

/// All word lists.
pub(super) struct Lexicon {
    /// One set of lists per subject, in file order.
    pub(super) subjects: Vec<Lists>,
    /// Lists without a subject.
    pub(super) general: Lists,
}

impl Lexicon {
    pub(super) fn shipped() -> Lexicon {
        let mut subjects: Vec<Lists> = Vec::new();
        for line in content(DOMAINS) {
            if line.starts_with('[') {
                subjects.push(Lists::new());
            } else if let (Some((name, list)), Some(subject)) = (line.split_once(": "), subjects.last_mut()) {
                subject.entry(name).or_default().extend(entries(list));
            }
        }
        let mut general = Lists::new();
        for (name, list) in [GENERAL, COMMON, NAMES, PLACES].into_iter().flat_map(sections) {
            general.entry(name).or_default().extend(entries(list));
        }
        Lexicon { subjects, general }
    }

    /// The list `name` as seen from `subject`: its own, else the general one, else empty.
    pub(super) fn list(&self, subject: usize, name: &str) -> &[&'static str] {
        let own = self.subjects.get(subject).and_then(|lists| lists.get(name));
        own.or_else(|| self.general.get(name)).map_or(&[], Vec::as_slice)
    }
}

/// The lines of a list file that are neither blank nor a comment.
pub(super) fn content(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("# "))
}

/// The `name: list` lines of a file.
pub(super) fn sections(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    content(file).filter_map(|line| line.split_once(": "))
}

/// The entries of a list, which commas separate.
pub(super) fn entries(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_has_every_list() {
        let lexicon = Lexicon::shipped();
        assert!(lexicon.subjects.len() > 50);
        for (number, subject) in lexicon.subjects.iter().enumerate() {
            for name in ["who", "thing", "mass", "idea", "does", "where", "like"] {
                let length = subject.get(name).map_or(0, Vec::len);
                assert!(length >= 3, "subject {number} has {length} entries in `{name}`");
            }
        }
    }

    #[test]
    fn lists_hold_thousands_of_distinct_entries() {
        let lexicon = Lexicon::shipped();
        let lists = lexicon.subjects.iter().chain([&lexicon.general]);
        let mut all: Vec<&str> = lists.flat_map(|lists| lists.values().flatten().copied()).collect();
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 7000, "{} entries", all.len());
    }
}
