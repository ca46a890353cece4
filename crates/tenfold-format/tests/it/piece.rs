//! Vocabularies of scored pieces and of byte-level pairs: encoding, decoding, malformations, and real files.

use std::path::Path;

use proptest::prelude::*;
use tenfold_format::Error;
use tenfold_format::tokenizer::{PieceFault, Tokenizer};

use crate::{mutate, shared};

/// Pieces and scores.
const PIECES: [(&str, f32); 12] = [
    ("<unk>", 0.0),
    ("\n<s>\n", 0.0),
    ("\n</s>\n", 0.0),
    ("<0x0A>", 0.0),
    ("<0x21>", 0.0),
    (" ", -4.0),
    ("a", -5.0),
    ("b", -6.0),
    (" a", -2.0),
    ("ab", -1.0),
    ("aba", -3.0),
    (" b", -1.5),
];

fn plain(pieces: &[(&str, f32)]) -> Vec<u8> {
    let mut bytes = 7i32.to_le_bytes().to_vec();
    for (text, score) in pieces {
        bytes.extend(score.to_le_bytes());
        bytes.extend((text.len() as i32).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// A protocol-buffer field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, bytes.len() as u8][..], bytes].concat()
}

/// A SentencePiece model with these pieces, of this kind, and with rules of normalization.
fn sentencepiece(pieces: &[(&str, f32)], kind: u8, rules: &[u8]) -> Vec<u8> {
    let piece = |(at, (text, score)): (usize, &(&str, f32))| {
        let text = text.replace(' ', "\u{2581}");
        let kind = if at == 0 {
            2
        } else if at < 3 {
            3
        } else if text.starts_with("<0x") {
            6
        } else {
            1
        };
        field(
            1,
            &[&field(1, text.trim().as_bytes())[..], &[0x15], &score.to_le_bytes(), &[0x18, kind]].concat(),
        )
    };
    let mut bytes: Vec<u8> = pieces.iter().enumerate().flat_map(piece).collect();
    bytes.extend(field(2, &[0x18, kind]));
    bytes.extend(field(3, &[field(1, b"identity"), field(2, rules)].concat()));
    bytes
}

fn open(bytes: &[u8]) -> Tokenizer {
    Tokenizer::from_pieces(Path::new("tok12.bin"), bytes).unwrap()
}

fn fault(name: &str, bytes: &[u8]) -> PieceFault {
    match Tokenizer::from_pieces(Path::new(name), bytes).unwrap_err() {
        Error::Pieces { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn the_best_pair_is_joined_first_and_unknown_characters_become_bytes() {
    let models = [
        open(&plain(&PIECES)),
        Tokenizer::from_pieces(Path::new("tok.model"), &sentencepiece(&PIECES, 2, b"")).unwrap(),
    ];
    for tokenizer in models {
        let ids = |text: &str| tokenizer.encode(text, 99).unwrap();
        // " ab": "ab" scores higher than " a".
        assert_eq!(ids("ab"), [1, 5, 9]);
        assert_eq!(ids("aa"), [1, 8, 6]);
        assert_eq!(ids("aba b"), [1, 5, 10, 11]);
        assert_eq!(ids("a!"), [1, 8, 4]);
        assert_eq!(ids("a\u{e9}"), [1, 8, 0], "bytes without a token are unknown");
        assert_eq!(ids(""), [1]);
        assert_eq!(tokenizer.encode("aba b", 3).unwrap(), [1, 5, 10]);
        for text in ["ab", "aba b", "a!", "b\nb"] {
            assert_eq!(tokenizer.decode(&ids(text)).unwrap(), text);
        }
        assert_eq!(tokenizer.decode(&[1, 9, 2]).unwrap(), "ab");
    }
}

#[test]
fn sentencepiece_reduces_spaces_and_llama2c_does_not() {
    let tokenizer = Tokenizer::from_pieces(Path::new("tok.model"), &sentencepiece(&PIECES, 2, b"")).unwrap();
    assert_eq!(tokenizer.encode("  a   b ", 99).unwrap(), tokenizer.encode("a b", 99).unwrap());
    assert_eq!(open(&plain(&PIECES)).encode("  a", 99).unwrap(), [1, 5, 5, 8]);
}

#[test]
fn a_vocabulary_survives_the_library_s_own_file() {
    let tokenizer = open(&plain(&PIECES));
    let json = tokenizer.json().unwrap();
    let again = Tokenizer::from_json(Path::new("tokenizer.json"), json.as_bytes()).unwrap();
    for text in ["aba b\n", "  a", "", "b!b"] {
        assert_eq!(tokenizer.encode(text, 99).unwrap(), again.encode(text, 99).unwrap());
    }
}

#[test]
fn every_malformation_of_llama2c_has_its_fault() {
    let file = plain(&PIECES);
    assert_eq!(fault("t.bin", b"\x07\0"), PieceFault::Truncated { offset: 0 });
    assert_eq!(fault("t.bin", &file[..9]), PieceFault::Truncated { offset: 8 });
    assert!(matches!(fault("t.bin", &file[..file.len() - 1]), PieceFault::Truncated { .. }));
    assert!(matches!(fault("t.bin", &words(&[-1, 0, 1])), PieceFault::Record { offset: 0, .. }));
    assert!(matches!(fault("t.bin", &words(&[7, 0, 8, 0, 0])), PieceFault::Record { offset: 4, .. }));
    assert!(matches!(fault("t.bin", &words(&[7, 0, -8, 0, 0])), PieceFault::Record { offset: 4, .. }));
    assert_eq!(fault("t.bin", &words(&[7, 0, 4, -1])), PieceFault::NotUtf8 { id: 0 });
    assert_eq!(fault("t.bin", &plain(&PIECES[..2])), PieceFault::TooFew { got: 2 });
    let mut twice = PIECES;
    twice[7] = ("a", -6.0);
    let piece = "a".to_owned();
    assert_eq!(fault("t.bin", &plain(&twice)), PieceFault::Duplicate { piece, first: 6, second: 7 });
    twice[7] = ("b", f32::NAN);
    assert_eq!(fault("t.bin", &plain(&twice)), PieceFault::Score { id: 7 });
}

fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn every_malformation_of_sentencepiece_has_its_fault() {
    let file = sentencepiece(&PIECES, 2, b"");
    assert!(matches!(fault("t.model", &file[..file.len() - 1]), PieceFault::Truncated { .. }));
    assert_eq!(fault("t.model", &sentencepiece(&PIECES, 1, b"")), PieceFault::Kind { got: "unigrams" });
    let got = "identity".to_owned();
    assert_eq!(fault("t.model", &sentencepiece(&PIECES, 2, b"x")), PieceFault::Normalization { got });
    assert!(matches!(fault("t.model", &[0x0b]), PieceFault::Record { .. }));
    assert!(matches!(fault("t.model", &[0x80; 11]), PieceFault::Record { .. }));
    assert!(matches!(fault("t.model", &field(2, &[0x18, 2])), PieceFault::TooFew { got: 0 }));
    let text = field(1, &field(1, b"\xff"));
    assert_eq!(fault("t.model", &text), PieceFault::NotUtf8 { id: 0 });
}

#[test]
fn byte_level_pairs_need_two_tokens_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("vocab.json", r#"{"a":0,"b":1,"ab":2,"Ġ":3,"<|endoftext|>":4}"#);
    put("merges.txt", "#version: 0.2\na b\n");
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    assert_eq!(tokenizer.encode("ab a<|endoftext|>", 9).unwrap(), [2, 3, 0, 4]);
    assert_eq!(tokenizer.decode(&[2, 3, 0]).unwrap(), "ab a");
    put("merges.txt", "a b\nab\n");
    assert!(matches!(Tokenizer::open(folder.path()), Err(Error::BadMerge { line: 2, .. })));
    put("merges.txt", "a a\n");
    assert!(
        matches!(Tokenizer::open(folder.path()), Err(Error::MissingToken { token, .. }) if token == "aa")
    );
}

/// Joins as llama2.c does, by looking at every pair again and again.
fn plainly(tokenizer: &Tokenizer, scores: &[f32], text: &str) -> Vec<u32> {
    let mut ids: Vec<u32> = Vec::new();
    for letter in [" ".to_owned()].into_iter().chain(text.chars().map(String::from)) {
        match tokenizer.id(&letter) {
            Some(id) => ids.push(id),
            None => ids.extend(letter.bytes().map(|byte| u32::from(byte) + 3)),
        }
    }
    let text = |id: u32| tokenizer.token(id).unwrap();
    loop {
        let mut best: Option<(f32, usize, u32)> = None;
        for (at, pair) in ids.windows(2).enumerate() {
            let Some(id) = tokenizer.id(&(text(pair[0]) + &text(pair[1]))) else { continue };
            let score = scores[id as usize];
            if best.is_none_or(|(top, ..)| score > top) {
                best = Some((score, at, id));
            }
        }
        let Some((_, at, id)) = best else { return ids };
        ids.splice(at..at + 2, [id]);
    }
}

fn scores(bytes: &[u8]) -> Vec<f32> {
    let four = |at: usize| -> [u8; 4] { bytes[at..at + 4].try_into().unwrap() };
    let (mut at, mut found) = (4, Vec::new());
    while at < bytes.len() {
        found.push(f32::from_le_bytes(four(at)));
        at += 8 + i32::from_le_bytes(four(at + 4)) as usize;
    }
    found
}

#[test]
fn real_vocabularies_of_llama2c_split_stories_as_joining_by_hand_does() {
    for (model, file) in [("stories260k", "tok512.bin"), ("stories3m_q80", "tok4096.bin")] {
        let (Some(dir), Some(text)) = (shared::model(model), shared::data("tinystories/train_slice.txt"))
        else {
            continue;
        };
        let tokenizer = Tokenizer::open(&dir).unwrap();
        let scores = scores(&std::fs::read(dir.join(file)).unwrap());
        let text = std::fs::read_to_string(text).unwrap();
        let stories = text.split("<|endoftext|>").map(str::trim).filter(|story| !story.is_empty());
        for story in stories.take(25) {
            let ids = tokenizer.encode(story, usize::MAX).unwrap();
            assert_eq!(ids[1..], plainly(&tokenizer, &scores, story)[..], "{model}: {story:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), story);
        }
    }
}

#[test]
fn real_vocabularies_agree_with_reference_ids() {
    for (folder, vocabulary, prefix) in [("llama", "llama-spm", 1), ("gpt2", "gpt-2", 0)] {
        let (Some(dir), Some(cases)) =
            (shared::data(&format!("tokenizers/{folder}")), shared::data("tokenizers/gguf_vocab"))
        else {
            continue;
        };
        let tokenizer = Tokenizer::open(&dir).unwrap();
        let read = |ending: &str| {
            std::fs::read_to_string(cases.join(format!("ggml-vocab-{vocabulary}.gguf.{ending}"))).unwrap()
        };
        let (inputs, outputs) = (read("inp"), read("out"));
        let inputs: Vec<_> = inputs.split("\n__ggml_vocab_test__\n").collect();
        for (text, line) in inputs.iter().zip(outputs.lines()) {
            let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
            let ids = tokenizer.encode(text, usize::MAX).unwrap();
            assert_eq!(ids[prefix..], expected[..], "{folder}: {text:?}");
        }
        assert!(inputs.len() > 40);
    }
}

#[test]
fn a_sentencepiece_model_of_another_kind_is_refused() {
    let Some(file) = shared::data("tokenizers/sentencepiece/test_model.model") else { return };
    let bytes = std::fs::read(file).unwrap();
    assert_eq!(fault("t.model", &bytes), PieceFault::Kind { got: "unigrams" });
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn a_damaged_vocabulary_is_read_or_refused(changes in mutate::mutations(), kind in 0..2) {
        let (name, bytes) =
            if kind == 0 { ("t.bin", plain(&PIECES)) } else { ("t.model", sentencepiece(&PIECES, 2, b"")) };
        if let Ok(tokenizer) = Tokenizer::from_pieces(Path::new(name), &mutate::apply(bytes, &changes)) {
            let _ = tokenizer.encode("ab a!", 9);
        }
    }
}
