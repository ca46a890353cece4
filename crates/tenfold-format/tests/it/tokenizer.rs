//! Tokenizers: files and vocabularies, truncation, and texts whose tokens are known.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;
use tenfold_format::Error;
use tenfold_format::tokenizer::{self, Tokenizer};

use crate::{mutate, shared};

const WORDS: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\ncat\nsat\n##s\n.\nÉ\ne\n";

/// A folder with this vocabulary and settings.
fn folder(vocabulary: &str, settings: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(tokenizer::VOCABULARY), vocabulary).unwrap();
    if let Some(settings) = settings {
        std::fs::write(folder.path().join(tokenizer::SETTINGS), settings).unwrap();
    }
    folder
}

fn open(vocabulary: &str, settings: Option<&str>) -> Result<Tokenizer, Error> {
    Tokenizer::open(folder(vocabulary, settings).path())
}

#[test]
fn word_pieces_from_a_vocabulary() {
    let tokenizer = open(WORDS, None).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 12);
    assert_eq!(tokenizer.encode("The cats sat.", 99).unwrap(), [2, 5, 6, 8, 7, 9, 3]);
    assert_eq!(tokenizer.encode("the dog", 99).unwrap(), [2, 5, 1, 3]);
    assert_eq!(tokenizer.encode("", 99).unwrap(), [2, 3]);
    // A special token in a text is that token.
    assert_eq!(tokenizer.encode("the [MASK]", 99).unwrap(), [2, 5, 4, 3]);
    assert_eq!(
        (tokenizer.token(6).as_deref(), tokenizer.id("##s"), tokenizer.token(99)),
        (Some("cat"), Some(8), None)
    );
}

#[test]
fn a_text_is_cut_before_the_last_special_token() {
    let tokenizer = open(WORDS, None).unwrap();
    assert_eq!(tokenizer.encode("the cats sat.", 5).unwrap(), [2, 5, 6, 8, 3]);
    assert_eq!(tokenizer.encode("the cats sat.", 2).unwrap(), [2, 3]);
    assert!(matches!(tokenizer.encode("the", 1), Err(Error::TooFewTokens { max_tokens: 1, special: 2 })));
    assert!(matches!(
        tokenizer.encode_pair("the", "the", 2),
        Err(Error::TooFewTokens { max_tokens: 2, special: 3 })
    ));
}

#[test]
fn two_texts_have_two_types_and_the_longer_is_cut() {
    let tokenizer = open(WORDS, None).unwrap();
    let (ids, types) = tokenizer.encode_pair("the cat", "sat.", 99).unwrap();
    assert_eq!(ids, [2, 5, 6, 3, 7, 9, 3]);
    assert_eq!(types, [0, 0, 0, 0, 1, 1, 1]);
    let (ids, types) = tokenizer.encode_pair("the cats cats cats", "sat", 7).unwrap();
    assert_eq!(ids, [2, 5, 6, 8, 3, 7, 3]);
    assert_eq!(types, [0, 0, 0, 0, 0, 1, 1]);
    assert_eq!(tokenizer.encode_pair("the", "the", 3).unwrap().0, [2, 3, 3]);
}

