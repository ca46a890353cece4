//! Vocabularies learned from text.

use tenfold_format::tokenizer::{Around, PieceFault, Tokenizer};
use tenfold_format::{Error, Result};

/// Words in many shapes, among them characters outside of ASCII, in a fixed order.
fn texts() -> Vec<String> {
    let stems = ["walk", "talk", "rain", "\u{e4}pfel", "bring", "Sun", "moon", "straw", "light", "\u{65e5}"];
    let ends = ["", "s", "ed", "ing", "er", "ly", "-like", "'s"];
    // The generator of Lehmer, so that all stems meet all ends.
    let mut state = 1u64;
    let mut next = |bound: usize| {
        state = state * 48_271 % 2_147_483_647;
        state as usize % bound
    };
    let mut word = || format!("{}{}", stems[next(10)], ends[next(8)]);
    (0..400).map(|_| (0..6).map(|_| word()).collect::<Vec<_>>().join(" ") + " ### !").collect()
}

fn pieces(size: usize, lower: bool) -> Result<Tokenizer> {
    let texts = texts();
    Tokenizer::learn_word_pieces(&texts.iter().map(String::as_str).collect::<Vec<_>>(), size, lower)
}

fn pairs(size: usize, lower: bool, around: Around) -> Result<Tokenizer> {
    let texts = texts();
    Tokenizer::learn_byte_pairs(&texts.iter().map(String::as_str).collect::<Vec<_>>(), size, lower, around)
}

#[test]
fn the_same_texts_give_the_same_bytes() {
    let (first, second) = (
        pieces(120, true).unwrap().json().unwrap(),
        pairs(320, false, Around::Begin).unwrap().json().unwrap(),
    );
    for _ in 0..8 {
        assert!(pieces(120, true).unwrap().json().unwrap() == first);
        assert!(pairs(320, false, Around::Begin).unwrap().json().unwrap() == second);
    }
}

#[test]
fn word_pieces_are_those_of_bert() {
    let tokenizer = pieces(120, true).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 120);
    for (id, token) in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].iter().enumerate() {
        assert_eq!(tokenizer.id(token), Some(id as u32));
    }
    let ids = tokenizer.encode("Walking moons", usize::MAX).unwrap();
    assert_eq!((ids[0], ids[ids.len() - 1]), (2, 3));
    assert!(ids.len() <= 7, "{ids:?}");
    assert_eq!(tokenizer.decode(&ids).unwrap(), "walking moons");
    let (pair, types) = tokenizer.encode_pair("sun", "rain", 9).unwrap();
    assert_eq!((pair[0], pair[pair.len() - 1], types[0], types[types.len() - 1]), (2, 3, 0, 1));
    // Cased pieces tell the two apart.
    let cased = pieces(120, false).unwrap();
    assert_ne!(cased.encode("Sun", 9).unwrap(), cased.encode("sun", 9).unwrap());
    assert_eq!(tokenizer.encode("Sun", 9).unwrap(), tokenizer.encode("sun", 9).unwrap());
}

#[test]
fn byte_pairs_give_every_text_back() {
    for (around, begins, ends) in
        [(Around::Begin, true, false), (Around::End, false, true), (Around::Both, true, true)]
    {
        let tokenizer = pairs(330, false, around).unwrap();
        assert_eq!(tokenizer.vocabulary_size(), 330);
        assert_eq!(tokenizer.id("<mask>").is_some(), around == Around::Both);
        for text in ["Walking in the rain", " two  spaces\n", "\u{1f600} \u{65e5}\u{672c} \u{0}", ""] {
            let ids = tokenizer.encode(text, usize::MAX).unwrap();
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
            assert_eq!(ids.first() == Some(&Tokenizer::BEGIN), begins);
            assert_eq!(ids.last() == Some(&Tokenizer::END), ends);
        }
    }
    let lower = pairs(300, true, Around::Begin).unwrap();
    assert_eq!(lower.decode(&lower.encode("SUN", 99).unwrap()).unwrap(), "sun");
}

#[test]
fn learned_vocabularies_survive_their_files() {
    let dir = tempfile::tempdir().unwrap();
    for tokenizer in [pieces(120, true).unwrap(), pairs(320, true, Around::Both).unwrap()] {
        std::fs::write(dir.path().join("tokenizer.json"), tokenizer.json().unwrap()).unwrap();
        let again = Tokenizer::open(dir.path()).unwrap();
        for text in texts().iter().take(40) {
            assert_eq!(again.encode(text, 99).unwrap(), tokenizer.encode(text, 99).unwrap());
        }
        assert_eq!(again.json().unwrap(), tokenizer.json().unwrap());
    }
}

#[test]
fn sizes_below_the_characters_are_refused() {
    let fault = pieces(20, true).unwrap_err();
    assert!(matches!(fault, Error::Pieces { fault: PieceFault::Size { got: 20, .. }, .. }), "{fault}");
    let fault = pairs(200, true, Around::Begin).unwrap_err();
    assert!(
        matches!(fault, Error::Pieces { fault: PieceFault::Size { least: 259, got: 200, .. }, .. }),
        "{fault}"
    );
    // Texts that have no more pieces give fewer tokens.
    let few = Tokenizer::learn_word_pieces(&["a b a b"], 500, true).unwrap();
    assert_eq!(few.vocabulary_size(), 5 + 4);
}
