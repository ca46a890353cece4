//! Word pieces of a text: every character, then the words that occur most, then the endings that shorten the rest.
//!
//! Words and endings are chosen by counting, not by the merges of a trained WordPiece; at a few thousand pieces most
//! words of an ordinary sentence are whole, and the others are spelled.

use crate::error::Error;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tenfold_format::atomic;
use tenfold_format::tokenizer::{self, Tokenizer};

/// Tokens with a meaning of their own, first in the vocabulary; padding is number 0.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// What marks a piece that continues a word.
const INSIDE: &str = "##";

/// The share of whole words among the pieces that are longer than a character.
const WHOLE: f64 = 0.75;

/// The lengths of endings, in characters. Longer ones are rare, one is a character.
const ENDINGS: std::ops::RangeInclusive<usize> = 2..=5;

/// Chooses about `most` word pieces for `texts` and writes them to `vocab.txt` in `dir`, where the settings of the
/// tokenizer must stand. Returns how many there are: fewer when the texts do not give as many, more when their
/// characters alone are more.
///
/// # Errors
/// Faults in writing, and of the tokenizer.
pub(super) fn write(dir: &Path, texts: &[&str], most: usize) -> Result<usize, Error> {
    let mut pieces = alphabet(texts);
    write_pieces(dir, &pieces)?;
    // The tokenizer itself, given nothing but characters, says what it takes for a word: one way to split text.
    let words = words(&Tokenizer::open(dir)?, &pieces, texts)?;
    let room = most.saturating_sub(pieces.len());
    let whole = (WHOLE * room as f64).round() as usize;
    let mut ranked: Vec<(&String, &usize)> = words.iter().collect();
    ranked.sort_by_key(|(word, count)| (Reverse(**count), *word));
    let (taken, spelled) = ranked.split_at(whole.min(ranked.len()));
    pieces.extend(taken.iter().map(|(word, _)| (*word).clone()));
    pieces.extend(endings(spelled, room - taken.len()));
    write_pieces(dir, &pieces)?;
    Ok(pieces.len())
}

/// Special tokens, then every character of ASCII and of the texts, at the start of a word and inside one. Signs of
/// ASCII always stand alone.
fn alphabet(texts: &[&str]) -> Vec<String> {
    let lower = texts.iter().flat_map(|text| text.chars().flat_map(char::to_lowercase));
    let seen = lower.filter(|one| !one.is_whitespace() && !one.is_control());
    let ascii = ('!'..='~').filter(|one| !one.is_ascii_uppercase());
    let characters: BTreeSet<char> = seen.chain(ascii).collect();
    let inside =
        characters.iter().filter(|one| !one.is_ascii_punctuation()).map(|one| format!("{INSIDE}{one}"));
    let special = SPECIAL.iter().map(|token| (*token).to_owned());
    special.chain(characters.iter().map(char::to_string)).chain(inside).collect()
}

/// How often each word of two characters and more occurs; those with characters that are not pieces are left out.
fn words(tokenizer: &Tokenizer, pieces: &[String], texts: &[&str]) -> Result<BTreeMap<String, usize>, Error> {
    let mut counts = BTreeMap::new();
    let mut word = String::new();
    for text in texts {
        // The special token at a text's end closes its last word.
        for id in tokenizer.encode(text, usize::MAX)? {
            let piece = pieces.get(id as usize).map_or("", String::as_str);
            if let Some(inner) = piece.strip_prefix(INSIDE) {
                word.push_str(inner);
                continue;
            }
            let ended = std::mem::take(&mut word);
            if ended.chars().nth(1).is_some() {
                *counts.entry(ended).or_default() += 1;
            }
            if !SPECIAL.contains(&piece) {
                word.push_str(piece);
            }
        }
    }
    Ok(counts)
}

/// The `most` endings that save most characters' pieces in the words given, each found in two different words or more.
fn endings(words: &[(&String, &usize)], most: usize) -> Vec<String> {
    let mut found: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (word, count) in words {
        let starts: Vec<usize> = word.char_indices().map(|(at, _)| at).skip(1).collect();
        for length in ENDINGS.take_while(|length| *length <= starts.len()) {
            let ending = found.entry(&word[starts[starts.len() - length]..]).or_default();
            *ending = (ending.0 + 1, ending.1 + *count * (length - 1));
        }
    }
    let mut ranked: Vec<(&str, usize)> = found
        .into_iter()
        .filter(|(_, (words, _))| *words > 1)
        .map(|(ending, (_, saved))| (ending, saved))
        .collect();
    ranked.sort_by_key(|(ending, saved)| (Reverse(*saved), *ending));
    ranked.iter().take(most).map(|(ending, _)| format!("{INSIDE}{ending}")).collect()
}

fn write_pieces(dir: &Path, pieces: &[String]) -> Result<(), Error> {
    let text: String = pieces.iter().flat_map(|piece| [piece.as_str(), "\n"]).collect();
    Ok(atomic::write(&dir.join(tokenizer::VOCABULARY), text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn made(texts: &[&str], most: usize) -> (Vec<String>, Tokenizer) {
        let folder = tempfile::tempdir().unwrap();
        let count = write(folder.path(), texts, most).unwrap();
        let text = fs::read_to_string(folder.path().join("vocab.txt")).unwrap();
        let pieces: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(pieces.len(), count);
        (pieces, Tokenizer::open(folder.path()).unwrap())
    }

    const TEXTS: [&str; 3] = [
        "The cat, the Café and THE hat.",
        "A cat sings; singing cats (ringing) bring wings.",
        "One naïve gnat.",
    ];

    #[test]
    fn frequent_words_stand_whole_and_no_piece_twice() {
        let (pieces, tokenizer) = made(&TEXTS, 120);
        assert_eq!(pieces[..5], SPECIAL);
        let different: BTreeSet<&String> = pieces.iter().collect();
        assert_eq!(different.len(), pieces.len());
        let split = |text: &str| -> Vec<String> {
            let ids = tokenizer.encode(text, 64).unwrap();
            ids[1..ids.len() - 1].iter().map(|id| tokenizer.token(*id).unwrap()).collect()
        };
        assert_eq!(split("The CAT!"), ["the", "cat", "!"]);
        assert_eq!(split("zq"), ["z", "##q"]);
        assert!(split("Über 21 naïve façades?").iter().all(|piece| piece != "[UNK]"));
    }

    #[test]
    fn endings_shorten_what_is_spelled() {
        let counts = [("ringing".to_owned(), 1), ("singing".to_owned(), 2), ("of".to_owned(), 9)];
        let words: Vec<(&String, &usize)> = counts.iter().map(|(word, count)| (word, count)).collect();
        // "nging" and "inging" save most, the longer one is too long; "f" is a character, "of" is a whole word.
        assert_eq!(endings(&words, 3), ["##nging", "##ging", "##ing"]);
    }

    #[test]
    fn characters_are_kept_however_little_is_asked_for() {
        let (few, _) = made(&TEXTS, 0);
        assert_eq!(few, alphabet(&TEXTS));
        let (many, _) = made(&TEXTS, 100_000);
        assert!(many.contains(&"singing".to_owned()) && many.len() < 200, "{} pieces", many.len());
    }
}