#[test]
fn case_and_accents_follow_the_settings() {
    let ids = |settings| open(WORDS, Some(settings)).unwrap().encode("É", 9).unwrap();
    assert_eq!(ids("{}"), [2, 11, 3]);
    assert_eq!(ids(r#"{"do_lower_case":false}"#), [2, 10, 3]);
    assert_eq!(ids(r#"{"do_lower_case":false,"strip_accents":true}"#), [2, 1, 3]);
    let renamed = r#"{"cls_token":{"content":"the","lstrip":false},"sep_token":"cat"}"#;
    assert_eq!(ids(renamed), [5, 11, 6]);
}

#[test]
fn a_vocabulary_without_its_special_tokens_is_refused() {
    assert!(
        matches!(open("[UNK]\n[CLS]\n", None), Err(Error::MissingToken { token, .. }) if token == "[SEP]")
    );
    assert!(matches!(open("", None), Err(Error::MissingToken { token, .. }) if token == "[UNK]"));
    let settings = r#"{"unk_token":"<unk>"}"#;
    assert!(
        matches!(open(WORDS, Some(settings)), Err(Error::MissingToken { token, .. }) if token == "<unk>")
    );
}

#[test]
fn a_token_on_two_lines_is_refused() {
    let twice = open("[UNK]\n[CLS]\n[SEP]\n[CLS]\n", None);
    assert!(
        matches!(twice, Err(Error::DuplicateToken { token, first: 2, second: 4, .. }) if token == "[CLS]")
    );
}

#[test]
fn unusable_files_are_refused() {
    let folder = folder(WORDS, Some("7"));
    assert!(
        matches!(Tokenizer::open(folder.path()), Err(Error::Json { path, .. }) if path.ends_with(tokenizer::SETTINGS))
    );
    std::fs::write(folder.path().join(tokenizer::VOCABULARY), b"\xff").unwrap();
    assert!(matches!(Tokenizer::open(folder.path()), Err(Error::NotUtf8 { .. })));
    // The last one has a template for one text that asks for the second.
    let template = r#"{"version":"1.0","model":{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"},"post_processor":
        {"type":"TemplateProcessing","single":[{"Sequence":{"id":"B","type_id":0}}],"pair":[],"special_tokens":{}}}"#;
    for text in ["{}", r#"{"model":{"type":"Nonsense"}}"#, template] {
        std::fs::write(folder.path().join(tokenizer::FILE), text).unwrap();
        let refused = Tokenizer::open(folder.path());
        assert!(
            matches!(&refused, Err(Error::BadTokenizer { path, .. }) if path.ends_with(tokenizer::FILE)),
            "{refused:?}"
        );
    }
    std::fs::write(folder.path().join(tokenizer::FILE), "{").unwrap();
    assert!(
        matches!(Tokenizer::open(folder.path()), Err(Error::Json { path, .. }) if path.ends_with(tokenizer::FILE))
    );
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Tokenizer::open(empty.path()), Err(Error::NoTokenizer { .. })));
}

#[test]
fn a_saved_tokenizer_gives_the_same_tokens_whatever_padding_it_asks_for() {
    let first = open(WORDS, None).unwrap();
    let mut json: Value = serde_json::from_str(&first.json().unwrap()).unwrap();
    json["padding"] = serde_json::json!({ "strategy": { "Fixed": 64 }, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]" });
    json["truncation"] =
        serde_json::json!({ "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0 });
    let second = Tokenizer::from_json(Path::new("tokenizer.json"), json.to_string().as_bytes()).unwrap();
    for text in ["The cats sat.", "", "the dog"] {
        assert_eq!(second.encode(text, 99).unwrap(), first.encode(text, 99).unwrap());
        assert_eq!(second.encode_pair(text, "cat", 6).unwrap(), first.encode_pair(text, "cat", 6).unwrap());
    }
}

/// BERT's uncased tokenizer in its two forms: the library's file, and the bare vocabulary.
fn both() -> Option<[(PathBuf, Tokenizer); 2]> {
    let folder = shared::data("tokenizers/bert_uncased")?;
    let file = Tokenizer::open(&folder).unwrap();
    let bare = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join(tokenizer::VOCABULARY), bare.path().join(tokenizer::VOCABULARY)).unwrap();
    let words = Tokenizer::open(bare.path()).unwrap();
    Some([(folder.clone(), file), (folder, words)])
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The ids without the special tokens around them.
fn inner(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let ids = tokenizer.encode(text, 1 << 20).unwrap();
    assert_eq!((ids[0], ids[ids.len() - 1]), (101, 102));
    ids[1..ids.len() - 1].to_vec()
}

#[test]
fn ten_thousand_questions_have_the_published_tokens() {
    let Some(both) = both() else { return };
    for (folder, tokenizer) in &both {
        let questions = json(&folder.join("question_tokens.json"));
        let expected = json(&folder.join("tokenized_questions.json"));
        let (questions, expected) = (questions.as_array().unwrap(), expected.as_array().unwrap());
        assert_eq!(questions.len(), expected.len());
        for (question, expected) in questions.iter().zip(expected) {
            let text = question["original"].as_str().unwrap();
            let got = inner(tokenizer, text);
            assert_eq!(got, ids(expected), "{text}");
            let pieces: Vec<_> = got.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
            let published: Vec<_> =
                question["wordpiece"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()).collect();
            assert_eq!(pieces, published, "{text}");
        }
    }
}

#[test]
fn other_published_texts_have_their_tokens() {
    let (Some(both), Some(encoded)) = (both(), shared::data("tokenizers/encoded")) else { return };
    for (_, tokenizer) in &both {
        let one = json(&encoded.join("bert_uncased_encoded.json"));
        assert_eq!(tokenizer.encode(one["text"].as_str().unwrap(), 512).unwrap(), ids(&one["token_ids"]));
        for case in json(&encoded.join("tokenizer_tests.json"))["bert-base-uncased"].as_array().unwrap() {
            let expected = &case["encoded"];
            let text = case["input"].as_str().unwrap();
            assert_eq!(tokenizer.encode(text, 512).unwrap(), ids(&expected["input_ids"]), "{text}");
        }
    }
}

#[test]
fn the_vocabulary_tests_of_llama_cpp_pass() {
    let (Some(both), Some(folder)) = (both(), shared::data("tokenizers/gguf_vocab")) else { return };
    let inputs = std::fs::read_to_string(folder.join("ggml-vocab-bert-bge.gguf.inp")).unwrap();
    let outputs = std::fs::read_to_string(folder.join("ggml-vocab-bert-bge.gguf.out")).unwrap();
    let inputs: Vec<_> = inputs.split("\n__ggml_vocab_test__\n").collect();
    for (_, tokenizer) in &both {
        for (text, line) in inputs.iter().zip(outputs.lines()) {
            let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
            assert_eq!(inner(tokenizer, text), expected, "{text:?}");
        }
    }
    assert!(inputs.len() > 40);
}

#[test]
fn the_padding_in_the_real_encoder_file_is_ignored() {
    let Some(folder) = shared::data("tokenizers/all_minilm_l6_v2") else { return };
    let tokenizer = Tokenizer::open(&folder).unwrap();
    assert_eq!(tokenizer.encode("hello world", 256).unwrap(), [101, 7592, 2088, 102]);
    assert_eq!(tokenizer.encode(&"hello ".repeat(1000), 512).unwrap().len(), 512);
}

proptest! {
    #![proptest_config(mutate::config())]

    #[test]
    fn no_text_is_refused_and_none_is_longer_than_asked(first in "\\PC{0,60}", second in "\\PC{0,60}", max in 3usize..20) {
        let tokenizer = open(WORDS, None).unwrap();
        let ids = tokenizer.encode(&first, max).unwrap();
        prop_assert!(ids.len() <= max && ids[0] == 2 && ids[ids.len() - 1] == 3);
        let (ids, types) = tokenizer.encode_pair(&first, &second, max).unwrap();
        prop_assert!(ids.len() <= max && ids.len() == types.len() && ids[ids.len() - 1] == 3);
        prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary_size()));
    }

    #[test]
    fn a_damaged_file_is_read_or_refused(changes in mutate::mutations()) {
        let valid = open(WORDS, None).unwrap().json().unwrap();
        let damaged = mutate::apply(valid.into_bytes(), &changes);
        if let Ok(tokenizer) = Tokenizer::from_json(Path::new("tokenizer.json"), &damaged) {
            let _ = tokenizer.encode("the cats sat.", 9);
            let _ = tokenizer.encode_pair("the cats sat.", "", 9);
        }
    }

    #[test]
    fn any_vocabulary_is_read_or_refused(words in "(\\[UNK\\]\n\\[CLS\\]\n\\[SEP\\]\n)?\\PC{0,20}(\n\\PC{0,5}){0,5}") {
        if let Ok(tokenizer) = open(&words, None) {
            prop_assert!(tokenizer.encode("a b", 9).is_ok());
        }
    }
}

#[test]
fn fresh_vocabularies_give_texts_back_and_survive_their_file() {
    let texts = ["Once upon a time,", "two  spaces\nand \u{e9}\u{1f600}."];
    let bytes = Tokenizer::of_bytes().unwrap();
    let characters = Tokenizer::of_characters(texts.into_iter()).unwrap();
    assert_eq!(bytes.vocabulary_size(), 3 + 256);
    for one in [&bytes, &characters] {
        let again = Tokenizer::from_json("tokenizer.json".as_ref(), one.json().unwrap().as_bytes()).unwrap();
        for text in texts {
            let ids = one.encode(text, 100).unwrap();
            assert_eq!((ids[0], one.decode(&ids).unwrap().as_str()), (Tokenizer::BEGIN, text));
            assert_eq!(again.encode(text, 100).unwrap(), ids);
        }
    }
    assert_eq!(bytes.encode("\u{e9}", 9).unwrap(), [1, 3 + 0xC3, 3 + 0xA9]);
    assert_eq!(characters.encode("\u{e9}", 9).unwrap().len(), 2);
    // Of neighbors that are unknown there is one token.
    assert_eq!(characters.encode("aQZa", 9).unwrap()[2], 0);
}
